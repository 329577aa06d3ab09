package fsnode

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// A dirHandle is an open folder. Its listing begins with the first READDIR, so
// that opening a folder to fsync it or to open files in it costs nothing, and
// goes on by itself; READDIRs are answered with what has come so far. As much of it
// as a listing keeps stays in memory until the folder is closed, for telldir and
// seekdir; for a place before that it is listed again.
//
// An offset is the index of the next entry plus one, counting "." and "..".
type dirHandle struct {
	fs   *filesystem
	node *node

	mu      sync.Mutex
	run     *listing // guarded by mu: nil before the first READDIR
	lastOff uint64   // guarded by mu: where the last READDIR ended
}

// OpenDir implements fuse.RawFileSystem.
func (f *filesystem) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	c := f.begin(opOpendir, cancel, &in.InHeader)
	n, err := f.node(in.NodeId)
	if err != nil {
		return c.finish(err)
	}
	f.mu.Lock()
	f.lastFH++
	out.Fh = f.lastFH
	f.dirs[out.Fh] = &dirHandle{fs: f, node: n}
	f.mu.Unlock()
	if f.cfg.AttrTimeout > 0 {
		out.OpenFlags = fuse.FOPEN_CACHE_DIR
		if f.keepListing(n) {
			out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
		}
	}
	return c.finish(nil)
}

// ReleaseDir implements fuse.RawFileSystem.
func (f *filesystem) ReleaseDir(in *fuse.ReleaseIn) {
	f.mu.Lock()
	d := f.dirs[in.Fh]
	delete(f.dirs, in.Fh)
	f.mu.Unlock()
	if d != nil {
		d.close()
	}
}

func (d *dirHandle) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run != nil {
		d.run.stop()
	}
}

// An adder puts an entry into an answer; false when there is no room. entry is
// nil for "." and "..".
type adder func(r *reading, e fuse.DirEntry, entry *remote.Entry) bool

// A reading is one READDIR.
type reading struct {
	*dirHandle
	list *listing
	path string    // of the folder, to number entries by
	came time.Time // when the entries came that are added now
}

// ReadDir implements fuse.RawFileSystem.
func (f *filesystem) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readdir(cancel, in, func(_ *reading, e fuse.DirEntry, _ *remote.Entry) bool {
		return out.AddDirEntry(e)
	})
}

// ReadDirPlus implements fuse.RawFileSystem: each entry comes with what a LOOKUP
// of it would tell.
func (f *filesystem) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readdir(cancel, in, func(r *reading, e fuse.DirEntry, entry *remote.Entry) bool {
		slot := out.AddDirLookupEntry(e)
		if slot != nil && entry != nil && !f.unmapped(entry.Attr) {
			r.fill(slot, entry)
		}
		return slot != nil
	})
}

func (f *filesystem) readdir(cancel <-chan struct{}, in *fuse.ReadIn, add adder) fuse.Status {
	c := f.begin(opReaddir, cancel, &in.InHeader)
	f.mu.Lock()
	d := f.dirs[in.Fh]
	f.mu.Unlock()
	if d == nil {
		return c.finish(syscall.EBADF)
	}
	r := &reading{dirHandle: d, list: d.listing(in.Offset), path: f.tree.pathOf(d.node)}
	return c.finish(r.read(c, in.Offset, add))
}

// read adds the entries that are there, at least one unless it is the end.
func (r *reading) read(ctx context.Context, off uint64, add adder) error {
	for ; off < 2; off++ {
		if !add(r, r.dot(off), nil) {
			return nil
		}
	}
	for added := false; ; {
		entries, came, err := r.list.from(ctx, off-2, !added)
		if len(entries) == 0 && added {
			return nil // an error is for the next READDIR
		}
		if errors.Is(err, errPassed) {
			r.list = r.again(r.list)
			continue
		}
		if len(entries) == 0 {
			if err == nil {
				r.fs.listed(r.node, r.list.began, r.list.since)
			}
			return err
		}
		r.came = came
		for i := range entries {
			off++
			if len(entries[i].Name) > listedNameMax || r.fs.tree.isHidden(entries[i].Name) {
				continue
			}
			if !add(r, r.entry(off, &entries[i]), &entries[i]) {
				return nil
			}
			added = true
		}
	}
}

// listing is the run that an offset belongs to: reading from the start begins a
// new one, unless nothing was read from the last.
func (d *dirHandle) listing(off uint64) *listing {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off == 0 && d.run != nil && d.lastOff > 0 {
		d.run.stop()
		d.run = nil
	}
	d.lastOff = max(off, 1)
	if d.run == nil {
		d.run = d.fs.list(d.node)
	}
	return d.run
}

// again is another run in place of one that has let go of what is wanted.
func (d *dirHandle) again(passed *listing) *listing {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run == passed {
		d.run.stop()
		d.run = d.fs.list(d.node)
	}
	return d.run
}

// dot is "." or "..". The kernel knows both better.
func (r *reading) dot(off uint64) fuse.DirEntry {
	e := fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: r.node.id, Off: off + 1}
	if off == 1 {
		e.Name = ".."
		e.Ino = r.fs.tree.parentID(r.node)
	}
	return e
}

func (t *tree) parentID(n *node) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.parent == nil {
		return n.id
	}
	return n.parent.id
}

// entry is e for the kernel; the offset is behind it. A link that is shown as
// what it leads to has a type that is not known yet.
func (r *reading) entry(off uint64, e *remote.Entry) fuse.DirEntry {
	typ := e.Attr.Type()
	if r.fs.cfg.FollowSymlinks && typ == syscall.S_IFLNK {
		typ = 0
	}
	return fuse.DirEntry{Name: e.Name, Mode: typ, Ino: r.fs.tree.numberOf(r.node, r.path, e.Name), Off: off}
}

// numberOf is the inode number that name has, or would get.
func (t *tree) numberOf(dir *node, dirPath, name string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := dir.children[name]; n != nil {
		return n.id
	}
	return t.freeID(remote.Join(dirPath, name))
}

// fill answers with the attributes the listing brought, for what is left of their life:
// a folder may be open for hours. It leaves slot empty, so that the kernel looks the name
// up when it needs it, where nothing is left, and where they may be older than something
// that happened here.
func (r *reading) fill(slot *fuse.EntryOut, e *remote.Entry) {
	if e.Attr.Type() == 0 || len(r.path)+1+len(e.Name) > pathMax || e.Attr.IsSymlink() && r.fs.cfg.FollowSymlinks {
		return
	}
	life := r.fs.life(time.Since(r.came))
	if life == 0 {
		return
	}
	n := r.fs.tree.enterListed(r.node, r.path, e, r.list.since)
	if n == nil {
		return
	}
	slot.NodeId = n.id
	r.fs.fill(&slot.Attr, n, e.Attr)
	slot.SetEntryTimeout(life)
	slot.SetAttrTimeout(life)
}

// enterListed is enter for an entry of a listing begun at epoch since. It
// refuses when names were taken out of the folder since then, because this may
// be one of them, for a file that was changed or is open for writing, and where the
// kernel was told something else, which may be newer.
func (t *tree) enterListed(dir *node, dirPath string, e *remote.Entry, since uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := dir.children[e.Name]
	if dir.changed > since || dir.detached() || dir.blocked() {
		return nil
	}
	if n != nil && (n.changed > since || n.claimed || n.writers() || len(n.others()) > 0) {
		return nil
	}
	if n != nil && n.told != unknown && n.told != e.Attr.Stamp() {
		return nil
	}
	return t.put(dir, dirPath, e.Name, e.Attr)
}
