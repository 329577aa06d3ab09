package fsnode

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// late is a Remote whose renames are answered before they are made.
type late struct {
	remote.Remote
	err  error // what their callers are told
	made bool  // what comes of them, after a minute
	away bool  // nothing is sent
}

func (l *late) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	return l.later(oldPath, func() error {
		if !l.made {
			return nil
		}
		return l.Remote.Rename(context.WithoutCancel(ctx), oldPath, newPath, noReplace)
	})
}

func (l *late) Replace(ctx context.Context, oldPath, newPath, keep string) (kept bool, err error) {
	return true, l.later(oldPath, func() (err error) {
		if l.made {
			_, err = l.Remote.Replace(context.WithoutCancel(ctx), oldPath, newPath, keep)
		} else {
			_, err = l.Remote.Link(context.WithoutCancel(ctx), newPath, keep)
		}
		return err
	})
}

func (l *late) later(path string, do func() error) error {
	err := l.err
	if !l.away {
		over := make(chan struct{})
		time.AfterFunc(time.Minute, func() {
			defer close(over)
			l.made = do() == nil && l.made
		})
		err = &remote.Unsettled{Err: err, Over: over, Made: func() bool { return l.made }}
	}
	return remote.PathError("rename", path, err)
}

func (l *late) Info() remote.Info {
	info := l.Remote.Info()
	if l.away {
		info.Away = time.Unix(1, 0)
	}
	return info
}

// eachLate runs a test with each way to hear late, of what was made and what was not.
func eachLate(t *testing.T, test func(t *testing.T, d *driver, told fuse.Status, made bool)) {
	for name, err := range map[string]error{"killed": context.Canceled, "timed out": syscall.ETIMEDOUT, "killing": syscall.EIO} {
		for _, made := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := drive(t, Config{}, nil, func(r remote.Remote) remote.Remote { return &late{Remote: r, err: err, made: made} })
					test(t, d, statusOf(err), made)
				})
			})
		}
	}
}

func (d *driver) wants(what string, names ...string) {
	d.t.Helper()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	have := d.names()
	for i, name := range have {
		if strings.HasPrefix(name, hiddenPrefix) {
			have[i] = "*"
		}
	}
	if !slices.Equal(have, names) {
		d.t.Errorf("%s: %q, want %q", what, have, names)
	}
}

// TestUnlinkUnanswered pins that a file which is open and removed stays usable, and goes
// with its last handle, though it was given its hidden name long after anybody waited.
func TestUnlinkUnanswered(t *testing.T) {
	eachLate(t, func(t *testing.T, d *driver, told fuse.Status, made bool) {
		d.write("f", "data")
		fh, _ := d.handle("f", syscall.O_RDONLY)
		if s := d.f.Unlink(nil, &fuse.InHeader{NodeId: rootID}, "f"); s != told {
			t.Errorf("unlink: %v", s)
		}
		d.wants("before", "f")
		time.Sleep(time.Minute)
		if !made {
			d.wants("afterwards", "f")
			d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
			return
		}
		d.wants("afterwards", "*")
		d.write("f", "another")
		d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
		d.wants("after the last close", "f")
	})
}

// The same where the file is closed meanwhile.
func TestClosedBehindUnlinkUnanswered(t *testing.T) {
	eachLate(t, func(t *testing.T, d *driver, _ fuse.Status, made bool) {
		d.write("f", "data")
		fh, _ := d.handle("f", syscall.O_RDONLY)
		d.f.Unlink(nil, &fuse.InHeader{NodeId: rootID}, "f")
		d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
		time.Sleep(time.Minute)
		if made {
			d.wants("afterwards")
		} else {
			d.wants("afterwards", "f")
		}
	})
}

// TestReplaceUnanswered pins that a replaced file is not taken for its successor, and
// that its further name is there for as long as it is open, and no longer.
func TestReplaceUnanswered(t *testing.T) {
	eachLate(t, func(t *testing.T, d *driver, told fuse.Status, made bool) {
		d.write("f", "data")
		d.write("new", "NEWS")
		source := d.lookup("new").NodeId
		fh, h := d.handle("f", syscall.O_RDONLY)
		in := &fuse.RenameIn{InHeader: fuse.InHeader{NodeId: rootID}, Newdir: rootID}
		if s := d.f.Rename(nil, in, "new", "f"); s != told {
			t.Errorf("rename: %v", s)
		}
		time.Sleep(time.Minute)
		if !made {
			d.wants("afterwards", "f", "new")
			if d.lookup("f").NodeId != h.node.id {
				t.Error("what was not replaced is another file")
			}
			d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
			return
		}
		d.wants("afterwards", "*", "f")
		if d.lookup("f").NodeId != source {
			t.Error("what was moved is another file, or the replaced one")
		}
		d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
		d.wants("after the last close", "f")
	})
}

// A mount that ends before it is known what came of it leaves nothing that is there.
func TestUnmountBehindUnlinkUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := drive(t, Config{}, nil, func(r remote.Remote) remote.Remote {
			return &late{Remote: r, err: syscall.ETIMEDOUT, made: true}
		})
		d.write("f", "data")
		d.handle("f", syscall.O_RDONLY)
		d.f.Unlink(nil, &fuse.InHeader{NodeId: rootID}, "f")
		began := time.Now()
		d.f.shutdown()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the end took %v", took)
		}
		d.f.ending = make(chan struct{}) // for the end of the test
	})
}

// TestUnlinkWhileAway pins that a program which tries again and again to remove an open
// file leaves nothing to do each time.
func TestUnlinkWhileAway(t *testing.T) {
	l := &late{err: syscall.ETIMEDOUT, away: true}
	d := drive(t, Config{}, nil, func(r remote.Remote) remote.Remote { l.Remote = r; return l })
	d.write("f", "data")
	d.handle("f", syscall.O_RDONLY)
	before := d.f.tree.now()
	for range 100 {
		if s := d.f.Unlink(nil, &fuse.InHeader{NodeId: rootID}, "f"); s != fuse.Status(syscall.ETIMEDOUT) {
			t.Errorf("unlink: %v", s)
		}
	}
	if d.f.tree.now() != before || len(d.f.tree.root.children) != 1 {
		t.Errorf("%d names in the tree", len(d.f.tree.root.children))
	}
}

// names are those behind the filesystem.
func (d *driver) names() (names []string) {
	d.t.Helper()
	entries, err := os.ReadDir(d.root)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
