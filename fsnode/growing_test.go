package fsnode

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// TestOpenOfAGrowingFile pins that the kernel, which tries an ESTALE once again, can
// open a file that is longer at each look: a log of the server's.
func TestOpenOfAGrowingFile(t *testing.T) {
	var log string
	d := drive(t, Config{AttrTimeout: time.Minute}, func(_ context.Context, op, _ string) error {
		if op == "open" {
			return lengthen(log)
		}
		return nil
	}, nil)
	d.write("log", "")
	log = filepath.Join(d.root, "log")
	for range 3 {
		if _, s := d.open(d.lookup("log").NodeId, syscall.O_RDONLY); s != fuse.Status(syscall.ESTALE) {
			t.Errorf("the kernel has another size, and OPEN says %v", s)
		}
		node, told := d.lookup("log").NodeId, d.told.inodes.Load()
		fh, s := d.open(node, syscall.O_RDONLY)
		if s != fuse.OK {
			t.Fatalf("the second OPEN in a row: %v", s)
		}
		if d.told.inodes.Load() == told {
			t.Error("the kernel is not told that its attributes are old")
		}
		d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
	}
}

// lengthen appends to a file as another machine does.
func lengthen(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("a line\n")
	return errors.Join(err, f.Close())
}

// remembered is a File that tells a size it once had, as the cache's may.
type remembered struct {
	remote.File
	size int64
}

func (r *remembered) Stat(ctx context.Context) (remote.Attr, error) {
	a, err := r.File.Stat(ctx)
	a.Size = r.size
	return a, err
}

// TestFallocateKeepsWhatOthersWrote pins that a file is made longer than it is on the
// server, and never shorter.
func TestFallocateKeepsWhatOthersWrote(t *testing.T) {
	d := drive(t, Config{AttrTimeout: time.Minute}, nil, nil)
	d.write("f", "0123456789")
	fh, h := d.handle("f", syscall.O_RDWR)
	h.file = &remembered{h.file, 10}
	d.write("f", strings.Repeat("x", 1000))
	for _, c := range []struct {
		length uint64
		want   int64
	}{{100, 1000}, {2000, 2000}} {
		if s := d.f.Fallocate(nil, &fuse.FallocateIn{Fh: fh, Length: c.length}); s != fuse.OK {
			t.Errorf("fallocate of %d: %v", c.length, s)
		}
		if got := d.size("f"); got != c.want {
			t.Errorf("%d bytes after a fallocate of %d, want %d", got, c.length, c.want)
		}
	}
}

// TestHardLinkOfAGrowingFile pins that the names of a file that is longer at each look
// are one file.
func TestHardLinkOfAGrowingFile(t *testing.T) {
	var grows string
	d := drive(t, Config{AttrTimeout: time.Minute}, func(_ context.Context, op, _ string) error {
		if op == "lstat" && grows != "" {
			return lengthen(grows)
		}
		return nil
	}, nil)
	d.write("a", "")
	a := d.lookup("a")
	var linked fuse.EntryOut
	in := &fuse.LinkIn{InHeader: fuse.InHeader{NodeId: rootID}, Oldnodeid: a.NodeId}
	if s := d.f.Link(nil, in, "b", &linked); s != fuse.OK {
		t.Fatal(s)
	}
	d.lookup("a")
	grows = d.disk("a")
	for _, name := range []string{"b", "a", "b"} {
		if got := d.lookup(name); got.NodeId != a.NodeId {
			t.Errorf("%s is %d, want %d", name, got.NodeId, a.NodeId)
		}
	}
}

// TestCreateOfAGrowingFile is the same of a file that the kernel takes for absent: CREATE
// has it look, and OPEN must not refuse the same thread once more.
func TestCreateOfAGrowingFile(t *testing.T) {
	var log string
	d := drive(t, Config{AttrTimeout: time.Minute, DefaultPermissions: true}, func(_ context.Context, op, path string) error {
		if op == "open" && path == "log" {
			return lengthen(log)
		}
		return nil
	}, nil)
	d.write("log", "")
	log = filepath.Join(d.root, "log")
	var made fuse.CreateOut
	if s := d.f.Create(nil, &fuse.CreateIn{InHeader: fuse.InHeader{NodeId: rootID}, Flags: syscall.O_RDWR | syscall.O_CREAT}, "log", &made); s != fuse.Status(syscall.ESTALE) {
		t.Errorf("CREATE of what is there: %v", s)
	}
	if _, s := d.open(d.lookup("log").NodeId, syscall.O_RDWR); s != fuse.OK {
		t.Errorf("the OPEN after it: %v", s)
	}
}

// TestRefusalsAreOfThreads: another's opening between a refusal and the second try takes
// nothing from it.
func TestRefusalsAreOfThreads(t *testing.T) {
	var r refusals
	for i, step := range []struct {
		thread       uint32
		should, want bool
	}{{1, true, true}, {2, false, false}, {1, true, false}, {1, true, true}, {2, true, true}, {1, false, false}, {1, true, true}} {
		if got := r.refuse(step.thread, step.should); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	for thread := range uint32(5 * mostRefusals) {
		r.refuse(thread, true)
	}
	if n := len(r.threads); n > mostRefusals {
		t.Errorf("%d threads are remembered", n)
	}
}
