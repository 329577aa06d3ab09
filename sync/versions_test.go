package sync

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// What a part holds where the source has zeros (pull) or a hole (push) does not stay.
func TestResumedPartOverZeros(t *testing.T) {
	const size = 28 << 20
	for _, o := range []Options{{Mode: Push, Delete: true}, {Mode: Pull, Delete: true}, {Mode: Pull}, {Mode: Push}} {
		p := newPairing(t, o)
		from, to := p.local, p.remote
		if o.Mode != Push {
			from, to = to, from
		}
		before := pattern(1, size)
		now := append([]byte(nil), before...)
		clear(now[20<<20 : 22<<20])
		at := filepath.Join(from, "large")
		f, err := os.Create(at)
		must(t, err)
		_, err = f.WriteAt(now[:20<<20], 0)
		must(t, err)
		_, err = f.WriteAt(now[22<<20:], 22<<20)
		must(t, err)
		must(t, f.Close())
		setTime(t, at, old)
		put(t, to, newRun(p.config()).part("large", file(size, old)), string(before[:24<<20]), young)
		res := p.run()
		b, err := os.ReadFile(filepath.Join(to, "large"))
		must(t, err)
		_, gone := os.Lstat(at)
		if string(b) != string(now) {
			t.Errorf("%v delete=%v: the copy is not the source; source removed: %v, resumed %d", o.Mode, o.Delete, gone != nil, res.Resumed)
		}
	}
}

// A local link that leads elsewhere by the time at which it is to be removed stays.
func TestLinkThatChangedIsRemoved(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true, Links: LinksCopy})
	must(t, os.Symlink("aaaa", filepath.Join(p.local, "l")))
	must(t, os.Symlink("aaaa", filepath.Join(p.remote, "l")))
	done := false
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "lstat" && path == "l" && !done {
			done = true
			at := filepath.Join(p.local, "l")
			must(t, os.Remove(at))
			must(t, os.Symlink("bbbb", at))
		}
		return nil
	}
	p.run()
	if !done {
		t.Fatal("no disturbance")
	}
	got, err := os.Readlink(filepath.Join(p.local, "l"))
	there, _ := os.Readlink(filepath.Join(p.remote, "l"))
	if got != "bbbb" && there != "bbbb" {
		t.Errorf("the new link is lost: %q %v, there %q", got, err, there)
	}
}

// A link that a dead run set aside is compared with the target as any other.
func TestRestoredLink(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode, Delete: true, Links: LinksCopy})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		must(t, os.Symlink("mine", filepath.Join(from, newRun(p.config()).aside("l"))))
		must(t, os.Symlink("another", filepath.Join(to, "l")))
		res := p.run()
		got, err := os.Readlink(filepath.Join(from, "l"))
		there, _ := os.Readlink(filepath.Join(to, "l"))
		if got != "mine" && there != "mine" {
			t.Errorf("%v: link lost: %v, there %q; %+v", mode, err, there, res)
		}
	}
}

// A name that a dead run set aside, and that is excluded now, is given back and left.
func TestRestoredAndExcluded(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true, Names: filterOf(t, "keep")})
	put(t, p.local, newRun(p.config()).aside("keep"), "text", old)
	p.run()
	wantFile(t, p.local, "keep", "text")
	wantAbsent(t, p.remote, "keep")
}

// A target that changes while the copy is forced to the disk is not replaced.
func TestTargetChangesDuringFsync(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "f", "pushed", old+10)
	put(t, p.remote, "f", "old", old)
	p.dir.Before = once("sync", func(string) error {
		time.Sleep(300 * time.Millisecond) // the look at the target is over by now; an fsync takes its time
		put(t, p.remote, "f", "somebody's new version", young)
		return nil
	})
	p.run()
	wantFile(t, p.remote, "f", "somebody's new version")
}

// noStat is a server on which statvfs of one folder fails.
type noStat struct{ remote.Remote }

func (n noStat) StatFS(ctx context.Context, path string) (remote.StatFS, error) {
	if path == "mounted" {
		return remote.StatFS{}, remote.PathError("statfs", path, syscall.EIO)
	}
	return remote.StatFS{Fsid: 7}, nil
}

// A folder of which the filesystem is not known is left out, and told.
func TestOneFileSystemUnknown(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true, OneFileSystem: true})
	put(t, p.remote, "mounted/a", "a", old)
	res := p.runOn(noStat{p.dir})
	wantFile(t, p.remote, "mounted/a", "a")
	if !res.Partial() {
		t.Error("nothing was said")
	}
}

// A server that keeps no times has its own, of a clock that may be ahead.
func TestTwoWayNoTimesClockAhead(t *testing.T) {
	now := time.Unix(young, 0)
	p := Planner{Options: Options{Mode: TwoWay}, Now: now}
	p.Facts[Remote] = Facts{NoTimes: true, Ahead: 600}
	local := Item{Kind: File, Size: 5, Mtime: young - 60}        // edited here a minute ago
	there := Item{Kind: File, Size: 4, Mtime: young - 300 + 600} // came there five minutes ago, by our clock
	if a := p.Decide("f", local, there, Unread); a.Op != OpCopy || a.From != Local {
		t.Errorf("%v from %v", a.Op, a.From)
	}
}

// sizeless says of all files that they are empty, as /proc does.
type sizeless struct{ remote.Remote }

func zeroed(a remote.Attr) remote.Attr {
	if a.IsRegular() {
		a.Size = 0
	}
	return a
}
func (s sizeless) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	a, err := s.Remote.Lstat(ctx, path)
	return zeroed(a), err
}
func (s sizeless) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return s.Remote.ReadDir(ctx, path, func(es []remote.Entry) error {
		for i := range es {
			es[i].Attr = zeroed(es[i].Attr)
		}
		return emit(es)
	})
}
func (s sizeless) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := s.Remote.Open(ctx, path, flag, perm)
	return f, zeroed(a), err
}

// What does not end where its size says is not removed.
func TestSizeless(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true})
	put(t, p.remote, "doc", "has content", old)
	p.runOn(sizeless{p.dir})
	wantFile(t, p.remote, "doc", "has content")
}

// A source that is compared in a second that is not over is not removed.
func TestCompareRacy(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true})
	put(t, p.remote, "f", "aaaa", old)
	put(t, p.local, "f", "aaaa", old)
	at := filepath.Join(p.remote, "f")
	opened, goesOn := false, false
	p.dir.Before = func(_ context.Context, op, path string) error {
		switch {
		case op == "open" && path == "f" && !opened:
			opened = true
			aFreshSecond()
			writeText(t, at, "aaaa") // a writer begins, with what is the same
		case op == "rename" && path == "f":
			goesOn = true
			writeText(t, at, "bbbb") // and goes on within the second
		}
		return nil
	}
	p.run()
	for _, root := range []string{p.local, p.remote} {
		if b, _ := os.ReadFile(filepath.Join(root, "f")); string(b) == "bbbb" {
			return
		}
	}
	if goesOn {
		t.Error("bbbb is lost")
	}
}

// remembering is a cache: it tells what it was told before, unless that will not do.
type remembering struct {
	remote.Remote
	mu   sync.Mutex
	seen map[string]remote.Attr
}

func (r *remembering) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return r.Remote.ReadDir(ctx, path, func(es []remote.Entry) error {
		r.mu.Lock()
		for _, e := range es {
			r.seen[remote.Join(path, e.Name)] = e.Attr
		}
		r.mu.Unlock()
		return emit(es)
	})
}

func (r *remembering) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	r.mu.Lock()
	a, ok := r.seen[path]
	r.mu.Unlock()
	if ok && !remote.MustBeFresh(ctx) {
		return a, nil
	}
	return r.Remote.Lstat(ctx, path)
}

// A sync beside a mount sees its remote through a cache, and decides by the server.
func TestBesideAMount(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	put(t, p.local, "f", "edited here", old+10)
	put(t, p.remote, "f", "old", old)
	p.dir.Before = once("write", func(string) error {
		put(t, p.remote, "f", "somebody's newer version", young)
		return nil
	})
	p.runOn(&remembering{Remote: p.dir, seen: map[string]remote.Attr{}})
	wantFile(t, p.remote, "f", "somebody's newer version")
}

// One of several connections is stuck while a large file is pushed, and the run is
// ended. The next goes on with the part, and it has no hole.
func TestPushEndedWhileOneConnectionIsStuck(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	s := remotetest.NewServer(t, p.remote)
	s.Latency = 20 * time.Millisecond
	dial := func() *pool.Pool {
		c := pool.Config{Timeout: 30 * time.Second}
		c.Transport = func(ctx context.Context) (pool.Conn, error) {
			conn, err := s.Connect(ctx)
			if err != nil {
				return nil, err
			}
			return conn, nil
		}
		r, err := pool.New(c)
		must(t, err)
		must(t, r.Connect(t.Context()))
		return r
	}
	const size = 96 << 20
	good := pattern(1, size)
	put(t, p.local, "large", string(good), old)
	var mu sync.Mutex
	used, stuck := map[int]bool{}, int64(-1)
	s.Script(func(r remotetest.Request) remotetest.Fate {
		mu.Lock()
		defer mu.Unlock()
		if r.Type == "WRITE" {
			if used[r.Session] = true; stuck < 0 && len(used) >= 3 {
				stuck = r.Offset
				return remotetest.Swallow
			}
		}
		return remotetest.Answer
	})
	run := func(ctx context.Context, r remote.Remote) {
		c := p.config()
		c.Remote = r
		runner, err := New(c)
		must(t, err)
		res, err := runner.Run(ctx)
		t.Logf("%v; resumed from %d MiB, stuck at %d MiB", err, res.Resumed>>20, stuck>>20)
	}
	first := dial()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	run(ctx, first)
	first.Abort()
	s.Script(nil)
	second := dial()
	defer second.Abort()
	run(t.Context(), second)
	b, err := os.ReadFile(filepath.Join(p.remote, "large"))
	must(t, err)
	if string(b) != string(good) {
		t.Error("it got its name with a hole")
	}
}

// shifted is a server whose clock is another.
type shifted struct {
	remote.Remote
	by int64
}

func (s shifted) attr(a remote.Attr) remote.Attr { a.Mtime += s.by; return a }
func (s shifted) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	a, err := s.Remote.Lstat(ctx, path)
	return s.attr(a), err
}
func (s shifted) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return s.Remote.ReadDir(ctx, path, func(es []remote.Entry) error {
		for i := range es {
			es[i].Attr = s.attr(es[i].Attr)
		}
		return emit(es)
	})
}
func (s shifted) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := s.Remote.Open(ctx, path, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return shiftedFile{f, s}, s.attr(a), nil
}

type shiftedFile struct {
	remote.File
	s shifted
}

func (f shiftedFile) Stat(ctx context.Context) (remote.Attr, error) {
	a, err := f.File.Stat(ctx)
	return f.s.attr(a), err
}

// The second of a time is over by a clock that nobody has asked for.
func TestPullRacyWithAnotherClock(t *testing.T) {
	for _, o := range []Options{{Mode: Pull, Delete: true}, {Mode: Pull}} {
		p := newPairing(t, o)
		at := filepath.Join(p.remote, "f")
		aFreshSecond()
		writeText(t, at, "aaaa")
		var second sync.WaitGroup
		second.Go(func() {
			time.Sleep(400 * time.Millisecond)
			writeText(t, at, "bbbb")
		})
		for range 2 {
			p.runOn(shifted{p.dir, -60})
			second.Wait()
		}
		wantFile(t, p.local, "f", "bbbb")
	}
}

// A read-only folder that is pruned is not told to have failed.
func TestPruneOfAReadOnlyFolder(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true, Prune: true})
	put(t, p.remote, "d/f", "x", old)
	must(t, os.Chmod(filepath.Join(p.remote, "d"), 0o555))
	t.Cleanup(func() { // so that all can be removed, by whoever runs this
		for _, root := range []string{p.local, p.remote} {
			_ = os.Chmod(filepath.Join(root, "d"), 0o755) // it may be gone
		}
	})
	p.dir.Before = func(_ context.Context, op, path string) error {
		info, err := os.Stat(filepath.Join(p.remote, "d"))
		if op == "rename" && path == "d/f" && err == nil && info.Mode()&0o200 == 0 {
			return syscall.EACCES
		}
		return nil
	}
	res := p.run()
	wantAbsent(t, p.remote, "d")
	if res.Partial() {
		t.Errorf("%+v", res.Failures)
	}
}

// What came here from a server that keeps no times, and whose clock is ahead, has its
// time by our clock: it must not count as newer than what is edited there afterwards.
func TestTwoWayCopiesHaveTimesByOurClock(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	on := shifted{refusing{p.dir, "times"}, 600}
	now := time.Now().Unix()
	put(t, p.remote, "f", "first", now-300)
	p.runOn(on)
	wantFile(t, p.local, "f", "first")
	if res := p.runOn(on); res.Changed() || res.LeftAlone > 0 {
		t.Errorf("a second run: %+v", res)
	}
	put(t, p.remote, "f", "second one", now-100)
	p.runOn(on)
	wantFile(t, p.local, "f", "second one")
	wantFile(t, p.remote, "f", "second one")
}

// byPath is a server that opens a file and tells its attributes by the path, before and
// after which something happens.
type byPath struct {
	remote.Remote
	before, between func()
}

func (b byPath) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	if flag&remote.FlagWrite != 0 {
		return b.Remote.Open(ctx, path, flag, perm)
	}
	b.before()
	f, _, err := b.Remote.Open(ctx, path, flag, perm)
	if err != nil {
		return nil, remote.Attr{}, err
	}
	b.between()
	a, err := b.Remote.Lstat(ctx, path)
	return f, a, err
}

// Another version comes while a source is opened: what is known of it is not what is read.
func TestTheVersionReadIsTheOneProved(t *testing.T) {
	for _, there := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Pull, Delete: true})
		at := filepath.Join(p.remote, "f")
		put(t, p.remote, "f", "aaaa", old)
		come := func(text string, when int64) func() {
			return sync.OnceFunc(func() {
				put(t, p.remote, "f~", text, when)
				must(t, os.Rename(at+"~", at))
			})
		}
		on := byPath{p.dir, func() {}, come("bbbb", old+2)}
		if there { // what is read is alike, what stays there is not
			put(t, p.local, "f", "aaaa", old)
			on.before, on.between = come("aaaa", old+2), come("bbbb", old)
		}
		p.runOn(on)
		here, _ := os.ReadFile(filepath.Join(p.local, "f"))
		remains, _ := os.ReadFile(at)
		if string(here) != "bbbb" && string(remains) != "bbbb" {
			t.Errorf("alike before: %v: the second version is lost: here %q, there %q", there, here, remains)
		}
	}
}

// Neither is one in a read-only folder.
func TestPruneInAReadOnlyFolder(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true, Prune: true})
	put(t, p.remote, "ro/d/f", "x", old)
	put(t, p.remote, "ro/kept/g", "x", old)
	put(t, p.local, "ro/kept", "in the way", old)
	ro := filepath.Join(p.remote, "ro")
	must(t, os.Chmod(ro, 0o555))
	t.Cleanup(func() {
		for _, root := range []string{p.local, p.remote} {
			_ = os.Chmod(filepath.Join(root, "ro"), 0o755) // it may be gone
		}
	})
	p.dir.Before = func(_ context.Context, op, path string) error {
		info, err := os.Stat(ro)
		if op == "rmdir" && path == "ro/d" && err == nil && info.Mode()&0o200 == 0 {
			return syscall.EACCES
		}
		return nil
	}
	if res := p.run(); res.FailureCount > 0 {
		t.Errorf("%+v", res.Failures)
	}
	wantAbsent(t, p.remote, "ro/d")
	if info, err := os.Stat(ro); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
