package cache

import (
	"context"

	"github.com/remotemount/remotemount/pool"
)

// change runs one change of ours, and done after it succeeded, under tree.mu.
func (c *Cache) change(k kind, paths []string, do func() error, done func()) error {
	ch := c.tree.begin(k, paths...)
	err := do()
	c.tree.end(ch, err, done)
	c.sweepLater()
	return err
}

// Mkdir implements pool.Remote. A folder just made is known to be empty.
func (c *Cache) Mkdir(ctx context.Context, path string, perm uint32) (attr pool.Attr, err error) {
	err = c.change(wholeTree, []string{path}, func() (err error) {
		attr, err = c.remote.Mkdir(ctx, path, perm)
		return err
	}, func() {
		c.tree.put(path, present, attr)
		c.tree.putEmpty(path)
	})
	return attr, err
}

// putEmpty notes that nothing is in the folder at path.
func (t *tree) putEmpty(path string) {
	until := t.clock() + instant(t.lifetime)
	f := t.folderOf(path)
	f.listed = until
	t.keep(f, until)
}

// Symlink implements pool.Remote.
func (c *Cache) Symlink(ctx context.Context, to, path string) (attr pool.Attr, err error) {
	err = c.change(names, []string{path}, func() (err error) {
		attr, err = c.remote.Symlink(ctx, to, path)
		return err
	}, func() { c.tree.put(path, present, attr) })
	return attr, err
}

// Link implements pool.Remote. Where the server does not count links, and a listing
// did, there is one more now.
func (c *Cache) Link(ctx context.Context, oldPath, newPath string) (attr pool.Attr, err error) {
	old, _, _ := c.tree.find(oldPath)
	err = c.change(names, []string{newPath, oldPath}, func() (err error) {
		attr, err = c.remote.Link(ctx, oldPath, newPath)
		if err == nil && attr.Nlink == 0 && old.Nlink > 0 {
			attr.Nlink = old.Nlink + 1
		}
		return err
	}, func() {
		c.tree.put(newPath, present, attr)
		c.tree.put(oldPath, present, attr)
	})
	if err == nil {
		c.files.linked(oldPath)
	}
	return attr, err
}

// Remove implements pool.Remote.
func (c *Cache) Remove(ctx context.Context, path string) error {
	err := c.change(names, []string{path}, func() error {
		return c.remote.Remove(ctx, path)
	}, func() { c.tree.put(path, absent, pool.Attr{}) })
	if err == nil {
		c.files.removed(path)
	}
	return err
}

// Rmdir implements pool.Remote.
func (c *Cache) Rmdir(ctx context.Context, path string) error {
	return c.change(wholeTree, []string{path}, func() error {
		return c.remote.Rmdir(ctx, path)
	}, func() { c.tree.put(path, absent, pool.Attr{}) })
}

// Rename implements pool.Remote. The attributes go along, except that nothing is
// kept of what is below a folder.
func (c *Cache) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	attr, errno, known := c.tree.find(oldPath)
	known = known && errno == 0
	reach := wholeTree
	if known && !attr.IsDir() {
		reach = names
	}
	err := c.change(reach, []string{oldPath, newPath}, func() error {
		return c.remote.Rename(ctx, oldPath, newPath, noReplace)
	}, func() {
		if oldPath == newPath {
			return
		}
		c.tree.put(oldPath, absent, pool.Attr{})
		if known {
			c.tree.put(newPath, present, attr)
		}
	})
	if err == nil {
		c.files.renamed(oldPath, newPath)
	}
	return err
}

// SetAttr implements pool.Remote. A change that changes nothing is not sent.
func (c *Cache) SetAttr(ctx context.Context, path string, ch pool.Change) (attr pool.Attr, err error) {
	if err := ended(ctx, "setattr", path); err != nil {
		return pool.Attr{}, err
	}
	if attr, errno, known := c.tree.find(path); known && errno == 0 && changesNothing(attr, ch) {
		c.stats.hits.Add(1)
		return attr, nil
	}
	touched := c.stale
	if ch.Fields&pool.SetSize != 0 {
		touched = c.cut
	}
	touched(path)
	err = c.change(inPlace, []string{path}, func() (err error) {
		attr, err = c.remote.SetAttr(ctx, path, ch)
		return err
	}, func() { c.tree.put(path, present, attr) })
	touched(path)
	return attr, err
}

// changesNothing reports whether a file is already as ch would make it. A new size
// is always sent: it is a barrier, and it changes the time. So are times: they are
// set after something that changes them.
func changesNothing(a pool.Attr, ch pool.Change) bool {
	is := func(f pool.Fields, same bool) bool { return ch.Fields&f == 0 || same }
	return ch.Fields&(pool.SetSize|pool.SetAtime|pool.SetMtime) == 0 &&
		is(pool.SetMode, a.Perm() == ch.Mode&0o7777) &&
		is(pool.SetUID, a.UID == ch.UID) &&
		is(pool.SetGID, a.GID == ch.GID)
}
