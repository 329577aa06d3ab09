package fsnode

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// Unlink implements fuse.RawFileSystem.
func (f *filesystem) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	c := f.begin(opUnlink, cancel, in)
	dir, err := f.node(in.NodeId)
	if err == nil {
		err = f.unlink(c, spot{dir, name})
	}
	return c.finish(err)
}

func (f *filesystem) unlink(ctx context.Context, s spot) error {
	c, err := f.tree.claim(ctx, s)
	if err != nil {
		return err
	}
	defer c.release()
	if c.onlyNameOfOpenFile(0) {
		err = f.hide(ctx, c)
	} else if err = f.remote.Remove(ctx, c.paths[0]); err == nil {
		f.links.given.moved(c.paths[0], "")
		c.removed()
	}
	f.uncertain(err, s)
	return err
}

// Rmdir implements fuse.RawFileSystem.
func (f *filesystem) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	c := f.begin(opRmdir, cancel, in)
	dir, err := f.node(in.NodeId)
	if err == nil {
		err = f.rmdir(c, spot{dir, name})
	}
	return c.finish(err)
}

// rmdir removes a folder, also one that only hidden files of ours are left in:
// to programs it is empty.
func (f *filesystem) rmdir(ctx context.Context, s spot) error {
	c, err := f.tree.claim(ctx, s)
	if err != nil {
		return err
	}
	defer c.release()
	err = f.remote.Rmdir(ctx, c.paths[0])
	if notEmpty(err) && f.evacuate(ctx, c, 0) {
		err = f.remote.Rmdir(ctx, c.paths[0])
	}
	if err == nil {
		f.links.given.moved(c.paths[0], "")
		c.removed()
	}
	f.uncertain(err, s)
	return err
}

func notEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}

// removed notes that the claimed name is gone.
func (c *claim) removed() {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	s := c.spots[0]
	if n := c.nodes[0]; n != nil {
		c.tree.unname(n, s)
	}
	c.tree.touch(s.dir)
}

// onlyNameOfOpenFile reports whether a file that is open loses its last name with the
// i-th.
func (c *claim) onlyNameOfOpenFile(i int) bool {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	n := c.nodes[i]
	return n != nil && n.file != nil && len(n.file.more) == 0 && len(n.file.handles) > 0
}

// hide gives the claimed file, which is open, a hidden name. Programs read and
// write it on until they close it. Where that cannot be it is removed: the
// server may still let us use it.
func (f *filesystem) hide(ctx context.Context, c *claim) error {
	from := c.spots[0]
	to := f.tree.hiddenNameIn(from.dir)
	err := f.remote.Rename(ctx, c.paths[0], remote.Join(c.dirs[0], to.name), false)
	switch {
	case err == nil:
		f.tree.mu.Lock()
		defer f.tree.mu.Unlock()
		f.hidden(c.nodes[0], from, to)
	case errors.Is(err, syscall.EOPNOTSUPP):
		if err = f.remote.Remove(ctx, c.paths[0]); err == nil {
			c.removed()
		}
	default:
		f.hiddenLate(err, c.nodes[0], from, to)
	}
	return err
}

// hidden notes that n was given a hidden name, for its last handle to remove, if that
// is not gone by now. The caller holds tree.mu.
func (f *filesystem) hidden(n *node, from, to spot) {
	f.tree.move(n, from, to)
	n.inode().hidden = true
	if len(n.file.handles) == 0 {
		f.expungeLater(n)
	}
}

// leftover removes a hidden name that a rename which failed has left, or may have: of
// what was to be removed it is the only name then.
func (f *filesystem) leftover(s spot) {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	n := &node{typ: syscall.S_IFREG}
	n.inode().hidden = true
	f.tree.name(n, s)
	f.expungeLater(n)
}

// evacuate moves the hidden files of the i-th claimed folder up into the folder
// it is in, and reports whether there were any.
func (f *filesystem) evacuate(ctx context.Context, c *claim, i int) bool {
	moved := false
	for _, from := range f.tree.hiddenIn(c.nodes[i]) {
		to := spot{c.spots[i].dir, from.name}
		n := f.tree.child(from.dir, from.name)
		err := f.remote.Rename(ctx, remote.Join(c.paths[i], from.name), remote.Join(c.dirs[i], to.name), false)
		if err != nil {
			f.hiddenLate(err, n, from, to)
			return false
		}
		f.tree.mu.Lock()
		if n := from.dir.children[from.name]; n != nil {
			f.tree.move(n, from, to)
		}
		f.tree.mu.Unlock()
		moved = true
	}
	return moved
}

// hiddenIn are the hidden files in dir.
func (t *tree) hiddenIn(dir *node) []spot {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []spot
	if dir != nil {
		for name, n := range dir.children {
			if n.file != nil && n.file.hidden {
				found = append(found, spot{dir, name})
			}
		}
	}
	return found
}

// expungePause is between tries to remove a hidden file while the remote is away.
const expungePause = 2 * time.Second

// expungeLater is expunge, for who holds the name or cannot wait.
func (f *filesystem) expungeLater(n *node) {
	f.expunging.Add(1)
	go func() {
		defer f.expunging.Done()
		f.expunge(n)
	}()
}

// expunge removes a hidden file, whose last handle is closed. Where that fails it is
// tried again for as long as the mount lives, or it would stay on the server after
// each outage.
func (f *filesystem) expunge(n *node) {
	if f.expunged(n) {
		return
	}
	f.expunging.Add(1)
	go func() {
		defer f.expunging.Done()
		tick := time.NewTicker(expungePause)
		defer tick.Stop()
		for {
			select {
			case <-f.ending:
				if !f.expunged(n) {
					f.cfg.Log.Warn("a removed file is left behind", "path", f.tree.pathOf(n))
				}
				return
			case <-tick.C:
				if f.expunged(n) {
					return
				}
			}
		}
	}()
}

// expunged tries to remove a hidden file, and reports whether there is nothing left
// to try.
func (f *filesystem) expunged(n *node) bool {
	path, err := f.tree.pin(f.base, n)
	if err == nil {
		err = f.remote.Remove(f.base, path)
		f.tree.unpin(n)
	}
	kept := false
	switch {
	case err == nil || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESTALE):
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EROFS):
		kept = true
		f.cfg.Log.Warn("a removed file is left behind", "path", path, "error", err)
	default:
		return false
	}
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if kept {
		f.tree.hiding.left[n.name] = struct{}{}
	}
	n.inode().hidden = false
	f.tree.unname(n, spot{n.parent, n.name})
	return true
}

// uncertain has the kernel look names up again after a change that may have been made,
// though its caller did not wait for that or waited in vain. While the remote is away a
// look would tell no more.
func (f *filesystem) uncertain(err error, spots ...spot) {
	if remote.UnsettledIn(err) != nil || errors.Is(err, context.Canceled) || errors.Is(err, syscall.ETIMEDOUT) && !f.isAway() {
		f.lookAgain(spots...)
	}
}

// lookAgain has the kernel look names up again. It cannot be done before the request is
// answered.
func (f *filesystem) lookAgain(spots ...spot) {
	if f.base.Err() != nil {
		return
	}
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		for _, s := range spots {
			f.kernel.EntryNotify(s.dir.id, s.name)
		}
	}()
}

// Rename implements fuse.RawFileSystem. Of the flags of renameat2 there is
// RENAME_NOREPLACE.
func (f *filesystem) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	c := f.begin(opRename, cancel, &in.InHeader)
	const noReplace = 1
	if in.Flags&^noReplace != 0 {
		return c.finish(syscall.EINVAL)
	}
	if len(newName) > nameMax {
		return c.finish(syscall.ENAMETOOLONG)
	}
	from, err := f.node(in.NodeId)
	if err != nil {
		return c.finish(err)
	}
	to, err := f.node(in.Newdir)
	if err != nil {
		return c.finish(err)
	}
	return c.finish(f.rename(c, spot{from, oldName}, spot{to, newName}, in.Flags&noReplace != 0))
}

// rename moves a name. A file that is replaced while it is open gets a hidden name.
func (f *filesystem) rename(ctx context.Context, from, to spot, noReplace bool) error {
	if from == to {
		return nil
	}
	c, err := f.tree.claim(ctx, from, to)
	if err != nil {
		return err
	}
	defer c.release()
	keep, err := f.renameOver(ctx, c, noReplace)
	if !noReplace && notEmpty(err) && f.evacuate(ctx, c, 1) {
		err = f.remote.Rename(ctx, c.paths[0], c.paths[1], noReplace)
	}
	switch {
	case err == nil:
		f.renamed(c, keep)
	case remote.UnsettledIn(err) != nil:
		f.renamedLate(err, c, keep)
	case keep != (spot{}):
		f.leftover(keep)
	}
	f.uncertain(err, from, to)
	return err
}

// renameOver is the rename alone. It gives the hidden name of what is replaced, or has
// been left of that when it fails. The name is a link, since renaming to it first would
// leave a moment with neither file there. Where the server makes none, programs go on by
// their handles as long as the sessions of those live.
func (f *filesystem) renameOver(ctx context.Context, c *claim, noReplace bool) (keep spot, err error) {
	if noReplace || f.cfg.NoHardLinks || c.nodes[0] == c.nodes[1] || !c.onlyNameOfOpenFile(1) {
		return spot{}, f.remote.Rename(ctx, c.paths[0], c.paths[1], noReplace)
	}
	keep = f.tree.hiddenNameIn(c.spots[1].dir)
	kept, err := f.remote.Replace(ctx, c.paths[0], c.paths[1], remote.Join(c.dirs[1], keep.name))
	if !kept {
		keep = spot{}
	}
	return keep, err
}

// renamed notes that what was at the second claimed name is at keep, if anywhere, and
// the first has become the second.
func (f *filesystem) renamed(c *claim, keep spot) {
	f.links.given.moved(c.paths[0], c.paths[1])
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if keep != (spot{}) {
		f.hidden(c.nodes[1], c.spots[1], keep)
	}
	c.renamed()
}

// renamed notes that the first claimed name has become the second. The caller holds
// tree.mu.
func (c *claim) renamed() {
	t, from, to := c.tree, c.spots[0], c.spots[1]
	switch {
	case c.nodes[0] != nil:
		t.move(c.nodes[0], from, to)
	case c.nodes[1] != nil:
		t.unname(c.nodes[1], to)
	}
	t.touch(from.dir)
	t.touch(to.dir)
}
