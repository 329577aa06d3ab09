package fsnode

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// A memory is a Remote that answers what it was told a while ago.
type memory struct {
	remote.Remote
	age time.Duration
}

func (m *memory) Info() remote.Info { return remote.Info{} }

func (m *memory) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	remote.Aged(ctx, m.age)
	if path == "none" {
		return remote.Attr{}, remote.PathError("lstat", path, syscall.ENOENT)
	}
	return aFile, nil
}

func (m *memory) ReadDir(ctx context.Context, _ string, emit func([]remote.Entry) error) error {
	remote.Aged(ctx, m.age)
	return emit([]remote.Entry{{Name: "f", Attr: aFile}})
}

// The kernel believes an answer for what is left of its life, and not for another life.
func TestAnAnswerHasOneLife(t *testing.T) {
	m := &memory{age: 3 * time.Second}
	f := newFilesystem(Config{Remote: m, AttrTimeout: 5 * time.Second})
	defer func() { f.stop(); f.work.Wait() }()
	never, root := make(chan struct{}), fuse.InHeader{NodeId: rootID}
	life := func(valid uint64, nsec uint32) time.Duration {
		return time.Duration(valid)*time.Second + time.Duration(nsec)
	}
	var e fuse.EntryOut
	for _, name := range []string{"f", "none"} {
		if s := f.Lookup(never, &root, name, &e); s != fuse.OK || life(e.EntryValid, e.EntryValidNsec) != 2*time.Second {
			t.Errorf("%s: %v, for %v", name, s, life(e.EntryValid, e.EntryValidNsec))
		}
	}
	f.Lookup(never, &root, "f", &e)
	var a fuse.AttrOut
	if s := f.GetAttr(never, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: e.NodeId}}, &a); s != fuse.OK || life(a.AttrValid, a.AttrValidNsec) != 2*time.Second {
		t.Errorf("attributes: %v, for %v", s, life(a.AttrValid, a.AttrValidNsec))
	}
	d := &dirHandle{fs: f, node: f.tree.root}
	defer d.close()
	r := &reading{dirHandle: d, list: d.listing(0), path: "."}
	if err := r.read(t.Context(), 2, func(r *reading, _ fuse.DirEntry, entry *remote.Entry) bool {
		e = fuse.EntryOut{}
		r.fill(&e, entry)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if got := life(e.AttrValid, e.AttrValidNsec); got <= time.Second || got > 2*time.Second {
		t.Errorf("a listed name: for %v", got)
	}
}
