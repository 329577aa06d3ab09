package cache

import (
	"context"
	"sync"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// A File is an open file.
type File struct {
	c   *Cache
	obj *object

	named   bool // the path it was opened by is its own, not a symbolic link's
	life    context.Context
	stop    context.CancelFunc // ends life
	fetches sync.WaitGroup     // under way; Add is called under opened.mu, while not closed

	// Guarded by opened.mu.
	remote  remote.File // nil while the file is served from content
	late    *lateOpen
	cut     bool        // it was truncated here
	single  bool        // it has no other name
	alias   bool        // it may be open under another path as well
	told    instant     // until then mode and owner are as our own create or change was answered,
	toldAt  uint64      // if there was no change of rights since (opened.rights)
	attr    remote.Attr // as of this file's last answer
	until   instant     // when attr is over
	shelf   *shelf
	streams []stream
	closed  bool
}

var _ remote.File = (*File)(nil)

// WriteAt implements remote.File.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	remote, err := f.handleFor(ctx, func() {
		f.c.mem.room(len(p)) // the remote holds it until the server has it
		f.writing(off, int64(len(p)))
	})
	if err != nil {
		return 0, err
	}
	n, err := remote.WriteAt(ctx, p, off)
	f.wrote(off, int64(len(p)), int64(n), err)
	return n, err
}

// writing notes that n bytes at off are about to change, or have changed. Under
// opened.mu.
func (f *File) writing(off, n int64) {
	o := f.c.files
	f.obj.writes++
	f.soil()
	if t := o.contents[f.obj.path]; t != nil && !f.obj.gone {
		t.forget() // with this lock held: nobody may open it as it was
	}
	o.left.forget(f.obj.path)
	o.each(f.obj, f, func(g *File) {
		if from := min(off, g.attr.Size); off+n > g.attr.Size {
			// It grows: what is being fetched from its end on may be told short.
			g.shelf.discardRange(from, off+n-from)
			return
		}
		g.shelf.discardRange(off, n)
	})
}

// wrote notes that done of n bytes at off were written. When that failed, nobody
// knows what is there, and the next look asks the remote, which knows what it holds.
func (f *File) wrote(off, n, done int64, err error) {
	o := f.c.files
	o.mu.Lock()
	f.writing(off, n)
	if done > 0 {
		f.grow(off + done)
	}
	path := f.placeLocked()
	o.mu.Unlock()
	if !f.named {
		o.spoil(".", true) // it may be any of them
	}
	switch {
	case path == "":
		f.c.tree.forgetFollowed()
	case err != nil || !f.named:
		f.c.tree.end(f.c.tree.begin(inPlace, path), nil, nil)
	case done > 0:
		f.c.tree.wrote(path, off+done)
	}
}

// grow takes written data into the sizes held by the Files of one path. What else
// there is to say of them only the remote knows. Under opened.mu.
func (f *File) grow(end int64) {
	f.c.files.each(f.obj, f, func(g *File) {
		g.until = 0
		if g.obj == f.obj {
			g.attr.Size = max(g.attr.Size, end)
		}
	})
}

// End implements remote.File.
func (f *File) End(ctx context.Context) (int64, error) {
	below, err := f.handle(ctx)
	if err != nil {
		return 0, err
	}
	end, err := below.End(ctx)
	if err == nil {
		f.c.files.mu.Lock()
		defer f.c.files.mu.Unlock()
		f.grow(end)
	}
	return end, err
}

// IsAt implements remote.File.
func (f *File) IsAt(ctx context.Context) (bool, error) {
	if f.untouched() {
		return true, nil
	}
	below, err := f.handle(ctx)
	if err != nil {
		return true, err
	}
	at, err := below.IsAt(ctx)
	if at || err != nil {
		return true, err
	}
	if path := f.c.files.place(f); path != "" {
		t := f.c.tree
		t.end(t.begin(inPlace, path), nil, nil)
		t.mu.Lock()
		f.c.files.removed(path, t.links.Another(path))
		t.links.Remove(path)
		t.mu.Unlock()
	}
	return false, nil
}

// untouched reports whether the file was never opened on the remote.
func (f *File) untouched() bool {
	f.c.files.mu.Lock()
	defer f.c.files.mu.Unlock()
	return f.remote == nil && f.late == nil
}

// Flush implements remote.File.
func (f *File) Flush(ctx context.Context) (remote.Attr, error) {
	return f.flush(ctx, remote.File.Flush)
}

// Sync implements remote.File.
func (f *File) Sync(ctx context.Context) (remote.Attr, error) {
	return f.flush(ctx, remote.File.Sync)
}

func (f *File) flush(ctx context.Context, do func(remote.File, context.Context) (remote.Attr, error)) (remote.Attr, error) {
	o := f.c.files
	o.mu.Lock()
	dirty := o.isDirty(f.obj)
	below, late, writes := f.remote, f.late, f.obj.writes
	o.mu.Unlock()
	switch {
	case below == nil && late == nil:
		return f.Stat(ctx) // it was never opened on the remote
	case below != nil && !dirty:
		return do(below, ctx) // what that tells may be old
	}
	return f.ask(ctx, func(below remote.File, ctx context.Context) (remote.Attr, error) {
		attr, err := do(below, ctx)
		o.mu.Lock()
		defer o.mu.Unlock()
		if err == nil && f.obj.writes == writes {
			delete(o.dirty, f)
		}
		return attr, err
	})
}

// Stat implements remote.File.
func (f *File) Stat(ctx context.Context) (remote.Attr, error) {
	if err := ended(ctx, "stat", f.c.files.place(f)); err != nil {
		return remote.Attr{}, err
	}
	if attr, known := f.known(); known {
		f.c.stats.hits.Add(1)
		return attr, nil
	}
	f.c.stats.misses.Add(1)
	return f.ask(ctx, remote.File.Stat)
}

// known gives the attributes of f while they are fresh.
func (f *File) known() (remote.Attr, bool) {
	o := f.c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	return f.attr, f.until > f.c.tree.clock()
}

// asOpened is what an opening gives of f, which others may have open as well.
func (f *File) asOpened() (*File, remote.Attr, error) {
	attr, _ := f.known()
	return f, attr, nil
}

// ask asks the remote for attributes of f, and keeps them unless the file was
// changed meanwhile.
func (f *File) ask(ctx context.Context, do func(remote.File, context.Context) (remote.Attr, error)) (remote.Attr, error) {
	below, err := f.handle(ctx)
	if err != nil {
		return remote.Attr{}, err
	}
	w := f.c.tree.watch(f.c.files.place(f))
	writes := f.writes()
	attr, err := do(below, ctx)
	f.keep(attr, err, writes)
	f.c.tree.settled(w, f.named, attr, err)
	return attr, err
}

func (f *File) writes() uint64 {
	o := f.c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	return f.obj.writes
}

// keep stores the attributes of an answer to a question asked when there had been
// so many writes.
func (f *File) keep(attr remote.Attr, err error, writes uint64) {
	o := f.c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	f.until = 0
	if err != nil || f.obj.writes != writes {
		return
	}
	if attr.Nlink == 0 {
		attr.Nlink = f.attr.Nlink
	}
	f.attr, f.until = attr, f.c.tree.clock()+instant(f.c.cfg.AttrTimeout)
	f.shelf.told(attr, writes)
}

// settled ends the watch of a question that an open file was asked. An error tells
// nothing of the path.
func (t *tree) settled(w *watch, named bool, attr remote.Attr, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwatch(w)
	t.touchOthers(w.path)
	switch {
	case w.path == "" || w.stale:
	case err != nil || !named:
		t.drop(w.path)
	default:
		t.put(w.path, present, attr)
	}
}

// SetAttr implements remote.File.
func (f *File) SetAttr(ctx context.Context, ch remote.Change) (attr remote.Attr, err error) {
	if err := ended(ctx, "setattr", f.c.files.place(f)); err != nil {
		return remote.Attr{}, err
	}
	if attr, is := f.isAlready(ch); is {
		f.c.stats.hits.Add(1)
		return attr, nil
	}
	below, err := f.handle(ctx)
	if err != nil {
		return remote.Attr{}, err
	}
	path := f.c.files.place(f)
	var paths []string
	if path != "" {
		paths = []string{path}
	}
	before, rights := f.changed(ch)
	err = f.c.change(inPlace, paths, func() (err error) {
		attr, err = below.SetAttr(ctx, ch)
		return err
	}, func() {
		if path != "" && f.named {
			f.c.tree.put(path, present, attr)
		}
	})
	f.changed(ch)
	f.keep(attr, err, before+1)
	if err == nil && ch.Fields&ofRights != 0 {
		f.tell(rights + 1)
	}
	return attr, err
}

// isAlready gives the attributes of f if it is as ch would make it. Only a change of
// mode or owner is left out, and only where our own create or change of the file told
// that, a little ago, and nobody here has changed mode, owner or links of any file
// since: under which names this one is known to others cannot be told. A chown takes
// set-id bits away also when it changes no owner.
func (f *File) isAlready(ch remote.Change) (remote.Attr, bool) {
	o := f.c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	now, a := f.c.tree.clock(), f.attr
	dirty := o.isDirty(f.obj) // then the remote alone knows the times, which a later look tells
	is := func(part remote.Fields, same bool) bool { return ch.Fields&part == 0 || same }
	return a, (dirty || f.until > now) && f.told > now && f.toldAt == o.rights &&
		ch.Fields&^ofRights == 0 && a.Mode&(syscall.S_ISUID|syscall.S_ISGID) == 0 &&
		is(remote.SetMode, a.Perm() == ch.Mode&0o7777) && is(remote.SetUID, a.UID == ch.UID) && is(remote.SetGID, a.GID == ch.GID)
}

// tell notes that mode and owner are what the server has just answered to a change of
// ours, if opened.rights is still that count.
func (f *File) tell(rights uint64) {
	o := f.c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	f.told, f.toldAt = 0, rights
	if o.rights == rights {
		f.told = f.c.tree.clock() + instant(f.c.cfg.AttrTimeout)
	}
}

// changed notes that ch is about to be made, or was, and gives the counts of changes
// and of those of rights.
func (f *File) changed(ch remote.Change) (writes, rights uint64) {
	o := f.c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	f.obj.writes++
	if ch.Fields&ofRights != 0 {
		o.rights++
	}
	if ch.Fields&(remote.SetAtime|remote.SetMtime) != 0 {
		f.soil() // they join the next flush
	}
	o.each(f.obj, f, func(g *File) {
		g.until = 0
		if ch.Fields&remote.SetSize != 0 {
			g.cut = true
			g.shelf.discardAll()
		}
	})
	return f.obj.writes, o.rights
}

// Close implements remote.File.
func (f *File) Close(ctx context.Context) error {
	path := f.c.files.place(f)
	o := f.c.files
	o.mu.Lock()
	dirty := o.isDirty(f.obj)
	again := f.closed
	f.closed = true
	if !again {
		f.shelf.leave(f)
	}
	o.mu.Unlock()
	if again {
		return remote.PathError("close", path, syscall.EBADF)
	}
	f.stop()
	f.fetches.Wait()
	err := f.closeRemote(ctx)
	o.remove(f)
	if dirty && path != "" { // written to since the last Flush: Close does not tell the new times
		f.c.tree.end(f.c.tree.begin(inPlace, path), nil, nil)
	}
	return err
}

func (f *File) closeRemote(ctx context.Context) error {
	f.c.files.mu.Lock()
	remote := f.remote
	f.c.files.mu.Unlock()
	if remote == nil {
		return nil
	}
	return remote.Close(ctx)
}
