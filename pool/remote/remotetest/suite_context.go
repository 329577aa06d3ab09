package remotetest

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

func contextContracts() []contract {
	return []contract{
		{name: "ended before a call", test: contextBefore},
		{name: "ending during a call", test: contextDuring},
	}
}

// everyCall is each method that goes to the server.
func everyCall(t *testing.T, f Fixture) map[string]func(ctx context.Context) error {
	f.put(t, "file", "data")
	f.put(t, "other", "data")
	f.mkdir(t, "dir")
	f.symlink(t, "nowhere", "link")
	file, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	other, _ := mustOpen(t, f.Remote, "other", flagsWrite)
	r := f.Remote
	calls := map[string]func(context.Context) error{
		"Lstat": func(ctx context.Context) error { _, err := r.Lstat(ctx, "file"); return err },
		"Stat":  func(ctx context.Context) error { _, err := r.Stat(ctx, "file"); return err },
		"ReadDir": func(ctx context.Context) error {
			return r.ReadDir(ctx, "dir", func([]remote.Entry) error { return nil })
		},
		"ReadLink": func(ctx context.Context) error { _, err := r.ReadLink(ctx, "link"); return err },
		"Open":     func(ctx context.Context) error { _, _, err := r.Open(ctx, "file", flagsRead, 0); return err },
		"Mkdir":    func(ctx context.Context) error { _, err := r.Mkdir(ctx, "new", 0o755); return err },
		"Symlink":  func(ctx context.Context) error { _, err := r.Symlink(ctx, "x", "newLink"); return err },
		"Remove":   func(ctx context.Context) error { return r.Remove(ctx, "link") },
		"Rmdir":    func(ctx context.Context) error { return r.Rmdir(ctx, "dir") },
		"Rename":   func(ctx context.Context) error { return r.Rename(ctx, "other", "renamed", true) },
		"SetAttr":  func(ctx context.Context) error { _, err := r.SetAttr(ctx, "dir", newMode()); return err },

		"File.ReadAt":  func(ctx context.Context) error { _, err := file.ReadAt(ctx, make([]byte, 4), 0); return err },
		"File.SetAttr": func(ctx context.Context) error { _, err := file.SetAttr(ctx, newMode()); return err },
	}
	if f.Hardlinks {
		calls["Link"] = func(ctx context.Context) error { _, err := r.Link(ctx, "file", "linked"); return err }
	}
	if f.StatFS {
		calls["StatFS"] = func(ctx context.Context) error { _, err := r.StatFS(ctx, "."); return err }
	}
	if f.Copy {
		calls["Copy"] = func(ctx context.Context) error { _, err := r.Copy(ctx, other, 0, file, 0, 4); return err }
	}
	return calls
}

// withData are the calls that wait for data. It is written here, since WriteAt
// may wait too; some of it may leave by itself before.
func withData(t *testing.T, f Fixture) map[string]func(ctx context.Context) error {
	one, _ := mustOpen(t, f.Remote, "one", flagsNew)
	two, _ := mustOpen(t, f.Remote, "two", flagsNew)
	mustWrite(t, one, "data", 0)
	mustWrite(t, two, "data", 0)
	return map[string]func(context.Context) error{
		"File.Flush": func(ctx context.Context) error { _, err := one.Flush(ctx); return err },
		"File.Sync":  func(ctx context.Context) error { _, err := two.Sync(ctx); return err },
	}
}

func newMode() remote.Change { return remote.Change{Fields: remote.SetMode, Mode: 0o700} }

func wantEnded(t *testing.T, what string, err, ended error) {
	t.Helper()
	var perr *fs.PathError
	if !errors.Is(err, ended) || !errors.As(err, &perr) {
		t.Errorf("%s: %v (%T), want a *fs.PathError of %v", what, err, err, ended)
	}
}

func contextBefore(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range everyCall(t, f) {
		wantEnded(t, name, call(ctx), context.Canceled)
	}
	for _, path := range []string{"new", "newLink", "linked", "renamed"} {
		f.absent(t, path)
	}
}

func contextDuring(t *testing.T, f Fixture) {
	if f.Stall == nil {
		return
	}
	calls, flushes := everyCall(t, f), withData(t, f)
	release := f.Stall()
	defer release()
	for name, call := range calls {
		wantEnded(t, name, during(t, name, call), context.DeadlineExceeded)
	}
	for name, call := range flushes {
		if err := during(t, name, call); err != nil {
			wantEnded(t, name, err, context.DeadlineExceeded)
		}
	}
}

// during makes a call that is to wait until its ctx ends, and no longer.
func during(t *testing.T, name string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := call(ctx)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%s: took %v", name, took)
	}
	return err
}
