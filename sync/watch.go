package sync

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing must have changed before a run begins, so that a
	// burst of changes makes one run.
	quiet = 500 * time.Millisecond
	// patience is how long a burst may hold a run up.
	patience = 10 * time.Second
)

// A Schedule says when runs follow each other.
type Schedule struct {
	Every time.Duration // after the end of a run; 0 never
	Watch bool          // also when something changes locally

	// After is told of each run. An error of it ends Repeat. nil goes on whatever
	// happens.
	After func(*Result, error) error
}

// Repeat runs until ctx ends, which is no error, or After says so. Changes that
// the runs themselves make are seen by Watch as well: such a run is followed by
// one more, which finds nothing to do. Where nothing can be watched, which is said
// once, runs follow each other by Every alone.
func (r *Runner) Repeat(ctx context.Context, s Schedule) error {
	w := &watcher{make: r.watch, local: r.config.Local, names: r.config.Names, log: r.config.Log}
	if r.config.Mode == Pull {
		w.trigger = r.config.TriggerFile
	}
	defer w.close()
	soon := time.Duration(0)
	for ctx.Err() == nil {
		if s.Watch {
			w.renew()
		}
		res, err := r.Run(ctx)
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil
		}
		if s.After != nil {
			if err := s.After(res, err); err != nil {
				return err
			}
		}
		next := s.Every
		if soon = r.soon(res, soon); s.Watch && soon > 0 && (next == 0 || soon < next) {
			next = soon
		}
		if !w.wait(ctx, next) {
			soon = 0
		}
	}
	return nil
}

// soon is how long what a run has left for a moment waits for the next one: no event tells
// that a file has settled or was closed. Each time that nothing else calls for a run it
// takes twice as long. 0 when nothing was left.
func (r *Runner) soon(res *Result, before time.Duration) time.Duration {
	if res == nil || res.Settling+res.InUse+res.Busy == 0 {
		return 0
	}
	if before > 0 && !res.Changed() {
		return min(2*before, time.Hour)
	}
	if res.Settling+res.Busy == 0 {
		return time.Minute // each time the file is read on both sides
	}
	return r.config.Settle + time.Second
}

// A watcher tells of changes below a folder.
type watcher struct {
	make  func() (*fsnotify.Watcher, error)
	local string
	names *Filter
	log   *slog.Logger

	trigger string // of the runs, where they make it here; else ""

	fs      *fsnotify.Watcher   // nil while nothing is watched
	root    string              // the folder that is watched: local without links
	seen    os.FileInfo         // and which one it was
	watched map[string]struct{} // folders, by their paths
	stale   bool                // some of them have other paths by now
	gone    bool                // there is no such folder
	said    bool                // that nothing can be watched
}

// renew begins to watch, anew when another folder has come in the place of the one
// that was watched, or folders have moved: what is below them is told under the old paths.
func (w *watcher) renew() {
	if w.fs != nil && !w.stale && !w.moved() {
		return
	}
	w.close()
	w.watched, w.stale = map[string]struct{}{}, false
	root := realPath(w.local)
	seen, err := os.Stat(root)
	if w.gone = err != nil; !w.gone {
		w.fs, err = w.make()
	}
	if err != nil {
		if !w.said {
			w.log.Warn("changes cannot be watched for, only looked for from time to time; see fs.inotify.max_user_instances", "path", w.local, "error", err)
		}
		w.said = true
		return
	}
	w.root, w.seen, w.said = root, seen, false
	w.add(root)
}

// moved reports that the path leads to another folder than the one watched, or to
// none.
func (w *watcher) moved() bool {
	now, err := os.Stat(w.local)
	return err != nil || !os.SameFile(now, w.seen)
}

// add watches a folder and all below it. What cannot be watched, because it is gone or
// not to be read, is left to the next scheduled run; so is the rest when the system's
// limit is reached.
func (w *watcher) add(dir string) {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if p != w.root && !w.names.Keeps(w.rel(p), true) {
			return filepath.SkipDir
		}
		switch err := w.fs.Add(p); {
		case err == nil:
			w.watched[p] = struct{}{}
		case errors.Is(err, syscall.ENOSPC):
			return err
		default:
			w.log.Debug("a folder cannot be watched", "path", p, "error", err)
		}
		return nil
	})
	if err != nil {
		w.log.Warn("not all folders can be watched; see fs.inotify.max_user_watches", "path", dir, "error", err)
	}
}

func (w *watcher) rel(p string) string {
	rel, err := filepath.Rel(w.root, p)
	if err != nil {
		return p
	}
	return rel
}

func (w *watcher) close() {
	if w.fs == nil {
		return
	}
	if err := w.fs.Close(); err != nil {
		w.log.Debug("watching ends", "error", err)
	}
	w.fs = nil
}

// look is how often the path itself is looked at: that another folder is there now
// tells no event.
const look = 2 * time.Second

// wait returns when it is time for the next run, and tells whether that is the clock's
// doing.
func (w *watcher) wait(ctx context.Context, every time.Duration) (due bool) {
	timer := never(every)
	defer timer.Stop()
	again := time.NewTicker(look)
	defer again.Stop()
	settled, latest := never(0), (<-chan time.Time)(nil)
	defer settled.Stop()
	var events chan fsnotify.Event
	var failures chan error
	if w.fs != nil {
		events, failures = w.fs.Events, w.fs.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-settled.C:
			return false
		case <-latest:
			return false
		case <-again.C:
			if w.another() {
				return false
			}
		case e := <-events:
			if !w.counts(e) {
				continue
			}
			settled.Reset(quiet)
			if latest == nil {
				latest = time.After(patience)
			}
		case err := <-failures:
			w.log.Warn("watching for changes", "error", err)
			w.stale = true // events may have been lost: of new folders, and of such that moved
			settled.Reset(quiet)
		}
	}
}

// another reports that there is a folder now which is not watched.
func (w *watcher) another() bool {
	if w.fs == nil && !w.gone {
		return false // there it was before, and could not be watched
	}
	now, err := os.Stat(w.local)
	return err == nil && (w.gone || !os.SameFile(now, w.seen))
}

// never is a timer that waits for d, or for Reset if d is 0.
func never(d time.Duration) *time.Timer {
	if d > 0 {
		return time.NewTimer(d)
	}
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// counts reports whether an event calls for a run, and watches new folders. One about
// a name that takes no part does not; of a name that is gone it is not known whether
// it was a folder's.
func (w *watcher) counts(e fsnotify.Event) bool {
	if _, watched := w.watched[e.Name]; watched && e.Has(fsnotify.Rename|fsnotify.Remove) {
		w.stale = true
	}
	if name := filepath.Base(e.Name); strings.HasPrefix(name, tempPrefix) || mountNames.MatchString(name) {
		return false
	}
	rel := w.rel(e.Name)
	if w.triggered(rel, e) || rel != "." && !w.names.KeepsAny(rel) {
		return false
	}
	if info, err := os.Lstat(e.Name); err == nil && rel != "." && !w.names.Keeps(rel, info.IsDir()) {
		return false
	}
	if e.Has(fsnotify.Create) {
		w.add(e.Name)
	}
	return true
}

// triggered reports an event that a trigger file brings, which is made anew by each run:
// its own, and those of its folder's time and mode.
func (w *watcher) triggered(rel string, e fsnotify.Event) bool {
	switch {
	case w.trigger == "":
	case rel == w.trigger:
		info, err := os.Lstat(e.Name)
		return err != nil || info.Mode().IsRegular() && info.Size() == 0
	case rel == filepath.Dir(w.trigger):
		return e.Op == fsnotify.Chmod
	}
	return false
}
