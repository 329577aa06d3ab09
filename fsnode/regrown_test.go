package fsnode

import (
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// TestReopenOfAGrownFile pins that the kernel, which knows a file's size by what it was
// told and what it has written, is refused when the file is another size by then: also
// where we have seen that size in an answer that the kernel does not get.
func TestReopenOfAGrownFile(t *testing.T) {
	for name, c := range map[string]struct {
		flags   uint32
		between func(d *driver, node uint64)
		want    fuse.Status
	}{
		"flushed":          {between: func(*driver, uint64) {}},
		"grown":            {want: fuse.Status(syscall.ESTALE), between: func(d *driver, _ uint64) { d.lengthen("f") }},
		"looked up":        {between: func(d *driver, _ uint64) { d.lengthen("f"); d.lookup("f") }},
		"opened by others": {want: fuse.Status(syscall.ESTALE), between: func(d *driver, node uint64) { d.lengthen("f"); d.reopen(node) }},
		"appended":         {flags: syscall.O_APPEND, want: fuse.Status(syscall.ESTALE), between: func(*driver, uint64) {}},
	} {
		t.Run(name, func(t *testing.T) {
			d := drive(t, Config{AttrTimeout: time.Minute}, nil, nil)
			d.write("f", "0123456789")
			node := d.lookup("f").NodeId
			fh, s := d.open(node, syscall.O_WRONLY)
			if s != fuse.OK {
				t.Fatal(s)
			}
			if c.flags&syscall.O_APPEND != 0 {
				d.lengthen("f")
			}
			in := &fuse.WriteIn{Fh: fh, Offset: 10, Size: 5, Flags: c.flags}
			if _, s := d.f.Write(nil, in, []byte("abcde")); s != fuse.OK {
				t.Fatal(s)
			}
			c.between(d, node)
			d.flush(fh)
			d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
			if _, s := d.open(node, syscall.O_RDONLY); s != c.want {
				t.Errorf("OPEN says %v, want %v", s, c.want)
			}
		})
	}
}

// lengthen is lengthen of a file behind the filesystem.
func (d *driver) lengthen(name string) {
	d.t.Helper()
	if err := lengthen(d.disk(name)); err != nil {
		d.t.Fatal(err)
	}
}

// reopen opens a node for reading, and closes it.
func (d *driver) reopen(node uint64) {
	d.t.Helper()
	fh, s := d.open(node, syscall.O_RDONLY)
	if s != fuse.OK {
		d.t.Fatal(s)
	}
	d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
}

// TestSizeThatTheKernelWasTold pins that what was told counts for a file that is written
// to afterwards, when nothing else is known of its size.
func TestSizeThatTheKernelWasTold(t *testing.T) {
	d := drive(t, Config{AttrTimeout: time.Minute}, nil, nil)
	d.write("f", "0123456789")
	n := d.f.tree.get(d.lookup("f").NodeId)
	fh, _ := d.handle("f", syscall.O_WRONLY)
	d.lengthen("f")
	d.lookup("f")
	if _, s := d.f.Write(nil, &fuse.WriteIn{Fh: fh, Size: 1}, []byte("x")); s != fuse.OK {
		t.Fatal(s)
	}
	a := remote.Attr{Mode: syscall.S_IFREG | 0o644, Size: d.size("f")}
	d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
	if _, resized := d.f.tree.opened(n, a, false); resized {
		t.Errorf("the kernel was told %d bytes", a.Size)
	}
}
