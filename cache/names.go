package cache

import (
	"context"

	"github.com/remotemount/remotemount/pool/remote"
)

// change runs one change of ours, and done after it succeeded, under tree.mu.
func (c *Cache) change(k kind, paths []string, do func() error, done func()) error {
	return c.changeNames(k, paths, do, done, func() {})
}

// changeNames is change for names that files may be open by. What it means for these is
// noted under tree.mu: with its end, so that no listing begun after that takes one for
// another, or late, if only then it is known that it was made.
func (c *Cache) changeNames(k kind, paths []string, do func() error, done, note func()) error {
	t := c.tree
	ch := t.begin(k, paths...)
	err := do()
	t.mu.Lock()
	t.endLocked(ch, err, done)
	if err == nil {
		note()
	}
	t.mu.Unlock()
	if u := remote.UnsettledIn(err); u != nil {
		c.spawn(func() { c.noteLate(u, ch, note) })
	}
	c.sweepLater()
	return err
}

// noteLate notes a change of names if it turns out to have been made.
func (c *Cache) noteLate(u *remote.Unsettled, ch *change, note func()) {
	select {
	case <-u.Over:
	case <-c.life.Done():
		return
	}
	if u.Made() {
		c.tree.mu.Lock()
		defer c.tree.mu.Unlock()
		note()
		c.tree.touch(ch)
	}
}

// Mkdir implements remote.Remote. A folder just made is known to be empty.
func (c *Cache) Mkdir(ctx context.Context, path string, perm uint32) (attr remote.Attr, err error) {
	err = c.change(wholeTree, []string{path}, func() (err error) {
		attr, err = c.remote.Mkdir(ctx, path, perm)
		return err
	}, func() {
		c.tree.put(path, present, attr)
		c.tree.putEmpty(path, attr)
	})
	return attr, err
}

// putEmpty notes that nothing is in the folder at path.
func (t *tree) putEmpty(path string, a remote.Attr) {
	until := t.clock() + instant(t.lifetime)
	f := t.folderOf(path)
	f.listed, f.proves = until, a.Mode&0o100 != 0
	t.keep(f, until)
}

// Symlink implements remote.Remote.
func (c *Cache) Symlink(ctx context.Context, to, path string) (attr remote.Attr, err error) {
	err = c.change(names, []string{path}, func() (err error) {
		attr, err = c.remote.Symlink(ctx, to, path)
		return err
	}, func() { c.tree.put(path, present, attr) })
	return attr, err
}

// Link implements remote.Remote. Where the server does not count links, and a listing
// did, there is one more now.
func (c *Cache) Link(ctx context.Context, oldPath, newPath string) (attr remote.Attr, err error) {
	old, _ := c.tree.find(oldPath)
	c.files.changeRights()
	defer c.files.changeRights()
	err = c.change(names, []string{newPath, oldPath}, func() (err error) {
		attr, err = c.remote.Link(ctx, oldPath, newPath)
		if err == nil || uncertain(err) {
			c.linked(oldPath, newPath)
		}
		if err == nil && attr.Nlink == 0 && old.attr.Nlink > 0 {
			attr.Nlink = old.attr.Nlink + 1
		}
		return err
	}, func() {
		c.tree.links.Others(oldPath, func(other string) {
			c.tree.update(other, func(a *remote.Attr) { a.Nlink = attr.Nlink })
		})
		c.tree.put(newPath, present, attr)
		c.tree.put(oldPath, present, attr)
	})
	return attr, err
}

// linked notes that two paths are names of one file, before the change is over: a listing
// begun after it has to know.
func (c *Cache) linked(oldPath, newPath string) {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	c.tree.links.Add(oldPath, newPath)
	c.files.linked(oldPath)
	c.tree.links.Others(oldPath, c.files.linked)
}

// Remove implements remote.Remote.
func (c *Cache) Remove(ctx context.Context, path string) error {
	return c.changeNames(names, []string{path}, func() error {
		return c.remote.Remove(ctx, path)
	}, func() {
		c.tree.put(path, absent, remote.Attr{})
		c.tree.lessLinks(path)
	}, func() {
		c.tree.links.Others(path, c.files.uncount)
		c.files.removed(path, c.tree.links.Another(path))
		c.tree.links.Remove(path)
	})
}

// Rmdir implements remote.Remote.
func (c *Cache) Rmdir(ctx context.Context, path string) error {
	return c.change(wholeTree, []string{path}, func() error {
		return c.remote.Rmdir(ctx, path)
	}, func() { c.tree.put(path, absent, remote.Attr{}) })
}

// Rename implements remote.Remote. The attributes go along, except that nothing is
// kept of what is below a folder.
func (c *Cache) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	return c.rename(oldPath, newPath, "", func() (bool, error) {
		return false, c.remote.Rename(ctx, oldPath, newPath, noReplace)
	})
}

// Replace implements remote.Remote. What was open at newPath goes on at keep.
func (c *Cache) Replace(ctx context.Context, oldPath, newPath, keep string) (kept bool, err error) {
	err = c.rename(oldPath, newPath, keep, func() (bool, error) {
		kept, err = c.remote.Replace(ctx, oldPath, newPath, keep)
		return kept, err
	})
	return kept, err
}

// rename is Rename by do, which reports whether what was at newPath is at keep as well.
func (c *Cache) rename(oldPath, newPath, keep string, do func() (kept bool, err error)) error {
	r, known := c.tree.found(oldPath)
	reach := wholeTree
	if known && !r.attr.IsDir() {
		reach = names
	}
	paths := []string{oldPath, newPath}
	if keep != "" {
		paths = append(paths, keep)
	}
	kept := false
	same := oldPath == newPath // or another name: then rename(2) does nothing
	return c.changeNames(reach, paths, func() (err error) {
		kept, err = do()
		return err
	}, func() {
		if same = same || c.tree.links.Same(oldPath, newPath); same {
			if known {
				c.tree.putUntil(oldPath, present, r.attr, r.until)
				c.tree.putUntil(newPath, present, r.attr, r.until)
			}
			return
		}
		c.tree.lessLinks(newPath)
		c.tree.put(oldPath, absent, remote.Attr{})
		if known {
			c.tree.putUntil(newPath, present, r.attr, r.until)
		}
	}, func() {
		if kept {
			c.tree.links.Add(newPath, keep)
		}
		if same = same || c.tree.links.Same(oldPath, newPath); !same {
			c.tree.links.Others(newPath, c.files.uncount)
			c.files.renamed(oldPath, newPath, c.tree.links.Another(newPath))
			c.tree.links.Move(oldPath, newPath, reach == wholeTree)
		}
	})
}

// SetAttr implements remote.Remote. It is always sent: see File.SetAttr.
func (c *Cache) SetAttr(ctx context.Context, path string, ch remote.Change) (attr remote.Attr, err error) {
	if err := ended(ctx, "setattr", path); err != nil {
		return remote.Attr{}, err
	}
	cut := ch.Fields&remote.SetSize != 0
	reach := inPlace
	if ch.Fields&ofRights != 0 {
		reach = rights
		c.files.changeRights()
		defer c.files.changeRights()
	}
	c.touched(path, cut)
	err = c.change(reach, []string{path}, func() (err error) {
		attr, err = c.remote.SetAttr(ctx, path, ch)
		return err
	}, func() { c.tree.put(path, present, attr) })
	c.touched(path, cut)
	return attr, err
}

// ofRights are the parts of a change that decide who may do what.
const ofRights = remote.SetMode | remote.SetUID | remote.SetGID
