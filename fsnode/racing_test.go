package fsnode

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A look at a name during its rename, which finds that somebody has changed the file, of
// several names, on the server.
func TestPartWhileRenamed(t *testing.T) {
	tr := newTree()
	n := tr.enter(tr.root, ".", "a", aFile)
	tr.linked(n, spot{tr.root, "b"})
	tr.saw(n, aFile, tr.now())
	c, err := tr.claim(t.Context(), spot{tr.root, "a"}, spot{tr.root, "c"})
	if err != nil {
		t.Fatal(err)
	}
	// LOOKUP of "a", by a revalidation, which holds no lock of the folder.
	changed := aFile
	changed.Size++
	if h, other := tr.twin(spot{tr.root, "a"}, changed); h != nil || other != nil {
		t.Fatal("it is to be parted")
	}
	tr.enter(tr.root, ".", "a", changed)
	func() {
		defer func() {
			if r := recover(); r != nil {
				t.Errorf("panic: %v", r)
			}
		}()
		tr.mu.Lock()
		defer tr.mu.Unlock()
		c.renamed()
	}()
	c.release()
}

// The same with the requests of the kernel.
func TestLookupDuringRename(t *testing.T) {
	root := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.WriteFile(filepath.Join(root, "a"), []byte("x"), 0o644))
	dir := remotetest.NewDir(root)
	f := newFilesystem(Config{Remote: dir, AttrTimeout: 5 * time.Second})
	never := make(chan struct{})
	head := fuse.InHeader{NodeId: rootID}
	lookup := func() fuse.EntryOut {
		var out fuse.EntryOut
		if s := f.Lookup(never, &head, "a", &out); s != fuse.OK {
			t.Fatal(s)
		}
		return out
	}
	a := lookup()
	var linked fuse.EntryOut
	if s := f.Link(never, &fuse.LinkIn{InHeader: head, Oldnodeid: a.NodeId}, "b", &linked); s != fuse.OK {
		t.Fatal(s)
	}
	lookup() // the kernel is told again
	check(os.WriteFile(filepath.Join(root, "a"), []byte("changed on the server"), 0o644))
	dir.Before = func(_ context.Context, op, _ string) error {
		if op == "rename" {
			lookup() // was asked before, and is answered now
		}
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("panic: %v", r)
		}
	}()
	if s := f.Rename(never, &fuse.RenameIn{InHeader: head, Newdir: rootID}, "a", "c"); s != fuse.OK {
		t.Error(s)
	}
}

// overtaken is a File that is released just before it is asked, and then says what the
// pool says of a File that is closed.
type overtaken struct {
	remote.File
	release func()
}

func (o *overtaken) Stat(ctx context.Context) (remote.Attr, error) {
	o.release()
	return remote.Attr{}, remote.PathError("stat", "a", syscall.EBADF)
}

// fstat of a descriptor, of a file that is gone from the server, while another one of it
// is closed.
func TestGetattrWhileAnotherIsReleased(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := newFilesystem(Config{Remote: remotetest.NewDir(root), AttrTimeout: 5 * time.Second})
	never := make(chan struct{})
	var entry fuse.EntryOut
	if s := f.Lookup(never, &fuse.InHeader{NodeId: rootID}, "a", &entry); s != fuse.OK {
		t.Fatal(s)
	}
	var first, second fuse.OpenOut
	for _, out := range []*fuse.OpenOut{&first, &second} {
		if s := f.Open(never, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: entry.NodeId}}, out); s != fuse.OK {
			t.Fatal(s)
		}
	}
	h, err := f.handle(first.Fh)
	if err != nil {
		t.Fatal(err)
	}
	h.file = &overtaken{h.file, sync.OnceFunc(func() { f.Release(never, &fuse.ReleaseIn{Fh: first.Fh}) })}
	if err := os.Remove(filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	var out fuse.AttrOut
	if s := f.GetAttr(never, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: entry.NodeId}}, &out); s != fuse.OK {
		t.Errorf("fstat of the descriptor that is open: %v", s)
	}
}
