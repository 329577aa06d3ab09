// Slowest runs `go test` and shows what that shows, and after the last run the ten
// tests that took longest, and those that were skipped with the reason.
//
//	slowest [FLAG...] -- [FLAG...] PACKAGE... [-- [FLAG...] PACKAGE...]
//
// Each list of packages is one run of go test with the flags, the first ones and its own;
// the next begins when the one before has ended, however it ended.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	runs := split(os.Args[1:])
	if len(runs) < 2 {
		fmt.Fprintln(os.Stderr, "usage: slowest [FLAG...] -- [FLAG...] PACKAGE... [-- [FLAG...] PACKAGE...]")
		os.Exit(2)
	}
	r := newReport(os.Stdout, slices.Contains(runs[0], "-v"))
	code := 0
	for _, packages := range runs[1:] {
		if err := goTest(r, slices.Concat(runs[0], packages)); err != nil {
			fmt.Fprintln(os.Stderr, "go test:", err)
			code = 1
		}
	}
	r.end()
	os.Exit(code)
}

// split cuts arguments at each "--".
func split(args []string) [][]string {
	var parts [][]string
	for {
		n := slices.Index(args, "--")
		if n < 0 {
			return append(parts, args)
		}
		parts = append(parts, args[:n:n])
		args = args[n+1:]
	}
}

func goTest(r *report, args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(r.read(out), cmd.Wait())
}

// An event is a line of `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// A test is named by its package and its name, as far as it is of the top level:
// go test shows the output of those as a whole.
type test struct{ pkg, name string }

type timed struct {
	test
	seconds float64
}

// A report takes the events of any number of runs, one after the other.
type report struct {
	out     io.Writer
	all     bool // show the output of tests that pass, too
	said    map[test][]string
	last    map[test]string // by the full name: the last line that was said
	took    []timed
	skipped []string
}

func newReport(out io.Writer, all bool) *report {
	return &report{out: out, all: all, said: map[test][]string{}, last: map[test]string{}}
}

// read takes what one run says. What is no event is shown as it is.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil {
				r.take(e)
			} else {
				r.show(line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	top, _, isSub := strings.Cut(e.Test, "/")
	t := test{e.Package, top}
	switch e.Action {
	case "build-output":
		r.show(e.Output)
	case "output":
		if !isProgress(e.Output) {
			r.said[t] = append(r.said[t], e.Output)
			if line := strings.TrimSpace(e.Output); !strings.HasPrefix(line, "--- ") {
				r.last[test{e.Package, e.Test}] = line
			}
		}
	case "pass", "fail", "skip":
		if e.Action == "skip" && e.Test != "" {
			r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, r.last[test{e.Package, e.Test}]))
		}
		switch {
		case isSub:
		case top == "":
			r.endPackage(t, e.Action)
		default:
			r.took = append(r.took, timed{t, e.Elapsed})
			r.endTest(t, e.Action)
		}
	}
}

// isProgress tells what -json adds to the output, as -v does.
func isProgress(line string) bool {
	for _, word := range []string{"RUN", "PAUSE", "CONT", "NAME"} {
		if strings.HasPrefix(line, "=== "+word+" ") {
			return true
		}
	}
	return false
}

func (r *report) endTest(t test, action string) {
	if r.all || action == "fail" {
		r.show(r.said[t]...)
	}
	delete(r.said, t)
}

// endPackage shows all that was said in no test, and in tests that did not come to
// an end, when the package failed; else only how it ended.
func (r *report) endPackage(p test, action string) {
	own := r.said[p]
	delete(r.said, p)
	if action == "fail" {
		for t, said := range r.said {
			if t.pkg == p.pkg {
				r.show(said...)
				delete(r.said, t)
			}
		}
	} else if !r.all && len(own) > 1 {
		own = own[len(own)-1:]
	}
	r.show(own...)
}

func (r *report) show(lines ...string) {
	for _, line := range lines {
		_, _ = io.WriteString(r.out, line) // nobody is left to tell
	}
}

func (r *report) end() {
	slices.SortStableFunc(r.took, func(a, b timed) int {
		return int(b.seconds*1000) - int(a.seconds*1000)
	})
	r.show("\nthe slowest tests:\n")
	for _, t := range r.took[:min(10, len(r.took))] {
		r.show(fmt.Sprintf("%8.1f s  %s %s\n", t.seconds, t.pkg, t.name))
	}
	if len(r.skipped) > 0 {
		r.show("\nskipped here:\n")
		for _, name := range r.skipped {
			r.show("  " + name + "\n")
		}
	}
}
