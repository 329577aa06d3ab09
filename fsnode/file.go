package fsnode

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// A handle is an open file.
type handle struct {
	fs     *filesystem
	node   *node
	file   remote.File
	writes bool         // open for writing
	opened remote.Stamp // what it was when it was opened

	// clocked is when it was last written to, if that was since the last flush and the
	// mtime was not set since, so that the next flush tells the server's clock; else nil.
	clocked atomic.Pointer[time.Time]
	owed    atomic.Pointer[error] // what a flush for others ran into; the next of our own tells it

	changed  bool // guarded by tree.mu: something was begun to be changed since the last flush
	changing int  // guarded by tree.mu: changes, and flushes, under way
}

// clocks notes that it is written to now.
func (h *handle) clocks() {
	now := h.fs.clock.now()
	h.clocked.Store(&now)
}

// openFlags is what the flags of open(2) mean to a Remote.
func openFlags(flags uint32) remote.OpenFlag {
	var out remote.OpenFlag
	switch flags & syscall.O_ACCMODE {
	case syscall.O_RDONLY:
		out = remote.FlagRead
	case syscall.O_WRONLY:
		out = remote.FlagWrite
	default:
		out = remote.FlagRead | remote.FlagWrite
	}
	if flags&syscall.O_TRUNC != 0 {
		out |= remote.FlagTruncate
	}
	return out
}

// Open implements fuse.RawFileSystem.
func (f *filesystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	c := f.begin(opOpen, cancel, &in.InHeader)
	err := f.at(c, in.NodeId, func(n *node, path string) error {
		return f.open(c, n, path, in.Flags, out)
	})
	return c.finish(err)
}

// refusals are the threads that were told ESTALE: the kernel tries once more for them, and
// a second ESTALE would be the program's. A file may grow on the server with every look.
type refusals struct {
	mu      sync.Mutex
	threads map[uint32]struct{} // guarded by mu
}

// mostRefusals bounds those whose threads were killed before they tried again.
const mostRefusals = 1000

// refuse reports whether a thread is to be told ESTALE, if it should be.
func (r *refusals) refuse(thread uint32, should bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, again := r.threads[thread]
	delete(r.threads, thread)
	if !should || again {
		return false
	}
	if r.threads == nil || len(r.threads) >= mostRefusals {
		r.threads = make(map[uint32]struct{})
	}
	r.threads[thread] = struct{}{}
	return true
}

func (f *filesystem) open(ctx *call, n *node, path string, flags uint32, out *fuse.OpenOut) error {
	if n.typ != syscall.S_IFREG {
		// A fifo or device of the server: the kernel opens its own kind of those,
		// and asks for other files only.
		return syscall.EOPNOTSUPP
	}
	file, a, err := f.remote.Open(ctx, path, openFlags(flags), 0)
	if err != nil {
		return err
	}
	if !a.IsRegular() {
		f.close(path, file)
		return syscall.ESTALE
	}
	stale, resized := f.tree.opened(n, a, flags&syscall.O_TRUNC != 0)
	if f.refusals.refuse(ctx.thread, resized) {
		// The kernel goes by the size it knows: for a mapping, which then ends in
		// SIGBUS, and for appending. OPEN's answer cannot correct it. With ESTALE the
		// kernel looks the name up again, which does, and opens once more.
		f.close(path, file)
		return syscall.ESTALE
	}
	keep := flags&syscall.O_TRUNC == 0 && f.keepPages(n, a)
	h := f.register(n, file, flags, a)
	out.Fh = f.number(h)
	out.OpenFlags = h.fuseFlags(keep)
	if stale {
		// OPEN's answer has no room for attributes: without this the kernel
		// would go on with those it has.
		f.kernel.InodeNotify(n.id, -1, 0)
	}
	return nil
}

// fuseFlags is what OPEN's answer says of the handle.
func (h *handle) fuseFlags(keep bool) uint32 {
	var flags uint32
	if h.fs.cfg.DirectIO {
		flags |= fuse.FOPEN_DIRECT_IO
	} else if keep {
		flags |= fuse.FOPEN_KEEP_CACHE
	}
	if !h.writes {
		// There is nothing to flush at close: one request less.
		flags |= fuse.FOPEN_NOFLUSH
	}
	return flags
}

// opened notes attributes that came with an open file, and reports whether the
// kernel may have others, and whether it certainly has another size. The latter is not
// said of a file that programs here write to: what they have written counts in one and
// not yet in the other.
func (t *tree) opened(n *node, a remote.Attr, truncated bool) (stale, resized bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := n.inode()
	if truncated {
		t.touch(n)
		n.told, i.size = unknown, a.Size
		return false, false
	}
	switch {
	case n.told != unknown:
		i.size = n.told.Size
	case i.size < 0:
		i.size = a.Size
	}
	if resized = i.size != a.Size && !n.writers(); resized {
		n.told, i.size = unknown, -1
	}
	return n.told != a.Stamp(), resized
}

// register adds a handle to its node.
func (f *filesystem) register(n *node, file remote.File, flags uint32, a remote.Attr) *handle {
	h := &handle{fs: f, node: n, file: file, writes: flags&syscall.O_ACCMODE != syscall.O_RDONLY, opened: a.Stamp()}
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	i := n.inode()
	i.handles = append(i.handles, h)
	return h
}

// number gives the handle a number for the kernel.
func (f *filesystem) number(h *handle) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastFH++
	f.files[f.lastFH] = h
	return f.lastFH
}

// handle is the open file of a request.
func (f *filesystem) handle(fh uint64) (*handle, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.files[fh]; h != nil {
		return h, nil
	}
	return nil, syscall.EBADF
}

// Flush implements fuse.RawFileSystem. It is close(2), for each descriptor of
// the handle.
func (f *filesystem) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	c := f.begin(opFlush, cancel, &in.InHeader)
	h, err := f.handle(in.Fh)
	if err == nil && h.writes {
		err = f.flushAll(c, h, h.file.Flush)
	}
	return c.finish(err)
}

// flush brings all data of the file to the server, whichever handle wrote it, and
// tells the errors that this handle has not been told. It is always asked for: a
// close must not return while the flush of another one is under way.
func (h *handle) flush(ctx context.Context, flush func(context.Context) (remote.Attr, error)) error {
	clocked, owed, since := h.clocked.Swap(nil), h.owed.Swap(nil), h.fs.tree.now()
	all := h.fs.tree.flushing(h)
	a, err := flush(ctx)
	if all {
		h.fs.tree.flushed(h, err)
	}
	switch {
	case err != nil && ctx.Err() != nil: // whoever was killed has not lost the data
		h.clocked.CompareAndSwap(nil, clocked)
		h.owed.CompareAndSwap(nil, owed)
	case err == nil && clocked != nil: // what an idle flush tells may be old
		if !h.fs.tree.changedSince(h.node, since) {
			h.fs.clock.learn(a.Mtime, *clocked)
		}
	}
	if err == nil && owed != nil {
		err = *owed
	}
	return err
}

// flushAll flushes h, and the handles by which the file was opened under its other
// names: below, they share nothing where there are more than remote.MostLinked names, and
// the kernel writes for a mapping through any of them.
func (f *filesystem) flushAll(ctx context.Context, h *handle, flush func(context.Context) (remote.Attr, error)) error {
	err := h.flush(ctx, flush)
	for _, other := range f.tree.otherWriters(h) {
		if also := other.flushForOthers(ctx); err == nil {
			err = also
		}
	}
	return err
}

// flushForOthers flushes h because somebody else wants its data on the server. Who
// closes h is told of an error as well.
func (h *handle) flushForOthers(ctx context.Context) error {
	err := h.flush(ctx, h.file.Flush)
	if errors.Is(err, syscall.EBADF) {
		return nil // it was released meanwhile, and flushed itself
	}
	if err != nil && ctx.Err() == nil {
		h.owed.Store(&err)
	}
	return err
}

// Fsync implements fuse.RawFileSystem.
func (f *filesystem) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	c := f.begin(opFsync, cancel, &in.InHeader)
	h, err := f.handle(in.Fh)
	if err == nil {
		err = f.flushAll(c, h, h.file.Sync)
	}
	return c.finish(err)
}

// FsyncDir implements fuse.RawFileSystem. Names are on the server when the call
// that made them returns, and SFTP can ask for no more.
func (f *filesystem) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }

// Release implements fuse.RawFileSystem. Nobody waits for it: what goes wrong
// can only be logged.
func (f *filesystem) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	c := f.begin(opRelease, cancel, &in.InHeader)
	f.mu.Lock()
	h := f.files[in.Fh]
	delete(f.files, in.Fh)
	f.mu.Unlock()
	if h != nil {
		f.release(h)
	}
	c.finish(nil)
}

// release closes a handle, and removes a hidden file with its last one.
func (f *filesystem) release(h *handle) {
	last := f.tree.unhandle(h)
	if err := h.file.Close(f.base); err != nil {
		f.cfg.Log.Error("closing a file failed", "path", f.tree.pathOf(h.node), "error", err)
	}
	if last {
		f.expunge(h.node)
	}
	f.tree.drop(h.node)
}

// unhandle takes h off its node's list. It reports whether the node is hidden
// and h was its last handle.
func (t *tree) unhandle(h *handle) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := h.node.inode()
	for k, other := range i.handles {
		if other == h {
			i.handles = append(i.handles[:k:k], i.handles[k+1:]...)
			break
		}
	}
	return i.hidden && len(i.handles) == 0
}

// drop forgets a node that only a handle kept.
func (t *tree) drop(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reap(n)
}

// pathOf is where n is or was, for messages.
func (t *tree) pathOf(n *node) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.path()
}

// close gives back a file that nobody has got.
func (f *filesystem) close(path string, file remote.File) {
	if err := file.Close(f.base); err != nil {
		f.cfg.Log.Warn("closing a file failed", "path", path, "error", err)
	}
}
