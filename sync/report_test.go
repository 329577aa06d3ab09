package sync

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

func TestSummary(t *testing.T) {
	r := &Result{
		Mode: TwoWay, Duration: 1234 * time.Millisecond,
		ToRemote: Tally{Files: 2, Bytes: 3 << 20, Folders: 1}, ToLocal: Tally{Files: 1, Bytes: 12, Links: 3},
		Unchanged: 5, LeftAlone: 2, Resumed: 1536, Cleaned: 1, ConflictCount: 1, FailureCount: 2,
	}
	want := `two-way in 1.23s
to remote: 2 files (3.0 MiB), 1 folder
to local: 1 file (12 B), 3 links
unchanged: 5
left alone, same size and different time: 2
already there from an earlier run: 1.5 KiB
leftovers of earlier runs removed: 1
conflicts: 1
failed: 2
`
	if got := r.Summary(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	want = "push (dry run, nothing was changed) in 0s\nnothing to do\nunchanged: 7\n"
	if got := (&Result{Mode: Push, DryRun: true, Unchanged: 7}).Summary(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestEventTexts(t *testing.T) {
	a := Action{Op: OpCopy, Path: "a\x1b[2J", From: Local, Source: file(2048, 1), Why: WhyNewer, Delete: true}
	failed := remote.PathError("open", "a", syscall.EACCES)
	for _, c := range []struct {
		event Event
		want  string
	}{
		{Event{Kind: EventPlan, Action: a}, `would copy to remote: "a\x1b[2J" (2.0 KiB, newer); then delete on local`},
		{Event{Kind: EventDone, Action: a}, `copied to remote: "a\x1b[2J" (2.0 KiB, newer); deleted on local`},
		{Event{Kind: EventDone, Action: Action{Op: OpFolder, Path: "d", From: Remote}}, "made the folder on local: d/"},
		{Event{Kind: EventDone, Action: Action{Op: OpDelete, Path: "d", From: Remote, Delete: true}}, "deleted, being alike on local: d"},
		{Event{Kind: EventConflict, Action: Action{Path: "c", Source: file(1, 1), Target: Item{Kind: Folder}, Why: WhyKind}}, "conflict: c: a file here, a folder there"},
		{Event{Kind: EventConflict, Action: Action{Path: "c", Why: WhySameTime}}, "conflict: c: versions differ, times are equal"},
		{Event{Kind: EventFailed, Action: Action{Path: "a"}, Side: Remote, Err: failed}, "failed: a: on the remote side: open: permission denied"},
		{Event{Kind: EventSkip, Action: Action{Path: "s", Why: WhySpecial}}, "skipped: s: special file"},
		{Event{Kind: EventSkip, Action: Action{Path: "s", Why: WhyFiltered}}, ""},
		{Event{Kind: EventProgress}, ""},
	} {
		if got := c.event.Text(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestEventsAsJSON(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "odd \xff name", "text", old)
	put(t, p.local, "clash", "a file", old)
	must(t, os.Mkdir(filepath.Join(p.remote, "clash"), 0o755))
	p.run()
	kinds := map[string]map[string]any{}
	for _, e := range p.events {
		b, err := json.Marshal(e)
		must(t, err)
		var fields map[string]any
		must(t, json.Unmarshal(b, &fields))
		kinds[fields["event"].(string)] = fields
	}
	if kinds["done"]["path_bytes"] != "b2RkIP8gbmFtZQ==" || kinds["done"]["bytes"] != 4.0 {
		t.Errorf("done: %v", kinds["done"])
	}
	if kinds["conflict"]["why"] != string(WhyKind) {
		t.Errorf("conflict: %v", kinds["conflict"])
	}
	result, ok := kinds["result"]["result"].(map[string]any)
	if !ok || result["partial"] != true || result["mode"] != "push" {
		t.Errorf("result: %v", kinds["result"])
	}
}

func TestOneRunAtATime(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	c := p.config()
	c.StateDir = t.TempDir()
	_, unlock, err := lockPair(c)
	must(t, err)
	r, err := New(c)
	must(t, err)
	if _, err = r.Run(t.Context()); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process") {
		t.Errorf("%v", err)
	}
	unlock()
	if _, err = r.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatMakesNoRunAtAll(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	c := p.config()
	c.Local = filepath.Join(p.local, "missing")
	r, err := New(c)
	must(t, err)
	if res, err := r.Run(t.Context()); !errors.Is(err, os.ErrNotExist) || res != nil {
		t.Errorf("%v, %v", res, err)
	}
	must(t, os.RemoveAll(p.remote))
	if _, err := p.try(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestBandwidthLimit(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, BandwidthLimit: 4 << 20})
	put(t, p.local, "a", string(pattern(1, 1<<20)), old)
	put(t, p.local, "b", string(pattern(1, 1<<20)), old)
	began := time.Now()
	p.clean()
	if d := time.Since(began); d < 200*time.Millisecond || d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestWatchRunsWhenSomethingChanges(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "dir/a", "a", old)
	r, err := New(p.config())
	must(t, err)
	done := errors.New("done")
	runs := 0
	err = r.Repeat(t.Context(), Schedule{Every: time.Minute, Watch: true, After: func(_ *Result, err error) error {
		must(t, err)
		if runs++; runs == 1 {
			put(t, p.local, "dir/b", "b", old)
			put(t, p.local, "dir/new/c", "c", old)
			return nil
		}
		return done
	}})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	wantFile(t, p.remote, "dir/b", "b")
	wantFile(t, p.remote, "dir/new/c", "c")
}

func TestEvery(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	r, err := New(p.config())
	must(t, err)
	done := errors.New("done")
	runs := 0
	err = r.Repeat(t.Context(), Schedule{Every: 10 * time.Millisecond, After: func(*Result, error) error {
		if runs++; runs == 1 {
			put(t, p.remote, "a", "a", old)
			return nil
		}
		return done
	}})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	wantFile(t, p.local, "a", "a")
}

// What a server says does not reach a terminal as it is.
func TestErrorsDoNotSteerATerminal(t *testing.T) {
	path := remote.PathError("open", "a\x1b[2Jb\u202ec\xff", errors.Join(syscall.EACCES, errors.New("more\x1b[0m")))
	for err, want := range map[error]string{
		path:                           "failed: a: on the remote side: open: permission denied more?[0m",
		onSide(Remote, path):           "failed: a: on the remote side: open: permission denied more?[0m",
		errors.Join(errNotWhole, path): "failed: a: on the remote side: " + errNotWhole.Error() + " open a?[2Jb?c?: permission denied more?[0m",
	} {
		e := Event{Kind: EventFailed, Action: Action{Path: "a"}, Side: Remote, Err: err}
		if got := e.Text(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
