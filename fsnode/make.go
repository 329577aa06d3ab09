package fsnode

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// in runs what makes something called name in a folder, with the folder's path
// pinned and the new thing's path.
func (f *filesystem) in(ctx context.Context, id uint64, name string, what func(dir *node, dirPath, path string) error) error {
	if len(name) > nameMax {
		return syscall.ENAMETOOLONG
	}
	return f.at(ctx, id, func(dir *node, dirPath string) error {
		err := what(dir, dirPath, remote.Join(dirPath, name))
		f.uncertain(err, spot{dir, name})
		return err
	})
}

// made answers with something just made.
func (f *filesystem) made(out *fuse.EntryOut, dir *node, dirPath, name string, a remote.Attr) *node {
	f.clock.learn(a.Mtime, f.clock.now())
	f.links.given.moved(remote.Join(dirPath, name), "")
	n := f.tree.enterNew(dir, dirPath, name, a)
	f.fillEntry(out, n, a, f.tree.now(), f.life(0))
	return n
}

// Mkdir implements fuse.RawFileSystem.
func (f *filesystem) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	c := f.begin(opMkdir, cancel, &in.InHeader)
	err := f.in(c, in.NodeId, name, func(dir *node, dirPath, path string) error {
		a, err := f.remote.Mkdir(c, path, in.Mode&0o7777)
		if err != nil {
			return err
		}
		if a, err = f.givePath(c, &in.InHeader, dirPath, path, a); err != nil {
			return errors.Join(err, f.remote.Rmdir(c, path))
		}
		f.made(out, dir, dirPath, name, a)
		return nil
	})
	return c.finish(err)
}

// Symlink implements fuse.RawFileSystem.
func (f *filesystem) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	c := f.begin(opSymlink, cancel, in)
	err := f.in(c, in.NodeId, name, func(dir *node, dirPath, path string) error {
		a, err := f.remote.Symlink(c, target, path)
		if err != nil {
			return unsupported(err)
		}
		if a, err = f.givePath(c, in, dirPath, path, a); err != nil {
			return errors.Join(err, f.remote.Remove(c, path))
		}
		f.made(out, dir, dirPath, name, a)
		if f.links.given.made(path, target) {
			f.cfg.Log.Warn("too many symbolic links were made here to remember them all; further ones are judged as the server's", "path", path)
		}
		return nil
	})
	return c.finish(err)
}

// unsupported makes EOPNOTSUPP what link(2) and symlink(2) call it, which
// programs are prepared for.
func unsupported(err error) error {
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return syscall.EPERM
	}
	return err
}

// Mknod implements fuse.RawFileSystem. SFTP makes regular files only.
func (f *filesystem) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	c := f.begin(opMknod, cancel, &in.InHeader)
	if typ := in.Mode & syscall.S_IFMT; typ != syscall.S_IFREG && typ != 0 {
		return c.finish(syscall.EPERM)
	}
	err := f.in(c, in.NodeId, name, func(dir *node, dirPath, path string) error {
		flags := remote.FlagWrite | remote.FlagCreate | remote.FlagExclusive
		file, a, err := f.create(c, &in.InHeader, dirPath, path, flags, in.Mode)
		if err != nil {
			return err
		}
		if err := file.Close(c); err != nil { // there are servers that make it only now
			f.lookAgain(spot{dir, name})
			return err
		}
		f.made(out, dir, dirPath, name, a)
		return nil
	})
	return c.finish(err)
}

// Create implements fuse.RawFileSystem: the kernel has no such name, but without
// O_EXCL the server may have. With DefaultPermissions it is for the kernel to judge who
// may open that, and with MultiUser what is new is given to the caller: so only a new file
// is opened then, and ESTALE has the kernel look up what is there.
func (f *filesystem) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	c := f.begin(opCreate, cancel, &in.InHeader)
	err := f.in(c, in.NodeId, name, func(dir *node, dirPath, path string) error {
		flags, exclusive := openFlags(in.Flags)|remote.FlagCreate, in.Flags&syscall.O_EXCL != 0
		if exclusive || f.cfg.DefaultPermissions || f.cfg.MultiUser {
			flags |= remote.FlagExclusive
		}
		file, a, err := f.create(c, &in.InHeader, dirPath, path, flags, in.Mode)
		if err != nil {
			if flags&remote.FlagExclusive != 0 && !exclusive && errors.Is(err, syscall.EEXIST) {
				f.refusals.refuse(in.Pid, true)
				return syscall.ESTALE
			}
			return err
		}
		var n *node
		if flags&remote.FlagExclusive != 0 {
			n = f.made(&out.EntryOut, dir, dirPath, name, a)
		} else {
			f.links.given.moved(path, "")
			n = f.tree.enter(dir, dirPath, name, a)
			f.fillEntry(&out.EntryOut, n, a, f.tree.now(), f.life(0))
		}
		f.tree.opened(n, a, false)
		f.keepPages(n, a)
		h := f.register(n, file, in.Flags, a)
		out.Fh = f.number(h)
		out.OpenFlags = h.fuseFlags(false)
		return nil
	})
	return c.finish(err)
}

// create opens a file, made if it is not there, and gives it to the caller: with
// MultiUser, where it is always made.
func (f *filesystem) create(ctx context.Context, in *fuse.InHeader, dirPath, path string, flags remote.OpenFlag, mode uint32) (remote.File, remote.Attr, error) {
	file, a, err := f.remote.Open(ctx, path, flags, mode&0o7777)
	if err != nil {
		return nil, a, err
	}
	if !a.IsRegular() {
		f.close(path, file)
		return nil, a, syscall.EEXIST
	}
	ch := f.gift(ctx, in, dirPath, a)
	if ch.Fields == 0 {
		return file, a, nil
	}
	if a, err = file.SetAttr(ctx, ch); err != nil {
		f.close(path, file)
		return nil, a, errors.Join(err, f.remote.Remove(ctx, path))
	}
	return file, a, nil
}

// gift is the change that gives something new to the caller: with MultiUser, if
// it is not the caller's already. In a folder with the set-group-id bit the
// group is the folder's.
func (f *filesystem) gift(ctx context.Context, in *fuse.InHeader, dirPath string, a remote.Attr) remote.Change {
	var ch remote.Change
	if !f.cfg.MultiUser {
		return ch
	}
	if a.UID != in.Uid {
		ch.UID, ch.Fields = in.Uid, remote.SetUID
	}
	if a.GID != in.Gid {
		dir, err := f.look(ctx, dirPath)
		if err != nil || dir.Mode&syscall.S_ISGID == 0 {
			ch.GID, ch.Fields = in.Gid, ch.Fields|remote.SetGID
		}
	}
	return ch
}

// givePath gives a new folder or link to the caller.
func (f *filesystem) givePath(ctx context.Context, in *fuse.InHeader, dirPath, path string, a remote.Attr) (remote.Attr, error) {
	ch := f.gift(ctx, in, dirPath, a)
	if ch.Fields == 0 {
		return a, nil
	}
	return f.remote.SetAttr(ctx, path, ch)
}

// Link implements fuse.RawFileSystem. Both names are one node from now on.
func (f *filesystem) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	c := f.begin(opLink, cancel, &in.InHeader)
	if f.cfg.NoHardLinks {
		return c.finish(syscall.EPERM)
	}
	return c.finish(f.link(c, in, name, out))
}

func (f *filesystem) link(ctx context.Context, in *fuse.LinkIn, name string, out *fuse.EntryOut) error {
	if len(name) > nameMax {
		return syscall.ENAMETOOLONG
	}
	dir, err := f.node(in.NodeId)
	if err != nil {
		return err
	}
	n, err := f.node(in.Oldnodeid)
	if err != nil {
		return err
	}
	path, err := f.tree.pin(ctx, n, dir)
	if err != nil {
		return err
	}
	defer f.tree.unpin(dir)
	defer f.tree.unpin(n)
	further := remote.Join(f.tree.pathOf(dir), name)
	a, err := f.remote.Link(ctx, path, further)
	f.uncertain(err, spot{dir, name})
	if err != nil {
		return unsupported(err)
	}
	f.links.given.linked(path, further)
	f.tree.linked(n, spot{dir, name})
	f.fillEntry(out, n, a, 0, f.life(0))
	return nil
}

// linked notes a further name of n, which the kernel gets a reference for.
func (t *tree) linked(n *node, s spot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.name(n, s)
	n.lookups++
	n.outdate()
	t.touch(n)
}
