package sync

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Text is the event in a line for people; "" for progress, for what is of no
// interest one by one, and for the result, which has Summary.
func (e Event) Text() string {
	switch e.Kind {
	case EventPlan:
		return "would " + e.Action.sentence(0)
	case EventDone:
		return e.Action.sentence(1)
	case EventConflict:
		return fmt.Sprintf("conflict: %s: %s", Printable(e.Action.Path), e.Action.clash())
	case EventFailed:
		return fmt.Sprintf("failed: %s: on the %s side: %s", Printable(e.Action.Path), e.Side, bare(e.Err))
	case EventSkip:
		if e.Action.Why == WhyFiltered {
			return ""
		}
		word := "skipped"
		if e.Action.Why == WhyLeft {
			word = "left alone"
		}
		return fmt.Sprintf("%s: %s: %s", word, Printable(e.Action.Path), e.Action.Why)
	}
	return ""
}

// words for each operation: as a plan, and when it is done. %s is the side.
var words = map[Op][2]string{
	OpCopy:   {"copy to %s", "copied to %s"},
	OpLink:   {"make the link on %s", "made the link on %s"},
	OpFolder: {"make the folder on %s", "made the folder on %s"},
	OpAttr:   {"set mode and time on %s", "set mode and time on %s"},
	OpDelete: {"delete, being alike on %s", "deleted, being alike on %s"},
}

func (a Action) sentence(done int) string {
	var b strings.Builder
	fmt.Fprintf(&b, words[a.Op][done]+": %s", a.From.Other(), Printable(a.Path))
	switch a.Op {
	case OpFolder:
		b.WriteByte('/')
	case OpCopy:
		fmt.Fprintf(&b, " (%s, %s)", Bytes(a.Source.Size), a.Why)
	}
	if a.Delete && a.Op != OpDelete {
		fmt.Fprintf(&b, "; %s on %s", [2]string{"then delete", "deleted"}[done], a.From)
	}
	return b.String()
}

func (a Action) clash() string {
	if a.Why != WhyKind {
		return string(a.Why)
	}
	return fmt.Sprintf("a %s here, a %s there", a.Item(Local).Kind, a.Item(Remote).Kind)
}

// bare is the text of an error without the path that its line has already. What a server
// says stands in it: nothing of that may steer a terminal.
func bare(err error) string {
	if s, ok := err.(*sideError); ok {
		err = s.err
	}
	text := err.Error()
	if p, ok := err.(*fs.PathError); ok {
		text = p.Op + ": " + p.Err.Error()
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// Summary is the result in a few lines for people.
func (r *Result) Summary() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	count := func(n int64, what string) {
		if n > 0 {
			line("%s: %d", what, n)
		}
	}
	head := r.Mode.String()
	if r.DryRun {
		head += " (dry run, nothing was changed)"
	}
	line("%s in %v", head, r.Duration.Round(10*time.Millisecond))
	for _, side := range []Side{Remote, Local} {
		if t := *r.tally(side); !t.zero() {
			line("to %s: %s", side, t)
		}
	}
	switch {
	case r.Ended:
		line("ended before it was done")
	case !r.Changed() && !r.Partial() && r.Vanished+r.Settling+r.InUse+r.Busy == 0:
		line("nothing to do")
	}
	count(r.Attributes, "mode or time set")
	count(r.Deleted, "sources deleted")
	count(r.Pruned, "empty folders removed")
	count(r.Unchanged, "unchanged")
	named := func(n int64, names []string, what string) {
		if count(n, what); len(names) > 0 {
			line("  %s", strings.Join(namesOf(names, n), ", "))
		}
	}
	named(r.LeftAlone, r.LeftNames, "left alone, same size and different time")
	named(r.Unsafe, r.UnsafeNames, "links not made, leading out of the folder (--links copy makes them)")
	count(r.KeptNewer, "kept, the target is newer")
	count(r.Unverified, "kept, same size and different content")
	count(r.InUse, "kept, open in another program")
	count(r.Settling, "skipped, changed a moment ago")
	count(r.Busy, "left for the next run, written to all the time")
	count(r.Filtered, "skipped, outside the bounds of size and age")
	count(r.Elsewhere, "skipped, on another filesystem")
	count(r.Special, "skipped, links or special files")
	count(r.Vanished, "gone before they were copied")
	if r.Resumed > 0 {
		line("already there from an earlier run: %s", Bytes(r.Resumed))
	}
	count(r.Cleaned, "leftovers of earlier runs removed")
	count(r.ConflictCount, "conflicts")
	count(r.FailureCount, "failed")
	return b.String()
}

// namesOf are the names of a summary, and how many more there are.
func namesOf(names []string, n int64) []string {
	var all []string
	for _, name := range names {
		all = append(all, Printable(name))
	}
	if more := n - int64(len(names)); more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return all
}

func (t Tally) String() string {
	var parts []string
	add := func(n int64, one, many, more string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one+more)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s%s", n, many, more))
		}
	}
	add(t.Files, "file", "files", " ("+Bytes(t.Bytes)+")")
	add(t.Folders, "folder", "folders", "")
	add(t.Links, "link", "links", "")
	return strings.Join(parts, ", ")
}

// Bytes writes a size for people.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	x, unit := float64(n), 0
	for x >= 1023.95 && unit < 6 {
		x /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", x, " KMGTPE"[unit])
}

// Printable quotes a name that could harm a terminal or is not UTF-8.
func Printable(path string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if !utf8.ValidString(path) || strings.ContainsFunc(path, odd) {
		return strconv.Quote(path)
	}
	return path
}
