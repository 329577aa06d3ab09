package fsnode

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
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
