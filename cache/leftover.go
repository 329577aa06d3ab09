package cache

import (
	"context"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/remotemount/remotemount/pool/remote"
)

// While the remote is away a file can be opened to read of which all the content is
// held: because somebody has it open, or because it was read lately. For the latter the
// shelf of a file stays when the last who had it open closes it, and is whole. It serves
// nobody while the remote answers: then opening asks.

const (
	mostLeft  = 1000     // files
	leftBytes = 32 << 20 // of data in them
)

// leftovers are those shelves, by path. Guarded by opened.mu.
type leftovers struct {
	shelves *simplelru.LRU[string, *shelf]
	bytes   int64
}

func newLeftovers() *leftovers {
	l := &leftovers{}
	l.shelves, _ = simplelru.NewLRU(mostLeft, func(_ string, s *shelf) {
		l.bytes -= s.stamp.Size
		if s.left != "" {
			s.left = ""
			s.discardAll()
		}
	})
	return l
}

// add keeps a shelf that nobody has open, and reports whether it did.
func (l *leftovers) add(path string, s *shelf) bool {
	if s.stamp.Size > leftBytes/4 || !s.isWhole() {
		return false
	}
	l.shelves.Remove(path)
	l.bytes += s.stamp.Size
	s.left = path
	l.shelves.Add(path, s)
	for l.bytes > leftBytes {
		l.shelves.RemoveOldest()
	}
	return true
}

// take gives a shelf to somebody who has the file open again.
func (l *leftovers) take(s *shelf) {
	path := s.left
	s.left = ""
	l.shelves.Remove(path)
}

// seen drops the shelf of path when the file is not what it was.
func (l *leftovers) seen(path string, a remote.Attr) {
	if s, ok := l.shelves.Peek(path); ok && s.stamp != a.Stamp() {
		l.forget(path)
	}
}

// forget drops that of path.
func (l *leftovers) forget(path string) { l.shelves.Remove(path) }

// spoil drops those of path, and below it.
func (l *leftovers) spoil(path string, below bool) {
	l.shelves.Remove(path)
	if !below {
		return
	}
	for _, p := range l.shelves.Keys() {
		if inside(p, path) {
			l.shelves.Remove(p)
		}
	}
}

// isWhole reports whether all of the file is here.
func (s *shelf) isWhole() bool {
	end := int64(0)
	for _, e := range s.data {
		if e.off != end || !e.ready || e.err != nil {
			return false
		}
		end = e.end()
	}
	return end == s.stamp.Size
}

// heldShelf gives the content of path if all of it is here.
func (o *opened) heldShelf(path string) *shelf {
	if o.hasDirty(path) {
		return nil
	}
	if obj := o.paths[path]; obj != nil {
		for f := range obj.files {
			if f.named && f.shelf.shared && f.shelf.isWhole() {
				return f.shelf
			}
		}
		return nil
	}
	s, _ := o.left.shelves.Get(path)
	return s
}

// openHeld opens a file from memory, for who would rather have it as it was last known
// than not at all, if the remote is away; else it gives nil.
func (c *Cache) openHeld(ctx context.Context, path string, flag remote.OpenFlag) *File {
	if flag != remote.FlagRead || c.off() || remote.IsBackground(ctx) || !c.isAway() {
		return nil
	}
	attr, known := c.tree.held(ctx, path)
	if !known || !attr.IsRegular() {
		return nil
	}
	o := c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.heldShelf(path)
	if s == nil || s.stamp != attr.Stamp() {
		return nil
	}
	if s.left != "" {
		o.left.take(s)
	}
	f := &File{c: c, named: true, shelf: s}
	c.attach(f, nil, path, attr, false)
	// Nothing is asked about it until something else is told of the path.
	f.until = c.tree.clock() + keepFor
	c.stats.hits.Add(1)
	return f
}

// openOrHeld is what open does, or a file opened from memory when the remote turns out
// to be away meanwhile.
func (c *Cache) openOrHeld(ctx context.Context, path string, flag remote.OpenFlag, open func(context.Context) (*File, remote.Attr, error)) (*File, remote.Attr, error) {
	if f := c.openHeld(ctx, path, flag); f != nil {
		return f.asOpened()
	}
	if !c.mayHold(ctx, path, flag) {
		return open(ctx)
	}
	var f *File
	var attr remote.Attr
	var err error
	done := make(chan struct{})
	asking, cancel := c.detach(ctx)
	begun := c.spawn(func() {
		defer close(done)
		defer cancel()
		f, attr, err = open(asking)
	})
	if !begun {
		cancel()
		return nil, remote.Attr{}, errClosed("open", path)
	}
	var held *File
	isHeld := func() bool {
		held = c.openHeld(ctx, path, flag)
		return held != nil
	}
	come := comes(ctx, done, isHeld)
	switch {
	case come && (err == nil || !isHeld()):
		return f, attr, err
	case !come:
		cancel()
		c.spawn(func() {
			if <-done; err == nil {
				_ = f.Close(c.life) // nothing was written through it
			}
		})
	}
	if held == nil {
		return nil, remote.Attr{}, remote.PathError("open", path, ctx.Err())
	}
	return held.asOpened()
}

// mayHold reports whether there is something to fall back on, should the remote go away.
func (c *Cache) mayHold(ctx context.Context, path string, flag remote.OpenFlag) bool {
	if flag != remote.FlagRead || c.off() || !remote.MayBeStale(ctx) || remote.IsBackground(ctx) {
		return false
	}
	c.files.mu.Lock()
	defer c.files.mu.Unlock()
	return c.files.heldShelf(path) != nil
}
