package cache

import (
	"context"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// Open implements remote.Remote. The File it gives is a *File.
func (c *Cache) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	if err := ended(ctx, "open", path); err != nil {
		return nil, remote.Attr{}, err
	}
	alone := flag&remote.FlagSteady != 0 || remote.IsBackground(ctx)
	ahead := flag == remote.FlagRead && !c.off() && !alone
	if ahead {
		if f := c.openContent(ctx, path); f != nil {
			c.opens(path, true)
			return f.asOpened()
		}
	}
	if flag&(remote.FlagCreate|remote.FlagTruncate) != 0 {
		f := &File{c: c}
		c.tree.name(f, path, flag)
		return c.openChanging(ctx, f, path, flag, perm)
	}
	f, attr, err := c.openOrHeld(ctx, path, flag, func(ctx context.Context) (*File, remote.Attr, error) {
		return c.openAsking(ctx, path, flag, perm, alone)
	})
	if err != nil {
		return nil, attr, err
	}
	if ahead {
		c.opens(path, false)
	}
	return f, attr, nil
}

// openAsking opens what is there.
func (c *Cache) openAsking(ctx context.Context, path string, flag remote.OpenFlag, perm uint32, alone bool) (*File, remote.Attr, error) {
	f := &File{c: c}
	c.tree.name(f, path, flag)
	w := c.tree.watch(path)
	before := c.files.mark(path)
	begun := c.tree.clock()
	remote, attr, err := c.remote.Open(ctx, path, flag, perm)
	c.answeredIn(begun, err)
	if err == nil {
		c.attachSince(before, f, remote, path, attr, alone)
	}
	sure := c.tree.opened(w, f.named, attr, err)
	c.sweepLater()
	if err != nil {
		return nil, attr, err
	}
	if !sure {
		f.doubt()
	}
	return f, attr, nil
}

// openChanging opens what may come to be by that, or be cut.
func (c *Cache) openChanging(ctx context.Context, f *File, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	reach := inPlace
	if a, known := c.tree.find(path); flag&remote.FlagCreate != 0 && (!known || a.errno != 0) {
		reach = names
	}
	var attr remote.Attr
	sure := false
	before := c.files.mark(path)
	f.toldAt = before.rights
	err := c.change(reach, []string{path}, func() error {
		below, a, err := c.remote.Open(ctx, path, flag, perm)
		if err != nil {
			return err
		}
		if f.single && a.Nlink == 0 {
			a.Nlink = 1
		}
		attr = a
		c.attachSince(before, f, below, path, attr, false)
		if flag&remote.FlagTruncate != 0 {
			c.touched(path, true)
		}
		if flag&remote.FlagExclusive != 0 {
			f.tell(f.toldAt)
		}
		return nil
	}, func() {
		sure = true
		c.tree.touchOthers(path)
		if f.named {
			c.tree.put(path, present, attr)
		}
	})
	if err != nil {
		return nil, attr, err
	}
	if !sure {
		f.doubt()
	}
	return f, attr, nil
}

// A mark tells whether the file at a path was written to since it was made.
type mark struct {
	obj    *object
	writes uint64
	rights uint64
}

func (o *opened) mark(path string) mark {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.markLocked(path)
}

func (o *opened) markLocked(path string) mark {
	if obj := o.paths[path]; obj != nil {
		return mark{obj, obj.writes, o.rights}
	}
	return mark{rights: o.rights}
}

// attachSince makes f the open file that the remote gave to a question asked at
// that mark. Its attributes do not count what was written through another File
// meanwhile: a reader that believed them would see the file end too early.
func (c *Cache) attachSince(before mark, f *File, remote remote.File, path string, attr remote.Attr, alone bool) {
	c.files.mu.Lock()
	defer c.files.mu.Unlock()
	now := c.files.markLocked(path)
	c.attach(f, remote, path, attr, alone)
	if now.writes != before.writes || before.obj != nil && now.obj != before.obj {
		f.until = 0
	}
}

// doubt makes f ask for its attributes before it believes them.
func (f *File) doubt() {
	f.c.files.mu.Lock()
	defer f.c.files.mu.Unlock()
	f.until = 0
}

// attach makes f the open file that the remote gave. Under opened.mu.
func (c *Cache) attach(f *File, remote remote.File, path string, attr remote.Attr, alone bool) {
	f.remote = remote
	f.life, f.stop = context.WithCancel(c.life)
	f.attr, f.until = attr, c.tree.clock()+instant(c.cfg.AttrTimeout)
	f.alias = f.alias || !f.named || attr.Nlink > 1
	f.single = f.single || attr.Nlink == 1
	c.files.add(f, path, alone)
}

// opened ends the watch of an Open, which tells of the file that path leads to:
// that is not the path's own record when path is a symbolic link. It reports
// whether nothing was changed meanwhile.
func (t *tree) opened(w *watch, named bool, attr remote.Attr, err error) (sure bool) {
	if named {
		return t.answered(w, attr, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwatch(w)
	if w.stale {
		return false
	}
	t.putFollowedLocked(w.path, w.epoch, attr, err)
	if err == nil {
		t.files.seen(w.path, attr)
	}
	return true
}

// name tells f what is known of the path by which it is about to be opened.
func (t *tree) name(f *File, path string, flag remote.OpenFlag) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.named, f.single = t.ownName(path, flag)
	f.alias = t.links[path] != nil
}

// ownName reports whether path, when it can be opened, is the file's own name, and
// whether it has no other: it was looked at before, or is made by that. It does not
// matter here how old that knowledge is.
func (t *tree) ownName(path string, flag remote.OpenFlag) (named, single bool) {
	if flag&remote.FlagExclusive != 0 {
		return true, true
	}
	dir, name := remote.Split(path)
	f, ok := t.folders.Peek(dir)
	if !ok {
		return false, false
	}
	switch r, held := f.names[name]; {
	case held && r.state == present:
		return r.attr.IsRegular(), r.attr.IsRegular() && r.attr.Nlink == 1
	case held && r.state == absent, !held && f.proves && f.listed > t.clock():
		return flag&remote.FlagCreate != 0, false
	}
	return false, false
}

// Copy implements remote.Remote.
func (c *Cache) Copy(ctx context.Context, dst remote.File, dstOff int64, src remote.File, srcOff int64, n int64) (int64, error) {
	d, ok := dst.(*File)
	s, ok2 := src.(*File)
	if !ok || !ok2 {
		return 0, remote.PathError("copy", ".", syscall.EINVAL) // not open files of this Remote
	}
	from, err := s.handle(ctx)
	if err != nil {
		return 0, err
	}
	to, err := d.handle(ctx)
	if err != nil {
		return 0, err
	}
	c.files.mu.Lock()
	d.writing(dstOff, n)
	c.files.mu.Unlock()
	done, err := c.remote.Copy(ctx, to, dstOff, from, srcOff, n)
	d.wrote(dstOff, n, done, err)
	return done, err
}
