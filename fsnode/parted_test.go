package fsnode

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// written makes a file of two names that was written through the mount, and closed: of
// that the kernel has told what close(2) waits for, FLUSH, and not yet RELEASE. It gives
// its number, and the handle.
func (d *driver) written(a, b string) (node, fh uint64) {
	d.t.Helper()
	d.write(a, "")
	fh, h := d.handle(a, syscall.O_WRONLY)
	d.put(fh, "one")
	d.flush(fh)
	var out fuse.EntryOut
	in := &fuse.LinkIn{InHeader: fuse.InHeader{NodeId: rootID}, Oldnodeid: h.node.id}
	if s := d.f.Link(nil, in, b, &out); s != fuse.OK {
		d.t.Fatal(s)
	}
	d.lookup(a) // the kernel is told again
	return h.node.id, fh
}

// replace puts another file in the place of one, as another machine does.
func (d *driver) replace(name, data string) {
	d.t.Helper()
	d.write("new", data)
	if err := os.Rename(d.disk("new"), d.disk(name)); err != nil {
		d.t.Fatal(err)
	}
}

// TestReplacedBeforeTheRelease pins that a name which another machine has replaced leads
// to the new file when what was written here is closed: RELEASE may come much later, and
// a program that opens the name would read, and write, the other file.
func TestReplacedBeforeTheRelease(t *testing.T) {
	d := drive(t, Config{}, nil, nil)
	node, fh := d.written("a", "b")
	d.replace("b", "theirs")
	b := d.lookup("b")
	if b.NodeId == node || b.Size != 6 {
		t.Errorf("the new file is node %d of %d bytes; the one that was written is %d", b.NodeId, b.Size, node)
	}
	if a := d.lookup("a"); a.NodeId != node || a.Size != 3 || a.Nlink != 1 {
		t.Errorf("the file is node %d of %d bytes and %d links, was %d", a.NodeId, a.Size, a.Nlink, node)
	}
	d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
}

// TestReplacedUnseen is the same where nobody has looked at the file since it was changed:
// nothing is known then that the name could be compared with.
func TestReplacedUnseen(t *testing.T) {
	d := drive(t, Config{}, nil, nil)
	node, fh := d.written("a", "b")
	d.put(fh, "more")
	d.flush(fh)
	d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
	d.replace("b", "theirs")
	if b := d.lookup("b"); b.NodeId == node || b.Size != 6 {
		t.Errorf("the new file is node %d of %d bytes; the one that was written is %d", b.NodeId, b.Size, node)
	}
}

// TestNotPartedWhileWritten pins that a name stays the file's while something that was
// changed through a handle is not flushed, or is begun while the names are compared: what
// they tell may differ for that.
func TestNotPartedWhileWritten(t *testing.T) {
	for name, change := range map[string]func(d *driver, fh uint64){
		"written": func(d *driver, fh uint64) { d.put(fh, "more") },
		"times":   func(d *driver, _ uint64) { d.setMtime(d.lookup("a").NodeId) },
		"flush failed": func(d *driver, fh uint64) {
			h, err := d.f.handle(fh)
			if err != nil {
				d.t.Fatal(err)
			}
			d.put(fh, "more")
			d.lookup("a")
			h.file = unflushed{h.file}
			if s := d.f.Flush(nil, &fuse.FlushIn{Fh: fh}); s == fuse.OK {
				d.t.Fatal("it was flushed")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := drive(t, Config{}, nil, nil)
			node, fh := d.written("a", "b")
			change(d, fh)
			d.lookup("a")
			d.replace("b", "theirs")
			if b := d.lookup("b"); b.NodeId != node {
				t.Errorf("parted: %d, was %d", b.NodeId, node)
			}
		})
	}
}

// TestNotPartedWhenWrittenMeanwhile is the same for a write that begins between the looks.
func TestNotPartedWhenWrittenMeanwhile(t *testing.T) {
	var armed func()
	looks := 0
	d := drive(t, Config{}, func(_ context.Context, op, _ string) error {
		if op == "lstat" && armed != nil {
			if looks++; looks == 4 { // a look at the name, and three that compare
				armed()
			}
		}
		return nil
	}, nil)
	node, fh := d.written("a", "b")
	h, err := d.f.handle(fh)
	if err != nil {
		t.Fatal(err)
	}
	began, goOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h.file = &slowly{h.file, began, goOn}
	d.replace("b", "theirs")
	armed = func() {
		go func() {
			defer close(over)
			d.put(fh, "more")
		}()
		<-began
	}
	b := d.lookup("b")
	if looks != 4 {
		t.Fatalf("%d looks: the names were not compared", looks)
	}
	if b.NodeId != node {
		t.Errorf("parted: %d, was %d", b.NodeId, node)
	}
	close(goOn)
	<-over
}

// TestNotPartedUnderTheHandle pins that a file which is open for writing keeps the name that
// its path goes by, and is what its handle says as long as no look has told of it since it
// was written.
func TestNotPartedUnderTheHandle(t *testing.T) {
	d := drive(t, Config{}, nil, nil)
	node, fh := d.written("a", "b")
	d.put(fh, "more")
	d.flush(fh)
	d.replace("b", "theirs")
	if b := d.lookup("b"); b.NodeId != node || b.Size != 4 {
		t.Errorf("node %d of %d bytes, was %d of 4", b.NodeId, b.Size, node)
	}
	d.replace("a", "theirs too")
	if a := d.lookup("a"); a.NodeId != node || a.Size != 4 {
		t.Errorf("node %d of %d bytes, was %d of 4", a.NodeId, a.Size, node)
	}
}

// unflushed is a File whose flush fails.
type unflushed struct{ remote.File }

func (unflushed) Flush(context.Context) (remote.Attr, error) {
	return remote.Attr{}, remote.PathError("flush", "a", syscall.EIO)
}

// slowly is a File that tells when a write has begun, and goes on with it later.
type slowly struct {
	remote.File
	began, goOn chan struct{}
}

func (s *slowly) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	close(s.began)
	<-s.goOn
	return s.File.WriteAt(ctx, p, off)
}
