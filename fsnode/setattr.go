package fsnode

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// SetAttr implements fuse.RawFileSystem: chmod, chown, truncate and utimens.
// What utimens leaves alone (UTIME_OMIT) is not in the request.
func (f *filesystem) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	c := f.begin(opSetattr, cancel, &in.InHeader)
	return c.finish(f.setattr(c, in, out))
}

func (f *filesystem) setattr(ctx context.Context, in *fuse.SetAttrIn, out *fuse.AttrOut) error {
	n, err := f.node(in.NodeId)
	if err != nil {
		return err
	}
	if f.unmappedBack(in) {
		return syscall.EPERM
	}
	ch := f.change(in)
	if h := f.tree.writerOf(n); h != nil {
		a, err := h.setAttr(ctx, ch)
		if !errors.Is(err, syscall.EBADF) {
			err = f.answer(out, n, a, err)
			if h.clocked.Load() != nil {
				out.SetTimeout(0) // what is written may get another time
			}
			return err
		}
		// The handle was released meanwhile: RELEASE comes when close has
		// returned, and nothing keeps it from overtaking.
	}
	a, err := f.setPath(ctx, n, ch)
	return f.answer(out, n, a, err)
}

// answer takes the result of a change, and tells the kernel.
func (f *filesystem) answer(out *fuse.AttrOut, n *node, a remote.Attr, err error) error {
	if err == nil {
		f.tree.set(n, a)
		f.fillAttr(out, n, a, f.life(0))
	}
	return err
}

// setPath changes a file that nobody here has open for writing.
func (f *filesystem) setPath(ctx context.Context, n *node, ch remote.Change) (remote.Attr, error) {
	path, err := f.tree.pin(ctx, n)
	if err != nil {
		if h := f.tree.handleOf(n); h != nil && statusOf(err) == fuse.Status(syscall.ESTALE) {
			return f.byOpen(h, func(file remote.File) (remote.Attr, error) { return file.SetAttr(ctx, ch) }, remote.Attr{}, err)
		}
		return remote.Attr{}, err
	}
	defer f.tree.unpin(n)
	if ch.Fields == 0 {
		return f.look(ctx, path)
	}
	if f.cfg.FollowSymlinks && n.typ != syscall.S_IFLNK {
		if path, err = f.resolve(ctx, path); err != nil {
			return remote.Attr{}, err
		}
	}
	a, err := f.remote.SetAttr(ctx, path, ch)
	if n.typ == syscall.S_IFLNK && errors.Is(err, syscall.EOPNOTSUPP) && ch.Fields&^(remote.SetAtime|remote.SetMtime) == 0 {
		// rsync -a and cp -a go on without the times of links where the system has none,
		// and fail at anything else. The kernel asks again for the next file.
		err = refusal(syscall.ENOSYS)
	}
	return a, err
}

// change is a request in the terms of the Remote.
func (f *filesystem) change(in *fuse.SetAttrIn) remote.Change {
	var ch remote.Change
	if mode, ok := in.GetMode(); ok {
		ch.Mode, ch.Fields = mode, ch.Fields|remote.SetMode
	}
	f.changeOwner(&ch, in)
	if size, ok := in.GetSize(); ok {
		ch.Size, ch.Fields = int64(size), ch.Fields|remote.SetSize
	}
	if in.Valid&fuse.FATTR_ATIME != 0 {
		ch.Atime, ch.Fields = f.time(in.Atime, in.Valid&fuse.FATTR_ATIME_NOW), ch.Fields|remote.SetAtime
	}
	if in.Valid&fuse.FATTR_MTIME != 0 {
		ch.Mtime, ch.Fields = f.time(in.Mtime, in.Valid&fuse.FATTR_MTIME_NOW), ch.Fields|remote.SetMtime
	}
	return ch
}

// changeOwner gives owners back under the numbers they have on the server. The
// number every file is shown with (uid=, gid=) is no change.
func (f *filesystem) changeOwner(ch *remote.Change, in *fuse.SetAttrIn) {
	info := f.mapped()
	back := func(id, own, theirs uint32, table map[uint32]uint32) uint32 {
		if info.KnownOwner {
			id = swap(id, own, theirs)
		}
		if f.cfg.IDMap == IDMapFile {
			id, _ = numberedBack(id, table)
		}
		return id
	}
	if uid, ok := in.GetUID(); ok && (f.cfg.UID == nil || uid != *f.cfg.UID) {
		ch.UID, ch.Fields = back(uid, f.ownUID, info.UID, f.cfg.UIDs), ch.Fields|remote.SetUID
	}
	if gid, ok := in.GetGID(); ok && (f.cfg.GID == nil || gid != *f.cfg.GID) {
		ch.GID, ch.Fields = back(gid, f.ownGID, info.GID, f.cfg.GIDs), ch.Fields|remote.SetGID
	}
}

func (f *filesystem) time(sec uint64, now uint32) int64 {
	if now != 0 {
		return f.clock.stamp()
	}
	return int64(sec)
}

// setAttr changes the open file. Times join the next flush.
func (h *handle) setAttr(ctx context.Context, ch remote.Change) (remote.Attr, error) {
	if ch.Fields&remote.SetMtime != 0 {
		h.fs.tree.unclock(h.node)
	}
	h.fs.tree.change(h)
	defer h.fs.tree.madeChange(h)
	return h.file.SetAttr(ctx, ch)
}

// unclock keeps all handles of n from telling the server's clock by a time that a program
// sets, and a flush that is under way.
func (t *tree) unclock(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touch(n)
	for _, h := range n.inode().handles {
		h.clocked.Store(nil)
	}
}
