package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

// once makes a hook that acts on the first call of an operation.
func once(op string, act func(path string) error) func(context.Context, string, string) error {
	var first sync.Once
	return func(_ context.Context, o, path string) (err error) {
		if o == op {
			first.Do(func() { err = act(path) })
		}
		return err
	}
}

func TestOneFailureLeavesTheRest(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "bad", "new version", young)
	put(t, p.local, "good", "good", old)
	put(t, p.remote, "bad", "old", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "rename" && strings.Contains(path, tempPrefix) {
			if a, err := os.ReadFile(filepath.Join(p.remote, path)); err == nil && string(a) == "new version" {
				return syscall.EACCES
			}
		}
		return nil
	}
	res := p.run()
	wantFile(t, p.remote, "bad", "old")
	wantFile(t, p.remote, "good", "good")
	if !res.Partial() || res.FailureCount != 1 || res.Failures[0].Path != "bad" || !errors.Is(res.Failures[0].Err, fs.ErrPermission) {
		t.Errorf("%+v", res.Failures)
	}
	noTemps(t, p.remote)
}

func TestFullDiskKeepsTheOldFileAndLeavesNoTemporary(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "large", string(pattern(1, 20<<20)), young)
	put(t, p.remote, "large", "old", old)
	var writes atomic.Int64
	p.dir.Before = func(_ context.Context, op, _ string) error {
		if op == "write" && writes.Add(1) == 4 {
			return syscall.ENOSPC
		}
		return nil
	}
	if res := p.run(); res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, syscall.ENOSPC) {
		t.Errorf("%+v", res.Failures)
	}
	wantFile(t, p.remote, "large", "old")
	noTemps(t, p.remote)
}

func TestASourceThatChangesIsTriedTwice(t *testing.T) {
	for _, always := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Push})
		put(t, p.local, "log", "line\n", old)
		var changes atomic.Int64
		p.dir.Before = func(_ context.Context, op, _ string) error {
			if op == "write" && (always || changes.Load() == 0) {
				n := changes.Add(1)
				put(t, p.local, "log", strings.Repeat("line\n", int(n)+1), old+n)
			}
			return nil
		}
		res := p.run()
		if always {
			wantAbsent(t, p.remote, "log")
			if res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, errChanged) {
				t.Errorf("%+v", res.Failures)
			}
		} else {
			wantFile(t, p.remote, "log", "line\nline\n")
		}
		noTemps(t, p.remote)
	}
}

func TestASourceThatVanishesIsNoFailure(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "a", "a", old)
	put(t, p.local, "b", "b", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "open" && strings.Contains(path, "-p") { // a part's, which comes after the look at the source
			return errors.Join(ignoreAbsent(os.Remove(filepath.Join(p.local, "a"))), ignoreAbsent(os.Remove(filepath.Join(p.local, "b"))))
		}
		return nil
	}
	if res := p.run(); res.Partial() || res.Vanished != 2 || res.ToRemote.Files != 0 {
		t.Errorf("%+v", res)
	}
	noTemps(t, p.remote)
}

// A version that came into being after the scan is never replaced, on either
// side, whether the name was there before or not.
func TestATargetThatChangesMeanwhileIsKept(t *testing.T) {
	for _, before := range []string{"", "old"} {
		p := newPairing(t, Options{Mode: Push})
		put(t, p.local, "a", "pushed", old+1)
		if before != "" {
			put(t, p.remote, "a", before, old)
		}
		p.dir.Before = once("write", func(string) error {
			put(t, p.remote, "a", "written by somebody", young)
			return nil
		})
		res := p.run()
		wantFile(t, p.remote, "a", "written by somebody")
		if res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, errTargetChanged) {
			t.Errorf("before %q: %+v", before, res.Failures)
		}
		noTemps(t, p.remote)
	}
}

func TestTheRemoteGoingAwayEndsTheRun(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	for i := range 2000 {
		put(t, p.local, fmt.Sprintf("d%d/f%d", i/100, i), "text", old)
	}
	var calls atomic.Int64
	p.dir.Before = func(_ context.Context, op, _ string) error {
		if calls.Add(1) > 500 {
			return syscall.ETIMEDOUT
		}
		return nil
	}
	res, err := p.try(t.Context())
	if !errors.Is(err, syscall.ETIMEDOUT) || res == nil || res.FailureCount > 250 {
		t.Errorf("%v, %+v", err, res.FailureCount)
	}
	p.dir.Before = nil
	p.clean()
	sameTrees(t, p.local, p.remote, true)
	noTemps(t, p.remote)
}

func TestReadOnlyFoldersAreWrittenAndStayReadOnly(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "ro/new", "new", old)
	put(t, p.local, "ro/sub/x", "x", old)
	put(t, p.remote, "ro/there", "there", old)
	for _, root := range []string{p.local, p.remote} {
		must(t, os.Chmod(filepath.Join(root, "ro"), 0o555))
		t.Cleanup(func() { // or who is not root could not remove it
			must(t, errors.Join(os.Chmod(filepath.Join(root, "ro"), 0o755), os.Chmod(filepath.Join(root, "ro/sub"), 0o755)))
		})
	}
	must(t, os.Chmod(filepath.Join(p.local, "ro/sub"), 0o500))
	must(t, os.Chmod(filepath.Join(p.local, "ro/new"), 0o400))
	p.dir.Before = func(_ context.Context, op, path string) error { // root may always write
		dir, _ := remote.Split(path)
		info, err := os.Stat(filepath.Join(p.remote, dir))
		if (op == "open" || op == "mkdir") && err == nil && info.Mode().Perm()&0o200 == 0 {
			return syscall.EACCES
		}
		return nil
	}
	p.clean()
	wantFile(t, p.remote, "ro/new", "new")
	for path, perm := range map[string]fs.FileMode{"ro": 0o555, "ro/sub": 0o500, "ro/new": 0o400} {
		if info, err := os.Stat(filepath.Join(p.remote, path)); err != nil || info.Mode().Perm() != perm {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, perm)
		}
	}
	if again := p.clean(); again.Changed() {
		t.Errorf("second run %+v", again)
	}
}

// Servers without posix-rename: the old file steps aside.
func TestServerThatCannotRenameOver(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "a", "new version", young)
	put(t, p.remote, "a", "old", old)
	noOver := func(_ context.Context, op, path string) error {
		if op == "rename" && strings.HasSuffix(path, partSuffix) {
			if _, err := os.Lstat(filepath.Join(p.remote, "a")); err == nil {
				return syscall.EOPNOTSUPP
			}
		}
		return nil
	}
	p.dir.Before = noOver
	p.clean()
	wantFile(t, p.remote, "a", "new version")
	noTemps(t, p.remote)
}

func TestAnUnfinishedReplacementIsUndone(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	id := newRun(p.config())
	put(t, p.local, "a", "same", old)
	put(t, p.local, "b", "same", old)
	put(t, p.remote, id.old("a"), "same", old)
	put(t, p.remote, id.old("b"), "older", old)
	put(t, p.remote, "b", "same", old)
	p.clean()
	wantFile(t, p.remote, "a", "same")
	wantFile(t, p.remote, "b", "same")
	noTemps(t, p.remote)
}

// Every call may fail, at random, for run after run. In the end all is there.
func TestErrorsEverywhere(t *testing.T) {
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newPairing(t, Options{Mode: mode})
			from := map[Mode]string{Push: p.local, Pull: p.remote, TwoWay: p.local}[mode]
			for i := range 60 {
				put(t, from, fmt.Sprintf("d%d/f%d", i/10, i), strings.Repeat("x", i*100), old)
			}
			put(t, from, "large", string(pattern(1, 12<<20)), old)
			var mu sync.Mutex
			rnd := rand.New(rand.NewPCG(1, uint64(mode)))
			rate := 0.3
			p.dir.Before = func(context.Context, string, string) error {
				mu.Lock()
				defer mu.Unlock()
				if rnd.Float64() < rate {
					return syscall.EIO
				}
				return nil
			}
			for range 12 {
				if _, err := p.try(t.Context()); err != nil && !errors.Is(err, syscall.EIO) {
					t.Fatal(err)
				}
				rate *= 0.7
			}
			p.dir.Before = nil
			p.clean()
			sameTrees(t, p.local, p.remote, true)
			noTemps(t, p.local, p.remote)
		})
	}
}

// On such a server a version that comes between the last look and the stepping aside is
// looked at there, and gets its name back.
func TestWhatStepsAsideIsLookedAt(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "a", "new version", young)
	put(t, p.remote, "a", "old", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op != "rename" {
			return nil
		}
		_, err := os.Lstat(filepath.Join(p.remote, "a"))
		switch {
		case strings.HasSuffix(path, partSuffix) && err == nil:
			return syscall.EOPNOTSUPP
		case path == "a":
			put(t, p.remote, "a", "of somebody", young+1)
		}
		return nil
	}
	if res := p.run(); res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, errTargetChanged) {
		t.Errorf("%+v", res.Failures)
	}
	wantFile(t, p.remote, "a", "of somebody")
	noTemps(t, p.remote)
}

// The name aside is short where names have to be.
func TestStepsAsideWithAShortName(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	name := strings.Repeat("n", 100)
	put(t, p.local, name, "new version", young)
	put(t, p.remote, name, "old", old)
	p.runOn(shortNames{p.dir})
	wantFile(t, p.remote, name, "new version")
	noTemps(t, p.remote)
}

// Also on a server that keeps no times, or coarse ones.
func TestAnUnfinishedReplacementWithoutTimes(t *testing.T) {
	for name, on := range map[string]func(*pairing) remote.Remote{
		"none":   func(p *pairing) remote.Remote { return refusing{p.dir, "times"} },
		"coarse": func(p *pairing) remote.Remote { return stepped{p.dir} },
	} {
		p := newPairing(t, Options{Mode: Push})
		id := newRun(p.config())
		put(t, p.local, "f", "new", old+1)
		put(t, p.remote, "f", "new", map[string]int64{"none": young, "coarse": old}[name])
		put(t, p.remote, id.old("f"), "older", old-10)
		if res := p.runOn(on(p)); res.Partial() {
			t.Errorf("%s: %+v", name, res.Failures)
		}
		wantFile(t, p.remote, "f", "new")
		noTemps(t, p.remote)
	}
}

// A folder that goes during the run is no failure.
func TestAFolderThatVanishesIsNoFailure(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	put(t, p.remote, "dir/f", "f", old)
	put(t, p.remote, "g", "g", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "readdir" && path == "dir" {
			return os.RemoveAll(filepath.Join(p.remote, "dir"))
		}
		return nil
	}
	if res := p.clean(); res.Vanished != 1 {
		t.Errorf("%+v", res)
	}
	wantFile(t, p.local, "g", "g")
}
