package sync

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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
	defer w.close()
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
		w.wait(ctx, s.Every)
	}
	return nil
}

// A watcher tells of changes below a folder.
type watcher struct {
	make  func() (*fsnotify.Watcher, error)
	local string
	names *Filter
	log   *slog.Logger

	fs   *fsnotify.Watcher // nil while nothing is watched
	root string            // the folder that is watched: local without links
	seen os.FileInfo       // and which one it was
	said bool              // that nothing can be watched
}

// renew begins to watch, anew when another folder has come in the place of the one
// that was watched.
func (w *watcher) renew() {
	if w.fs != nil && !w.moved() {
		return
	}
	w.close()
	root := realPath(w.local)
	seen, err := os.Stat(root)
	if err == nil {
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

// add watches a folder and all below it. What cannot be watched, because it is
// gone or the system's limit is reached, is left to the next scheduled run.
func (w *watcher) add(dir string) {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if p != w.root && !w.names.Keeps(w.rel(p), true) {
			return filepath.SkipDir
		}
		return w.fs.Add(p)
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

// wait returns when it is time for the next run.
func (w *watcher) wait(ctx context.Context, every time.Duration) {
	due := never(every)
	defer due.Stop()
	if w.fs == nil {
		select {
		case <-due.C:
		case <-ctx.Done():
		}
		return
	}
	again := time.NewTicker(look)
	defer again.Stop()
	settled, latest := never(0), (<-chan time.Time)(nil)
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
			return
		case <-settled.C:
			return
		case <-latest:
			return
		case <-again.C:
			if now, err := os.Stat(w.local); err == nil && !os.SameFile(now, w.seen) {
				return
			}
		case e := <-w.fs.Events:
			if !w.counts(e) {
				continue
			}
			settled.Reset(quiet)
			if latest == nil {
				latest = time.After(patience)
			}
		case err := <-w.fs.Errors:
			w.log.Warn("watching for changes", "error", err)
			settled.Reset(quiet) // events may have been lost
		}
	}
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
	if strings.HasPrefix(filepath.Base(e.Name), tempPrefix) {
		return false
	}
	rel := w.rel(e.Name)
	if rel != "." && !w.names.Keeps(rel, false) && !w.names.Keeps(rel, true) {
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
