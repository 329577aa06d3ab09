package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A content is a small file that was read ahead as a whole. It serves one open,
// and becomes the data of that File.
type content struct {
	c     *Cache
	path  string
	since instant       // when it was asked for
	done  chan struct{} // closed when it is there, or nothing became of it

	named, single bool // as in File

	// Guarded by opened.mu.
	size  int // what it takes of mostContent
	attr  remote.Attr
	data  *extent // nil for an empty file, and before it is there
	ready bool
	held  bool // it is in opened.contents
}

var errNotSmall = errors.New("not a small file any more")

// fetch opens, reads and closes the file. Nobody who waits for it waits for the
// closing.
func (t *content) fetch() {
	c := t.c
	ctx := remote.Background(c.life)
	w := c.tree.watch(t.path)
	remote, attr, err := c.remote.Open(ctx, t.path, remote.FlagRead, 0)
	c.tree.opened(w, t.named, attr, err)
	opened := err == nil
	if opened {
		err = t.read(ctx, remote, attr)
	}
	t.finish(err)
	c.tree.mu.Lock()
	c.readOn()
	c.tree.mu.Unlock()
	if opened {
		err = errors.Join(err, remote.Close(ctx))
	}
	if err != nil {
		c.cfg.Log.Debug("reading ahead", "path", t.path, "error", err)
	}
	c.sweepLater()
}

func (t *content) finish(err error) {
	t.c.files.mu.Lock()
	defer t.c.files.mu.Unlock()
	if err != nil {
		t.forget()
	}
	t.ready = t.held
	close(t.done)
}

// read takes the file in, if it still is what the listing said.
func (t *content) read(ctx context.Context, remote remote.File, attr remote.Attr) error {
	if !attr.IsRegular() || attr.Size > smallFile {
		return errNotSmall
	}
	if attr.Size == 0 {
		t.take(nil, attr)
		return nil
	}
	size := int(attr.Size)
	o, mem := t.c.files, t.c.mem
	o.mu.Lock()
	mem.room(size)
	buf := mem.take(size)
	o.mu.Unlock()
	n, err := remote.ReadAt(ctx, buf.b[:size], 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && n < size {
		err = fmt.Errorf("only %d of %d bytes: %w", n, size, errNotSmall)
	}
	if err != nil {
		o.mu.Lock()
		mem.give(buf, ctx.Err() == nil)
		o.mu.Unlock()
		return err
	}
	done := make(chan struct{})
	close(done)
	t.take(&extent{size: size, n: size, buf: buf, owner: t, refs: 1, ready: true, kept: true, done: done}, attr)
	return nil
}

func (t *content) take(e *extent, attr remote.Attr) {
	t.c.files.mu.Lock()
	defer t.c.files.mu.Unlock()
	t.attr, t.data = attr, e
	switch {
	case e == nil:
	case !t.held:
		e.letGo() // it was changed meanwhile
	default:
		t.c.mem.rest(e)
	}
}

func (t *content) cache() *Cache { return t.c }

// discard implements keeper.
func (t *content) discard(*extent) { t.forget() }

// forget drops a content that is of no use. Under opened.mu.
func (t *content) forget() {
	if !t.held {
		return
	}
	t.release()
	t.c.files.wasted++
	if t.data != nil {
		t.data.letGo()
		t.data = nil
	}
}

func (t *content) release() {
	o := t.c.files
	t.held = false
	delete(o.contents, t.path)
	o.contentSize -= t.size
}

// spoil drops what was read ahead of path, and of what is below it.
func (o *opened) spoil(path string, below bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left.spoil(path, below)
	if t := o.contents[path]; t != nil {
		t.forget()
	}
	if !below {
		return
	}
	for p, t := range o.contents {
		if inside(p, path) {
			t.forget()
		}
	}
}

// spoilOutside drops what was read ahead in other folders than dir: a program that
// went on there took another way than was guessed, and what waits on the wrong one
// would be in its way until it is too old.
func (o *opened) spoilOutside(dir string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, t := range o.contents {
		if d, _ := remote.Split(p); d != dir {
			t.forget()
		}
	}
}

// ahead is the number of files read ahead, or being read.
func (o *opened) ahead() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.contents)
}

// takeWasted drops what is too old, and tells how many contents have been of no use
// since the last time.
func (o *opened) takeWasted(now instant) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.contents {
		if now-t.since > instant(contentLife) {
			t.forget()
		}
	}
	n := o.wasted
	o.wasted = 0
	return n
}

// openContent opens a file from its content, or gives nil.
func (c *Cache) openContent(ctx context.Context, path string) *File {
	c.files.mu.Lock()
	t := c.files.contents[path]
	c.files.mu.Unlock()
	if t == nil {
		return nil
	}
	patience := time.NewTimer(c.patience())
	defer patience.Stop()
	select {
	case <-t.done:
	case <-patience.C:
	case <-ctx.Done():
	}
	return c.claim(t)
}

func (c *Cache) claim(t *content) *File {
	o := c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	if !t.held || !t.ready || c.tree.clock()-t.since > instant(contentLife) {
		t.forget()
		return nil
	}
	t.release()
	f := &File{c: c, named: t.named, single: t.single}
	c.attach(f, nil, t.path, t.attr, false)
	if e := t.data; e != nil {
		t.data = nil
		e.owner, e.used = f.shelf, true
		if len(f.shelf.data) == 0 {
			f.shelf.data = extents{e}
		} else {
			e.letGo()
		}
	}
	f.until = t.since + instant(c.cfg.AttrTimeout)
	return f
}

// A lateOpen is the opening of a File that was served from content, when that does
// not do any more.
type lateOpen struct {
	done   chan struct{}
	remote remote.File
	err    error
}

// handle gives the remote's file.
func (f *File) handle(ctx context.Context) (remote.File, error) {
	return f.handleFor(ctx, func() {})
}

// handleFor is handle, and does first what is to be done under opened.mu.
func (f *File) handleFor(ctx context.Context, first func()) (remote.File, error) {
	o := f.c.files
	o.mu.Lock()
	if f.remote != nil {
		defer o.mu.Unlock()
		first()
		return f.remote, nil
	}
	if f.closed {
		defer o.mu.Unlock()
		return nil, remote.PathError("open", f.obj.path, syscall.EBADF)
	}
	late := f.late
	if late == nil {
		late = &lateOpen{done: make(chan struct{})}
		f.late = late
		f.fetches.Add(1)
		if !f.c.spawn(func() { f.openLate(late) }) {
			f.opened(late, nil, remote.Attr{}, errClosed("open", f.obj.path))
		}
	}
	o.mu.Unlock()
	if err := remote.Await(ctx, late.done); err != nil {
		return nil, remote.PathError("open", f.c.files.place(f), err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	first()
	return late.remote, late.err
}

func (f *File) openLate(late *lateOpen) {
	path := f.c.files.place(f)
	if path == "" {
		f.c.files.mu.Lock()
		defer f.c.files.mu.Unlock()
		f.opened(late, nil, remote.Attr{}, remote.PathError("open", "", syscall.ESTALE))
		return
	}
	remote, attr, err := f.c.remote.Open(f.life, path, remote.FlagRead, 0)
	f.c.files.mu.Lock()
	defer f.c.files.mu.Unlock()
	f.opened(late, remote, attr, err)
}

// opened ends a late opening. The file has to be the one whose content was served:
// as it was, or, as a log does, grown; or as a truncation of ours left it. Under
// opened.mu.
func (f *File) opened(late *lateOpen, below remote.File, attr remote.Attr, err error) {
	defer f.fetches.Done()
	defer close(late.done)
	late.remote, late.err = below, err
	if err != nil {
		f.late = nil
		return
	}
	f.remote = below
	if attr.Size == f.attr.Size && attr.Mtime == f.attr.Mtime {
		return
	}
	f.shelf.told(attr, f.obj.writes)
	f.until = 0
	if attr.Size < f.attr.Size && !f.cut {
		late.err = remote.PathError("open", f.obj.path, syscall.ESTALE)
	}
	f.attr.Size, f.attr.Mtime = attr.Size, attr.Mtime
}
