// Package options reads the -o options of mount: the names of sshfs, of ssh's
// configuration, of mount(8) and fstab, and our own flags with underscores, so
// that a line of fstab can say all that the command line can.
//
// Three things can come of a name. It sets something; it is accepted and changes
// nothing, because what it asks for is how we work anyway (reconnect, big_writes)
// or concerns somebody else (noauto, x-systemd.*); or it is refused, with the
// reason, or with the nearest name that exists. A name that is silently ignored
// would be a promise not kept.
package options

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/nearest"
)

// Settings is everything about a mount that options and flags can say. Pointers
// and zero values mean "not said".
type Settings struct {
	config.Connection

	AttrTimeout        *time.Duration
	CacheMemory        int64
	ReadOnly           bool
	AllowOther         bool
	AllowRoot          bool
	NoHardLinks        bool
	DefaultPermissions *bool
	MultiUser          bool
	FollowSymlinks     bool
	NonEmpty           bool
	DirectIO           bool // nothing is kept by the kernel, and sizes are not believed
	ReplaceByMoving    bool
	Contain            string // of symbolic links: strict, no, or the default
	TransformSymlinks  bool
	UID, GID, Umask    *uint32
	IDMap              string            // none, user or file
	UIDs, GIDs         map[uint32]uint32 // with file: the server's numbers, and ours
	NoMap              string            // what other numbers are then: ignore, error, or the default
	Source             string            // fsname=
	Subtype            string
	Kernel             []string // for mount(2): nosuid, noexec, ...
	PasswordStdin      bool
	Batch              bool    // never ask
	NoNotify           bool    // nothing is shown on the desktop
	Wait               bool    // mount also while the server cannot be reached
	Bookmark           *string // in the list of the user's file managers, under this name, or the folder's own
	Subdir             string  // below the folder that was named
	Debug              bool
	LogLevel           string
	LogFile            string
	Metrics            string
	SyncMode           string
	SyncDir            string
	SyncEvery          string

	// Ignored are the options that were accepted and change nothing.
	Ignored []string
}

// An Error says which option is wrong, and how to go on.
type Error struct {
	Option, Why, Hint string
}

func (e *Error) Error() string { return fmt.Sprintf("option %q: %s", e.Option, e.Why) }

// Parse reads one -o argument into s. With sloppy, as mount -s says, unknown
// names are accepted.
func (s *Settings) Parse(text string, sloppy bool) error {
	for _, word := range split(text) {
		if word == "" {
			continue
		}
		if err := s.one(word); err != nil {
			if e, unknown := err.(*unknownError); unknown {
				if sloppy {
					s.Ignored = append(s.Ignored, word)
					continue
				}
				return e.explain()
			}
			return err
		}
	}
	return nil
}

func (s *Settings) one(word string) error {
	name, value, has := strings.Cut(word, "=")
	o, ok := find(name)
	switch {
	case !ok:
		return &unknownError{name}
	case o.cannot != "":
		return &Error{Option: name, Why: o.cannot, Hint: o.instead}
	case has && o.value == never:
		return &Error{Option: name, Why: "it takes no value"}
	case !has && o.value == needed:
		return &Error{Option: name, Why: "it needs a value", Hint: "write " + name + "=VALUE"}
	case o.set == nil:
		s.Ignored = append(s.Ignored, word)
		return nil
	}
	if err := o.set(s, value); err != nil {
		return &Error{Option: word, Why: err.Error()}
	}
	return nil
}

type unknownError struct{ name string }

func (e *unknownError) Error() string { return "no such option" }

func (e *unknownError) explain() error {
	out := &Error{Option: e.name, Why: "there is no such option", Hint: "man remotemount lists them all"}
	if n := nearest.Find(e.name, Names()); n != "" {
		out.Hint = "did you mean " + n + "?"
	}
	return out
}

// split cuts at commas; a backslash takes the meaning from the letter after it,
// as libfuse does.
func split(text string) []string {
	var words []string
	var word strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case c == ',':
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteByte(c)
		}
	}
	return append(words, word.String())
}

// find looks a name up. ssh's names are the same in any case of letters, ours
// with dashes as well.
func find(name string) (option, bool) {
	if strings.HasPrefix(strings.ToLower(name), "x-") {
		return option{value: maybe}, true // fstab's notes to other programs
	}
	if o, ok := table()[name]; ok {
		return o, true
	}
	if o, ok := table()[strings.ReplaceAll(name, "-", "_")]; ok {
		return o, true
	}
	for _, known := range sshNames() {
		if strings.EqualFold(known, name) {
			return table()[known], true
		}
	}
	return option{}, false
}

// Names are all names there are, for help, completion, and the manual's test.
func Names() []string {
	var names []string
	for name := range table() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Offered are the names that are not refused, for completion: with a = where they
// need a value.
func Offered() []string {
	var names []string
	for name, o := range table() {
		switch {
		case o.cannot != "":
		case o.value == needed:
			names = append(names, name+"=")
		default:
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Strict reports whether files whose owner no table has are refused. It is sshfs's
// default; empty tables map nothing, and refuse nothing.
func (s *Settings) Strict() bool {
	return s.NoMap == "error" || s.NoMap == "" && len(s.UIDs)+len(s.GIDs) > 0
}

// Check looks at what several options say together.
func (s *Settings) Check() error {
	switch {
	case s.IDMap == "file" && s.UIDs == nil && s.GIDs == nil:
		return &Error{Option: "idmap=file", Why: "it needs a table", Hint: "add uidfile=FILE or gidfile=FILE, with a line name:number for each user or group"}
	case s.AllowRoot && s.AllowOther:
		return &Error{Option: "allow_root", Why: "it shuts out whom allow_other lets in", Hint: "leave one of them out"}
	}
	return nil
}

// Finish settles what several options say together.
func (s *Settings) Finish() {
	if s.AllowOther && s.DefaultPermissions == nil {
		// Without it the kernel would let everybody do what the remote user may.
		yes := true
		s.DefaultPermissions = &yes
	}
}
