package sync

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
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
// one more, which finds nothing to do.
func (r *Runner) Repeat(ctx context.Context, s Schedule) error {
	var w *watcher
	if s.Watch {
		var err error
		if w, err = newWatcher(r.config.Local, r.config.Names, r.config.Log); err != nil {
			return err
		}
		defer w.close()
	}
	for ctx.Err() == nil {
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

// A watcher tells of changes below a folder. A nil watcher tells of none.
type watcher struct {
	root  string
	names *Filter
	log   *slog.Logger
	fs    *fsnotify.Watcher
}

func newWatcher(root string, names *Filter, log *slog.Logger) (*watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{root: root, names: names, log: log, fs: n}
	w.add(root)
	return w, nil
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
	if err := w.fs.Close(); err != nil {
		w.log.Debug("watching ends", "error", err)
	}
}

// wait returns when it is time for the next run.
func (w *watcher) wait(ctx context.Context, every time.Duration) {
	due := never(every)
	defer due.Stop()
	if w == nil {
		select {
		case <-due.C:
		case <-ctx.Done():
		}
		return
	}
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

// counts reports whether an event calls for a run, and watches new folders.
func (w *watcher) counts(e fsnotify.Event) bool {
	if strings.HasPrefix(filepath.Base(e.Name), tempPrefix) {
		return false
	}
	if e.Has(fsnotify.Create) {
		w.add(e.Name)
	}
	return true
}
