package sync

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// untilQuiet runs until no change calls for another run, and tells how many it took.
func (p *pairing) untilQuiet() (runs int) {
	p.t.Helper()
	last := time.Now()
	p.repeat(Schedule{Every: 3 * time.Second, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		runs = run - 1
		byTheClock := time.Since(last) > 3*time.Second
		last = time.Now()
		return byTheClock || run > 8
	})
	return runs
}

// The trigger file is made anew by each run, and calls for none.
func TestWatchIsNotCalledByTheTriggerFile(t *testing.T) {
	for _, at := range []string{"all done", "d/all done"} {
		p := newPairing(t, Options{Mode: Pull, TriggerFile: at})
		put(t, p.remote, "d/f", "text", old)
		setTime(t, filepath.Join(p.remote, "d"), old)
		if runs := p.untilQuiet(); runs > 3 {
			t.Errorf("%s: %d runs", at, runs)
		}
		wantFile(t, p.local, at, "")
	}
}

// What is no trigger file counts under its name, too.
func TestWatchSeesWhatHasTheTriggerFilesName(t *testing.T) {
	local := t.TempDir()
	w := &watcher{root: local, trigger: "d/all done", watched: map[string]struct{}{}}
	put(t, local, "d/all done", "", old)
	if full := filepath.Join(local, "d/all done"); w.counts(fsnotify.Event{Name: full, Op: fsnotify.Write}) {
		t.Error("the trigger file counts")
	}
	put(t, local, "d/all done", "of somebody", old)
	if full := filepath.Join(local, "d/all done"); !w.counts(fsnotify.Event{Name: full, Op: fsnotify.Write}) {
		t.Error("a file of this name does not count")
	}
	must(t, os.Remove(filepath.Join(local, "d/all done")))
	if full := filepath.Join(local, "d/all done"); w.counts(fsnotify.Event{Name: full, Op: fsnotify.Write}) {
		t.Error("a trigger file that is gone counts")
	}
}
