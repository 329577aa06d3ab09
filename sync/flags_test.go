package sync

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMaxErrorsEndsTheRun(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, MaxErrors: 3})
	for i := range 400 {
		put(t, p.local, strings.Repeat("d", i/40+1)+"/"+strings.Repeat("f", i%40+1), "text", old)
	}
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "open" && strings.Contains(path, "-p") {
			return syscall.EACCES
		}
		return nil
	}
	res, err := p.try(t.Context())
	if !errors.Is(err, ErrTooMany) || res.FailureCount < 3 || res.FailureCount > 3+usualSmall || !res.Ended {
		t.Errorf("%v, %d", err, res.FailureCount)
	}
}

func TestOneFileSystem(t *testing.T) {
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		p := newPairing(t, Options{Mode: mode, OneFileSystem: true})
		mounted := filepath.Join(p.local, "mounted")
		must(t, os.Mkdir(mounted, 0o755))
		if os.Getuid() != 0 {
			t.Skip("mounting takes root")
		}
		must(t, syscall.Mount("tmpfs", mounted, "tmpfs", 0, "size=64k"))
		t.Cleanup(func() { must(t, syscall.Unmount(mounted, 0)) })
		put(t, p.local, "mounted/a", "a", old)
		put(t, p.remote, "mounted/b", "b", old)
		put(t, p.local, "f", "f", old)
		put(t, p.remote, "g", "g", old)
		res := p.clean()
		wantAbsent(t, p.remote, "mounted/a")
		wantAbsent(t, p.local, "mounted/b")
		if res.Elsewhere != 1 {
			t.Errorf("%v: %+v", mode, res)
		}
	}
}

func TestTriggerFile(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode, TriggerFile: "all done"})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		put(t, from, "f", "text", old)
		put(t, from, "clash/x", "a folder here", old)
		put(t, to, "clash", "a file there", old)
		p.run()
		wantAbsent(t, to, "all done")
		must(t, os.Remove(filepath.Join(to, "clash")))
		p.clean()
		wantFile(t, to, "all done", "")
		setTime(t, filepath.Join(to, "all done"), old)
		p.clean()
		if info, err := os.Stat(filepath.Join(to, "all done")); err != nil || info.ModTime().Unix() == old {
			t.Errorf("%v: not made anew: %v", mode, err)
		}
		noTemps(t, to)
	}
}

// What has the trigger file's name and is none is copied, and not replaced.
func TestATriggerFileReplacesNothing(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, TriggerFile: "f"})
	put(t, p.local, "f", "text", old)
	if _, err := p.try(t.Context()); !errors.Is(err, errNoTrigger) {
		t.Error(err)
	}
	wantFile(t, p.remote, "f", "text")
	must(t, os.Remove(filepath.Join(p.local, "f")))
	if _, err := p.try(t.Context()); !errors.Is(err, errNoTrigger) {
		t.Error(err)
	}
	wantFile(t, p.remote, "f", "text")
	noTemps(t, p.remote)
}

// Names of parts end as they are told to, and those of an earlier run are found
// whatever they end in.
func TestTempSuffix(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, TempSuffix: ".uploading"})
	put(t, p.local, "f", "text", old)
	put(t, p.remote, newRun(p.config()).part("gone", file(1, old)), "left", old)
	var mu sync.Mutex
	var seen []string // guarded by mu
	p.dir.Before = func(_ context.Context, op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		if op == "open" {
			seen = append(seen, path)
		}
		return nil
	}
	p.clean()
	noTemps(t, p.remote)
	for _, path := range seen {
		if !strings.HasSuffix(path, ".uploading") {
			t.Errorf("opened %s", path)
		}
	}
}

func TestVerifyReadsBack(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, VerifyRead: true, Fsync: FsyncNever})
	put(t, p.local, "a", "the new content", young)
	put(t, p.remote, "a", "old", old)
	p.dir.Before = once("flush", func(path string) error {
		return os.WriteFile(filepath.Join(p.remote, path), []byte("the bad content"), 0o644)
	})
	if res := p.run(); res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, errNotWhole) {
		t.Errorf("%+v", res.Failures)
	}
	wantFile(t, p.remote, "a", "old")
}

func TestTwoWayNamesWhatItLeavesAlone(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	put(t, p.local, "dir/f", "aaa", old)
	put(t, p.remote, "dir/f", "bbb", young)
	res := p.clean()
	if res.LeftAlone != 1 || !strings.Contains(res.Summary(), "dir/f") {
		t.Error(res.Summary())
	}
	told := false
	for _, e := range p.events {
		told = told || e.Kind == EventSkip && e.Action.Path == "dir/f" && e.Action.Why == WhyLeft
	}
	if !told {
		t.Error("no event tells of it")
	}
	p.options.Strict = true
	if res := p.run(); !res.Partial() {
		t.Error("strict, and not partial")
	}
}

// What comes under the trigger file's name while that is made is not replaced.
func TestATriggerFileIsLookedAtLast(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		for _, there := range []bool{false, true} {
			p := newPairing(t, Options{Mode: mode, TriggerFile: "all done"})
			from, to := p.local, p.remote
			if mode == Pull {
				from, to = to, from
			}
			put(t, from, "f", "text", old)
			put(t, to, "f", "text", old)
			if there {
				put(t, to, "all done", "", old)
			}
			p.dir.Before = func(_ context.Context, op, path string) error {
				if mode == Push && op == "close" && strings.Contains(path, "-p") { // of the trigger file: nothing else is made
					put(t, to, "all done", "of somebody", young)
				}
				return nil
			}
			if mode == Push {
				if _, err := p.try(t.Context()); !errors.Is(err, errNoTrigger) {
					t.Errorf("there before: %v: %v", there, err)
				}
				wantFile(t, to, "all done", "of somebody")
			} else {
				p.clean()
				wantFile(t, to, "all done", "")
			}
			noTemps(t, to)
		}
	}
}

// A target that its owner may not write to is opened up for the trigger file, too.
func TestATriggerFileInAReadOnlyFolder(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, TriggerFile: "all done"})
	put(t, p.local, "f", "text", old)
	put(t, p.remote, "f", "text", old)
	must(t, os.Chmod(p.remote, 0o555))
	t.Cleanup(func() { must(t, os.Chmod(p.remote, 0o755)) })
	p.dir.Before = func(_ context.Context, op, _ string) error { // root may always write
		info, err := os.Stat(p.remote)
		if op == "open" && err == nil && info.Mode()&0o200 == 0 {
			return syscall.EACCES
		}
		return nil
	}
	p.clean()
	wantFile(t, p.remote, "all done", "")
	if info, err := os.Stat(p.remote); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A file that is written to all the time is left for the next run, and all is not there.
func TestAFileWrittenToAllTheTime(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, TriggerFile: "all done", Strict: true})
	put(t, p.remote, "f", "text", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "open" && path == "f" {
			writeText(t, filepath.Join(p.remote, "f"), "more")
		}
		return nil
	}
	res := p.run()
	wantAbsent(t, p.local, "f")
	wantAbsent(t, p.local, "all done")
	if !res.Partial() || res.Busy != 1 || res.Settling != 0 {
		t.Errorf("%+v", res)
	}
}

// All is there when nothing is left settling.
func TestNoTriggerFileWhileAFileSettles(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode, TriggerFile: "all done", Settle: time.Hour})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		put(t, from, "f", "text", old)
		put(t, from, "g", "half of it", time.Now().Unix())
		if res := p.clean(); res.Settling != 1 {
			t.Errorf("%+v", res)
		}
		wantFile(t, to, "f", "text")
		wantAbsent(t, to, "all done")
		setTime(t, filepath.Join(from, "g"), old)
		p.clean()
		wantFile(t, to, "all done", "")
	}
}
