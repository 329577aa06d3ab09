package fsnode

import (
	"io/fs"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

func TestClock(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	c := &clock{now: func() time.Time { return now }}
	settled := func(mtime int64, want bool) {
		t.Helper()
		if got, _ := c.settled(mtime); got != want {
			t.Errorf("settled(%d) is %v", mtime, got)
		}
	}
	// Nothing known: the server's clock may be hours off.
	settled(1_000_000-10, false)
	settled(1_000_000-2*3600, false)
	if got := c.stamp(); got != 1_000_000 {
		t.Errorf("stamp %d", got)
	}
	// The server is 500 seconds late.
	c.learn(999_500, now)
	settled(999_499, false)
	settled(999_498, true)
	if got := c.stamp(); got != 999_500 {
		t.Errorf("stamp %d", got)
	}
	now = now.Add(10 * time.Second)
	settled(999_508, true)
	c.learn(999_505, now) // written five seconds ago
	settled(999_508, true)
	c.learn(999_520, now) // our bound was too low
	settled(999_518, true)
	begun := now
	now = now.Add(time.Hour)
	c.learn(999_520, begun) // written an hour ago, and flushed only now
	settled(999_520+3598, true)
	c.learn(900_000, now) // set back
	settled(900_001, false)
}

// TestSetTimeTellsNoClock pins that the server's clock is not learned from a time that a
// program has set, by whichever handle of the file.
func TestSetTimeTellsNoClock(t *testing.T) {
	d := drive(t, Config{AttrTimeout: time.Minute}, nil, nil)
	d.write("f", "")
	d.handle("f", syscall.O_WRONLY)
	fh, h := d.handle("f", syscall.O_WRONLY)
	flush := func() (known bool) {
		t.Helper()
		d.flush(fh)
		_, known = d.f.clock.settled(0)
		return known
	}
	d.put(fh, "data")
	d.setMtime(h.node.id)
	if flush() {
		t.Error("the clock is learned from a time that was set")
	}
	d.put(fh, "data")
	if !flush() {
		t.Error("the clock is not learned from a file that was written")
	}
}

// The server's clock is two hours behind and not known, as nothing was written: a file
// that was changed there a moment ago looks old by ours.
func TestPagesAreNotKeptByOurClock(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	f := &filesystem{cfg: Config{AttrTimeout: time.Second}, clock: &clock{now: func() time.Time { return now }}, tree: &tree{}}
	n := &node{file: &inode{}}
	a := remote.Attr{Size: 4, Mtime: 1_000_000 - 7200}
	for i, step := range []struct {
		wait time.Duration
		keep bool
		why  string
	}{
		{0, false, "nothing is there"},
		{time.Second, false, "a change in the same second would not show"},
		{2 * time.Second, false, "what is there was read in the first second, perhaps"},
		{time.Second, true, "what is there was read when the second was long over"},
	} {
		now = now.Add(step.wait)
		if got := f.keepPages(n, a); got != step.keep {
			t.Errorf("open %d: kept is %v; %s", i, got, step.why)
		}
	}
}

func TestKilled(t *testing.T) {
	files := map[string]string{
		"/proc/1/status": "Name:\tx\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n",
		"/proc/2/status": "Name:\tx\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n",
		"/proc/3/status": "Name:\tx\nSigPnd:\t0000000000002000\nShdPnd:\t0000000000004001\nSigBlk:\t0000000000000100\n",
		"/proc/4/status": "Name:\tSigPnd: 100\nSigPnd:\tnonsense\n",
	}
	p := procfs{root: "/proc", read: func(name string) ([]byte, error) {
		if data, ok := files[name]; ok {
			return []byte(data), nil
		}
		return nil, fs.ErrNotExist
	}}
	for thread, want := range map[uint32]bool{1: true, 2: true, 3: false, 4: false, 5: false} {
		if got := p.killed(thread); got != want {
			t.Errorf("thread %d: killed %v", thread, got)
		}
	}
}

// A call that waits is not given up for a signal that its caller handles, but when
// the caller is being killed.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		killed, done := atomic.Bool{}, make(chan struct{})
		f := &filesystem{gone: make(chan struct{}), dead: func() bool { return false }}
		f.proc = procfs{read: func(string) ([]byte, error) {
			if killed.Load() {
				return []byte("SigPnd:\t0000000000000100\n"), nil
			}
			return nil, nil
		}}
		interrupted := make(chan struct{})
		c := f.begin(opRead, interrupted, &fuse.InHeader{Caller: fuse.Caller{Pid: 1}})
		answer := make(chan bool, 1)
		go func() { answer <- c.Await(done) }()
		close(interrupted)
		time.Sleep(time.Minute)
		select {
		case <-answer:
			t.Fatal("a signal that the caller handles ended the call")
		default:
		}
		killed.Store(true)
		if <-answer || c.Err() == nil {
			t.Error("the caller was killed, and the call goes on")
		}
		close(done)
		if remote.Await(c, done) != nil {
			t.Error("what is done is not told")
		}
		c.finish(nil)
	})
}

func TestDying(t *testing.T) {
	// Fields 3 to 52 of proc(5)'s stat; flags are the 9th, the exit code the 52nd.
	stat := func(flags, code string) string {
		s := "7 (a) b) S 1 1 1 0 -1 " + flags
		for range 52 - 10 {
			s += " 0"
		}
		return s + " " + code + "\n"
	}
	for name, tc := range map[string]struct {
		stat string
		want bool
	}{
		"killed":        {stat("4194308", "9"), true},
		"killed, core":  {stat("4", "137"), true},
		"exits":         {stat("4", "256"), false},
		"runs":          {stat("4194304", "0"), false},
		"not permitted": {stat("4", "0"), false},
		"short":         {"7 (x) S 1", false},
		"none":          {"", false},
	} {
		p := procfs{root: "/proc", read: func(string) ([]byte, error) { return []byte(tc.stat), nil }}
		if got := p.dying(7); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestInside(t *testing.T) {
	for _, tc := range []struct {
		root, link, target, want string
		ok                       bool
	}{
		{"/srv", "d/l", "f", "d/f", true},
		{"/srv", "d/l", "../f", "f", true},
		{"/srv", "d/l", "..", ".", true},
		{"/srv", "d/l", "../../f", "", false},
		{"/srv", "l", "/srv/d/../f", "f", true},
		{"/srv", "l", "/srv", ".", true},
		{"/srv", "l", "/srvx/f", "", false},
		{"/", "l", "/etc/f", "etc/f", true},
	} {
		got, ok := inside(tc.root, tc.link, tc.target)
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s -> %s in %s: %q, %v", tc.link, tc.target, tc.root, got, ok)
		}
	}
}

func TestFillStatfs(t *testing.T) {
	for _, s := range []remote.StatFS{
		{Bsize: 4096, Frsize: 4096, Blocks: 100},
		{Bsize: 1 << 20, Blocks: 100},
		{Bsize: 1 << 33, Frsize: 1 << 33, Blocks: 100},
	} {
		var out fuse.StatfsOut
		fillStatfs(&out, s)
		frsize := s.Frsize
		if frsize == 0 {
			frsize = s.Bsize
		}
		if out.Blocks*uint64(out.Frsize) != s.Blocks*frsize || out.NameLen == 0 {
			t.Errorf("%+v: %d blocks of %d, names of %d", s, out.Blocks, out.Frsize, out.NameLen)
		}
	}
}

func TestFindDevice(t *testing.T) {
	const table = `22 1 0:21 / /mnt rw - fuse.sshfs a rw
23 1 0:40 / /mnt/a\040b rw shared:1 - fuse.sshfs host:\040x rw
24 1 0:41 / /mnt rw - fuse.sshfs b rw
short line
`
	for point, want := range map[string]device{"/mnt": "0:41", "/mnt/a b": "0:40", "/other": ""} {
		got := device("")
		for _, got = range findDevices(table, point) { // the last is on top
		}
		if got != want {
			t.Errorf("%s: %q, want %q", point, got, want)
		}
	}
}

func TestEscaped(t *testing.T) {
	got := escaped([]string{`fsname=a,b\c`, "ro"})
	if got[0] != `fsname=a\,b\\c` || got[1] != "ro" {
		t.Errorf("%q", got)
	}
}

// informed is a Remote that knows its user.
type informed struct {
	remote.Remote
	info remote.Info
}

func (i informed) Info() remote.Info { return i.info }

func TestIDMapUser(t *testing.T) {
	below := informed{info: remote.Info{UID: 1000, GID: 100, KnownOwner: true}}
	f := newFilesystem(Config{Remote: below, IDMap: IDMapUser})
	f.ownUID, f.ownGID = 5, 6
	if uid, gid := f.showOwner(1000, 100); uid != 5 || gid != 6 {
		t.Errorf("the below user is shown as %d:%d", uid, gid)
	}
	if uid, gid := f.showOwner(1001, 0); uid != 1001 || gid != 0 {
		t.Errorf("another user is shown as %d:%d", uid, gid)
	}
	in := &fuse.SetAttrIn{}
	in.Valid = fuse.FATTR_UID | fuse.FATTR_GID
	in.Uid, in.Gid = 5, 7
	ch := f.change(in)
	if ch.Fields != remote.SetUID|remote.SetGID || ch.UID != 1000 || ch.GID != 7 {
		t.Errorf("chown to 5:7 becomes %+v", ch)
	}
	// Nothing is mapped as long as the server's user is not known.
	below.info.KnownOwner = false
	f.remote = below
	if uid, _ := f.showOwner(1000, 100); uid != 1000 {
		t.Errorf("mapped to %d without knowing the user", uid)
	}
}
