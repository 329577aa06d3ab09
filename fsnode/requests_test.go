package fsnode

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A driver makes the kernel's requests, of a filesystem on a local folder.
type driver struct {
	t    testing.TB
	f    *filesystem
	root string
	told *notified
}

type hook = func(ctx context.Context, op, path string) error

// drive makes one. Before is the folder's hook, and over wraps the folder; each may be
// nil.
func drive(t testing.TB, cfg Config, before hook, over func(remote.Remote) remote.Remote) *driver {
	t.Helper()
	root := t.TempDir()
	dir := remotetest.NewDir(root)
	dir.Before = before
	if cfg.Remote = dir; over != nil {
		cfg.Remote = over(dir)
	}
	cfg.setDefaults()
	d := &driver{t: t, f: newFilesystem(cfg), root: root, told: &notified{}}
	d.f.kernel = d.told
	t.Cleanup(d.f.shutdown)
	return d
}

// notified counts what the kernel is told.
type notified struct{ inodes, entries atomic.Int64 }

func (n *notified) InodeNotify(uint64, int64, int64) fuse.Status {
	n.inodes.Add(1)
	return fuse.OK
}

func (n *notified) EntryNotify(uint64, string) fuse.Status {
	n.entries.Add(1)
	return fuse.OK
}

func (n *notified) DeleteNotify(uint64, uint64, string) fuse.Status { return fuse.OK }

// disk is a file behind the filesystem.
func (d *driver) disk(name string) string { return filepath.Join(d.root, name) }

// write makes or replaces the content of such a file.
func (d *driver) write(name, data string) {
	d.t.Helper()
	if err := os.WriteFile(d.disk(name), []byte(data), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// size is how long such a file is.
func (d *driver) size(name string) int64 {
	d.t.Helper()
	info, err := os.Stat(d.disk(name))
	if err != nil {
		d.t.Fatal(err)
	}
	return info.Size()
}

func (d *driver) lookup(name string) fuse.EntryOut {
	d.t.Helper()
	var out fuse.EntryOut
	if s := d.f.Lookup(nil, &fuse.InHeader{NodeId: rootID}, name, &out); s != fuse.OK {
		d.t.Fatalf("lookup of %s: %v", name, s)
	}
	return out
}

func (d *driver) open(node uint64, flags uint32) (fh uint64, s fuse.Status) {
	var out fuse.OpenOut
	s = d.f.Open(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: node}, Flags: flags}, &out)
	return out.Fh, s
}

// handle is what a name is open as after an open that succeeds.
func (d *driver) handle(name string, flags uint32) (uint64, *handle) {
	d.t.Helper()
	fh, s := d.open(d.lookup(name).NodeId, flags)
	if s != fuse.OK {
		d.t.Fatalf("open of %s: %v", name, s)
	}
	h, err := d.f.handle(fh)
	if err != nil {
		d.t.Fatal(err)
	}
	return fh, h
}

func (d *driver) put(fh uint64, data string) {
	d.t.Helper()
	if _, s := d.f.Write(nil, &fuse.WriteIn{Fh: fh}, []byte(data)); s != fuse.OK {
		d.t.Fatal(s)
	}
}

func (d *driver) flush(fh uint64) {
	d.t.Helper()
	if s := d.f.Flush(nil, &fuse.FlushIn{Fh: fh}); s != fuse.OK {
		d.t.Fatal(s)
	}
}

// setMtime sets a time long ago, as utimensat(2) does.
func (d *driver) setMtime(node uint64) {
	d.t.Helper()
	in := &fuse.SetAttrIn{}
	in.NodeId, in.Valid, in.Mtime = node, fuse.FATTR_MTIME, 1_000_000_000
	if s := d.f.SetAttr(nil, in, &fuse.AttrOut{}); s != fuse.OK {
		d.t.Fatal(s)
	}
}
