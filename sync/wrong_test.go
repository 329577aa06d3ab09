package sync

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// repeat runs again and again, and calls after with the number of each run until it
// says that it is done.
func (p *pairing) repeat(s Schedule, log *slog.Logger, after func(run int) (done bool)) {
	p.t.Helper()
	c := p.config()
	c.Log = log
	r, err := New(c)
	must(p.t, err)
	if p.watch != nil {
		r.watch = p.watch
	}
	enough, runs := errors.New("enough"), 0
	s.After = func(*Result, error) error {
		if runs++; after(runs) {
			return enough
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	if err := r.Repeat(ctx, s); !errors.Is(err, enough) {
		p.t.Fatalf("after %d runs: %v", runs, err)
	}
}

// With no inotify instance left runs follow each other by the clock.
func TestWatchWithoutInotify(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	var said bytes.Buffer
	p.watch = func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }
	p.repeat(Schedule{Every: 10 * time.Millisecond, Watch: true}, slog.New(slog.NewTextHandler(&said, nil)), func(run int) bool {
		put(t, p.local, "a", strings.Repeat("a", run), old)
		return run == 3
	})
	wantFile(t, p.remote, "a", "aa")
	if n := strings.Count(said.String(), "max_user_instances"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &said)
	}
}

// The local folder is a link, and another folder comes in its place.
func TestWatchSeesWhatALinkLeadsTo(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	base := t.TempDir()
	one, other, at := filepath.Join(base, "one"), filepath.Join(base, "other"), filepath.Join(base, "link")
	must(t, errors.Join(os.Mkdir(one, 0o755), os.Mkdir(other, 0o755), os.Symlink("one", at)))
	p.local = at
	p.repeat(Schedule{Every: time.Hour, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		switch run {
		case 1:
			put(t, one, "a", "a", old)
		case 2:
			must(t, errors.Join(os.Symlink("other", at+"~"), os.Rename(at+"~", at)))
		case 3:
			put(t, other, "b", "b", old)
		}
		return run == 4
	})
	wantFile(t, p.remote, "a", "a")
	wantFile(t, p.remote, "b", "b")
}

func TestWatchSeesANewRoot(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	p.repeat(Schedule{Every: time.Hour, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		switch run {
		case 1:
			must(t, errors.Join(os.Rename(p.local, p.local+"~"), os.Mkdir(p.local, 0o755)))
		case 2:
			put(t, p.local, "b", "b", old)
		}
		return run == 3
	})
	wantFile(t, p.remote, "b", "b")
}

func TestWatchPassesOverWhatIsExcluded(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Names: filterOf(t, "*.log\ntmp/")})
	must(t, os.Mkdir(filepath.Join(p.local, "tmp"), 0o755))
	began := time.Now()
	p.repeat(Schedule{Every: 3 * time.Second, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		put(t, p.local, "a.log", strings.Repeat("a", run), old)
		put(t, p.local, "tmp/a", strings.Repeat("a", run), old)
		return run == 2
	})
	if d := time.Since(began); d < 3*time.Second {
		t.Errorf("a run after %v", d)
	}
}

// A folder that may be written to and not listed.
func TestPushIntoADropBox(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "new", "new", old)
	put(t, p.local, "there", "newer", young)
	put(t, p.local, "same", "same", old)
	put(t, p.remote, "there", "old", old)
	put(t, p.remote, "same", "same", old)
	p.dir.Before = func(_ context.Context, op, _ string) error {
		if op == "readdir" {
			return syscall.EACCES
		}
		return nil
	}
	res := p.clean()
	wantFile(t, p.remote, "new", "new")
	wantFile(t, p.remote, "there", "newer")
	if res.ToRemote.Files != 2 || res.Unchanged != 1 {
		t.Errorf("%+v", res)
	}
	noTemps(t, p.remote)
}

// The root of the source goes during the run.
func TestTheSourceGoesDuringTheRun(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode})
		from := map[Mode]string{Push: p.local, Pull: p.remote}[mode]
		for _, n := range []string{"a", "b", "c"} {
			put(t, from, "dir/"+n, n, old)
		}
		var calls atomic.Int64
		p.dir.Before = func(_ context.Context, op, _ string) error {
			if op == "readdir" && calls.Add(1) == 1 {
				return os.Rename(from, from+"~")
			}
			return nil
		}
		if res, err := p.try(t.Context()); err == nil && !res.Partial() {
			t.Errorf("%v: %+v", mode, res)
		}
		must(t, os.Rename(from+"~", from))
	}
}

// What a server does not do is left as it is, and told by nobody as a failure.
func TestServersThatSetNoTimesOrModes(t *testing.T) {
	for _, refused := range []string{"times", "modes", "both"} {
		p := newPairing(t, Options{Mode: Push})
		put(t, p.local, "dir/a", "text", old)
		must(t, os.Chmod(filepath.Join(p.local, "dir/a"), 0o640))
		c := p.config()
		c.Remote = refusing{p.dir, refused}
		for range 2 {
			r, err := New(c)
			must(t, err)
			res, err := r.Run(t.Context())
			must(t, err)
			if res.Partial() {
				t.Errorf("%s: %+v", refused, res.Failures)
			}
			c.Events = func(e Event) {
				if e.Kind == EventDone {
					t.Errorf("%s: done again: %s", refused, e.Text())
				}
			}
		}
		wantFile(t, p.remote, "dir/a", "text")
	}
}

// Times in steps of two seconds, as FAT has them.
func TestTimesInSteps(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "odd", "odd", old+1)
	put(t, p.local, "even", "even", old)
	for run := range 2 {
		c := p.config()
		c.Remote = stepped{p.dir}
		r, err := New(c)
		must(t, err)
		res, err := r.Run(t.Context())
		must(t, err)
		if want := int64(2 * (1 - run)); res.ToRemote.Files != want {
			t.Errorf("run %d: %d files", run, res.ToRemote.Files)
		}
	}
	p.options.ModifyWindow = time.Hour
	setTime(t, filepath.Join(p.local, "odd"), old+600)
	if res := p.run(); res.Changed() {
		t.Errorf("within the window: %+v", res)
	}
}

// Whatever fails is told on the side where it failed, and what was done is counted.
func TestSidesAndCounts(t *testing.T) {
	for _, c := range []struct {
		mode Mode
		op   string // of the remote, that fails
		want Side
	}{
		{Push, "open", Remote}, {Push, "rename", Remote}, {Push, "write", Remote},
		{Pull, "open", Remote}, {Pull, "read", Remote},
	} {
		p := newPairing(t, Options{Mode: c.mode})
		put(t, map[Mode]string{Push: p.local, Pull: p.remote}[c.mode], "f", "text", old)
		p.dir.Before = func(_ context.Context, op, path string) error {
			if op == c.op && !strings.Contains(path, "-q") {
				return syscall.EACCES
			}
			return nil
		}
		res := p.run()
		if res.FailureCount != 1 || res.Failures[0].Side != c.want {
			t.Errorf("%v, %s: %+v", c.mode, c.op, res.Failures)
		}
		if text := res.Summary(); strings.Contains(text, "nothing to do") {
			t.Errorf("%v, %s: %s", c.mode, c.op, text)
		}
	}
}

func TestALocalErrorIsToldAsOne(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	small := p.local
	must(t, syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, syscall.Unmount(small, 0)) })
	put(t, p.remote, "f", string(pattern(1, 1<<20)), old)
	if res := p.run(); res.FailureCount != 1 || res.Failures[0].Side != Local || !errors.Is(res.Failures[0].Err, syscall.ENOSPC) {
		t.Errorf("%+v", res.Failures)
	}
	noTemps(t, p.local)
	// A source that cannot be removed was copied all the same, and counts.
	p = newPairing(t, Options{Mode: Pull, Delete: true})
	put(t, p.remote, "f", "text", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "rename" {
			return syscall.EACCES
		}
		return nil
	}
	res := p.run()
	if res.ToLocal.Files != 1 || res.Deleted != 0 || res.FailureCount != 1 || res.Failures[0].Side != Remote {
		t.Errorf("%+v", res)
	}
	wantFile(t, p.remote, "f", "text")
}

func TestNothingToDoIsOnlySaidWhenThatIsSo(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "d/f", "text", old)
	put(t, p.remote, "d/g", "text", old)
	ctx, cancel := context.WithCancel(t.Context())
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "readdir" && path == "d" {
			cancel()
		}
		return nil
	}
	res, err := p.try(ctx)
	if !errors.Is(err, context.Canceled) || strings.Contains(res.Summary(), "nothing to do") || !strings.Contains(res.Summary(), "ended") {
		t.Errorf("%v\n%s", err, res.Summary())
	}
}

func TestSettleAndTheFuture(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Settle: time.Minute})
	put(t, p.local, "ahead", "text", time.Now().Add(time.Hour).Unix())
	put(t, p.local, "now", "text", time.Now().Unix())
	p.run()
	wantFile(t, p.remote, "ahead", "text")
	wantAbsent(t, p.remote, "now")
}

// The rate is kept from the first byte on.
func TestBandwidthLimitFromTheStart(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, BandwidthLimit: 512 << 10})
	put(t, p.local, "a", string(pattern(1, 512<<10)), old)
	began := time.Now()
	p.clean()
	if d := time.Since(began); d < 700*time.Millisecond || d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// A dry run plans also for folders that a real run makes first.
func TestDryRunWithoutTheTarget(t *testing.T) {
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		p := newPairing(t, Options{Mode: mode, DryRun: true})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		put(t, from, "dir/a", "a", old)
		must(t, os.Remove(to))
		res := p.run()
		if res.Partial() || res.ToRemote.Files+res.ToLocal.Files != 1 {
			t.Errorf("%v: %+v", mode, res)
		}
		wantAbsent(t, filepath.Dir(to), filepath.Base(to))
	}
}

// Who may look into a new folder does not depend on whether the run comes to its end.
func TestAFolderIsMadeWithItsMode(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "dir/a", "a", old)
	must(t, os.Chmod(filepath.Join(p.local, "dir"), 0o750))
	var seen atomic.Uint32 // calls come from several goroutines
	p.dir.Before = func(_ context.Context, op, path string) error {
		if info, err := os.Stat(filepath.Join(p.remote, "dir")); err == nil {
			seen.CompareAndSwap(0, uint32(info.Mode().Perm()))
		}
		return nil
	}
	p.clean()
	if seen.Load() != 0o750 {
		t.Errorf("made with %o", seen.Load())
	}
}

// A name of the form of a part's, without its sum, is somebody's own.
func TestAFileNamedLikeAPartIsTheUsers(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	name := tempPrefix + "0123abcd-00000000ffff-p0123456789abcdef-0000.part"
	put(t, p.local, name, "mine", old)
	put(t, p.remote, "x"+name, "mine", old)
	p.clean()
	wantFile(t, p.remote, name, "mine")
	wantFile(t, p.local, name, "mine")
}

// A tree without an end ends.
func TestATreeWithoutAnEnd(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, DryRun: true})
	c := p.config()
	c.Remote = endless{p.dir}
	r, err := New(c)
	must(t, err)
	res, err := r.Run(t.Context())
	must(t, err)
	if res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, errTooDeep) || res.Failures[0].Side != Remote {
		t.Errorf("%d failures: %.300v", res.FailureCount, res.Failures)
	}
}

// The lock on the local folder: shared where it is only read.
func TestLocksOfTheLocalFolder(t *testing.T) {
	for _, c := range []struct {
		one, other Options
		both       bool
	}{
		{Options{Mode: Push}, Options{Mode: Push}, true},
		{Options{Mode: Push}, Options{Mode: Pull}, false},
		{Options{Mode: TwoWay}, Options{Mode: Push}, false},
		{Options{Mode: Push, Delete: true}, Options{Mode: Push}, false},
		{Options{Mode: Pull}, Options{Mode: Pull, DryRun: true}, true},
	} {
		p := newPairing(t, c.one)
		q := newPairing(t, c.other)
		q.local = p.local
		var inner error
		p.dir.Before = once("readdir", func(string) error {
			_, inner = q.try(t.Context())
			return nil
		})
		p.run()
		if c.both != (inner == nil) || !c.both && !errors.Is(inner, ErrLocked) {
			t.Errorf("%v beside %v: %v", c.other.Mode, c.one.Mode, inner)
		}
	}
}

// Where the owner cannot be set, a program does not get the rights of another one.
func TestSetIDBitsAreTheOwners(t *testing.T) {
	for _, there := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Push, Owner: true})
		put(t, p.local, "f", "program", old)
		must(t, os.Chmod(filepath.Join(p.local, "f"), 0o755|os.ModeSetuid))
		if there {
			put(t, p.remote, "f", "program", old)
		}
		if res := p.runOn(ownerless{p.dir}); res.FailureCount != 1 {
			t.Errorf("%+v", res.Failures)
		}
		wantFile(t, p.remote, "f", "program")
		if info, err := os.Stat(filepath.Join(p.remote, "f")); err != nil || info.Mode()&os.ModeSetuid != 0 {
			t.Errorf("there before: %v: %v, %v", there, info.Mode(), err)
		}
	}
}

// A folder that cannot be watched does not hide those after it.
func TestWatchGoesOnBehindAFolderThatCannotBeWatched(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	must(t, os.Mkdir(filepath.Join(p.local, "a"), 0o755))
	must(t, os.Mkdir(filepath.Join(p.local, "z"), 0o755))
	deadMount(t, filepath.Join(p.local, "dead"))
	p.repeat(Schedule{Every: time.Hour, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		put(t, p.local, "z/f", "z", old)
		return run == 2
	})
	wantFile(t, p.remote, "z/f", "z")
}

// A folder that has folders gets another name: what happens in those is told by it.
func TestWatchFollowsAFolderThatMoves(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Names: filterOf(t, "/a/x/no")})
	must(t, os.MkdirAll(filepath.Join(p.local, "a/x"), 0o755))
	p.repeat(Schedule{Every: time.Hour, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		switch run {
		case 1:
			must(t, os.Rename(filepath.Join(p.local, "a"), filepath.Join(p.local, "b")))
		case 2:
			must(t, os.Mkdir(filepath.Join(p.local, "b/x/no"), 0o755)) // excluded by its old path
		case 3:
			put(t, p.local, "b/x/no/f", "f", old)
		}
		return run == 4
	})
	wantFile(t, p.remote, "b/x/no/f", "f")
}

// The folder goes, and comes again after a while.
func TestWatchWaitsForItsFolder(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	p.repeat(Schedule{Every: time.Hour, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		switch run {
		case 1:
			must(t, os.Remove(p.local))
		case 2:
			go func() {
				time.Sleep(quiet)
				_ = os.Mkdir(p.local, 0o755) // or the test waits in vain
			}()
		case 3:
			put(t, p.local, "f", "f", old)
		}
		return run == 4
	})
	wantFile(t, p.remote, "f", "f")
}

// After a queue that has overflowed all folders are watched again.
func TestWatchAfterAnOverflow(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	var fs *fsnotify.Watcher
	p.watch = func() (w *fsnotify.Watcher, err error) {
		fs, err = fsnotify.NewWatcher()
		return fs, err
	}
	p.repeat(Schedule{Every: time.Hour, Watch: true}, slog.New(slog.DiscardHandler), func(run int) bool {
		switch run {
		case 1:
			must(t, os.MkdirAll(filepath.Join(p.local, "new/deep"), 0o755))
			<-fs.Events // it is lost
			go func() { fs.Errors <- fsnotify.ErrEventOverflow }()
		case 2:
			put(t, p.local, "new/deep/f", "f", old)
		}
		return run == 3
	})
	wantFile(t, p.remote, "new/deep/f", "f")
}

// What has settled is taken up without an event.
func TestWatchComesBackForWhatSettles(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Settle: 2 * time.Second})
	writeText(t, filepath.Join(p.local, "f"), "text")
	p.repeat(Schedule{Every: time.Hour, Watch: true}, slog.New(slog.DiscardHandler), func(int) bool {
		_, err := os.Stat(filepath.Join(p.remote, "f"))
		return err == nil
	})
	wantFile(t, p.remote, "f", "text")
}

// A server that takes modes without a word and keeps its own is found out.
func TestAServerThatKeepsNoModes(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "a", "text", old)
	must(t, os.Chmod(filepath.Join(p.local, "a"), 0o640))
	p.runOn(modeless{p.dir})
	if res := p.runOn(modeless{p.dir}); res.Partial() || res.Changed() {
		t.Errorf("%+v", res)
	}
}
