package sync

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// passOn is a pass whose folders are there, and that is not run.
func (p *pairing) passOn(t testing.TB) *pass {
	t.Helper()
	r, err := New(p.config())
	must(t, err)
	root, err := os.OpenRoot(p.local)
	must(t, err)
	t.Cleanup(func() { must(t, root.Close()) })
	_, abort := context.WithCancelCause(t.Context())
	return r.pass(root, ownerOf("test"), abort)
}

// A copy that came here has its name on the disk before its source goes.
func TestTheNameOfACopyIsForcedToTheDisk(t *testing.T) {
	for _, never := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Pull, Delete: true})
		if never {
			p.options.Fsync = FsyncNever
		}
		put(t, p.remote, "dir/f", "text", old)
		run := p.passOn(t)
		f := newFolder(newFolder(nil, ".", Item{Kind: Folder}, Item{Kind: Folder}), "dir", Item{}, Item{Kind: Folder})
		f.asunder.once.Do(func() {}) // it was looked at
		version, err := run.tree[Remote].Stamp(t.Context(), "dir/f", false)
		must(t, err)
		a := Action{Op: OpDelete, Path: "dir/f", From: Remote}
		err = run.removeSource(t.Context(), f, a, proof{version: version}) // there is no such folder here that could be forced
		if _, gone := os.Lstat(filepath.Join(p.remote, "dir/f")); never != (gone != nil) || never != (err == nil) {
			t.Errorf("never %v: %v, %v", never, err, gone)
		}
	}
}

// Who comes while a folder is forced to the disk shares the next time.
func TestCommitsAreShared(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true})
	must(t, os.Mkdir(filepath.Join(p.local, "dir"), 0o755))
	run := p.passOn(t)
	above := newFolder(nil, ".", Item{Kind: Folder}, Item{Kind: Folder})
	f := newFolder(above, "dir", Item{Kind: Folder}, Item{Kind: Folder})
	must(t, f.commit(run))
	if f.commits.done != 1 || above.commits.done != 1 {
		t.Errorf("%d, above %d", f.commits.done, above.commits.done)
	}
	var all sync.WaitGroup
	f.commits.mu.Lock() // as one that is under way has it
	for range 20 {
		all.Go(func() {
			if err := f.commit(run); err != nil {
				t.Error(err)
			}
		})
	}
	for f.commits.asked.Load() < 21 {
		time.Sleep(time.Millisecond)
	}
	f.commits.done = 21                               // which one of them did for all
	must(t, os.Remove(filepath.Join(p.local, "dir"))) // it could not be forced once more
	f.commits.mu.Unlock()
	all.Wait()
}

// On a server a file is forced once more under its name.
func TestAPushedCopyIsForcedUnderItsName(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	put(t, p.local, "f", "text", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "sync" && path == "f" {
			return syscall.EIO
		}
		return nil
	}
	if res := p.run(); res.FailureCount != 1 || res.Deleted != 0 {
		t.Errorf("%+v", res)
	}
	wantFile(t, p.local, "f", "text")
	p.dir.Before = nil
	p.clean()
	wantAbsent(t, p.local, "f")
	wantFile(t, p.remote, "f", "text")
}

// Somebody on the server may fetch a copy as soon as it has its name.
func TestACopyThatIsFetchedAtOnce(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	put(t, p.local, "f", "text", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "open" && path == "f" {
			return os.Rename(filepath.Join(p.remote, "f"), filepath.Join(p.remote, "fetched"))
		}
		return nil
	}
	if res := p.run(); res.Deleted != 1 || res.Partial() {
		t.Errorf("%+v", res)
	}
	wantAbsent(t, p.local, "f")
	wantFile(t, p.remote, "fetched", "text")
}
