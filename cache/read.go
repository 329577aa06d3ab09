package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// ReadAt implements remote.File.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	l, err := f.lend(ctx, off, len(p))
	n := 0
	for _, d := range l.data {
		n += copy(p[n:], d)
	}
	l.back()
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// StartReadAt implements remote.File.
func (f *File) StartReadAt(ctx context.Context, p []byte, off int64, wait bool, told func(n int, err error)) bool {
	return remote.Start(ctx, f, p, off, wait, told)
}

// Borrow implements remote.File.
func (f *File) Borrow(ctx context.Context, off int64, n int) (data [][]byte, release func(), err error) {
	l, err := f.lend(ctx, off, n)
	if err != nil {
		l.back()
		return nil, nil, err
	}
	return l.data, l.back, nil
}

// lend gives what a read of n bytes at off gets. The loan has to be given back also
// when there is an error; it has the data in front of that.
func (f *File) lend(ctx context.Context, off int64, n int) (*loan, error) {
	for again := false; ; again = true {
		l := f.c.newLoan()
		if ctx.Err() != nil {
			return l, remote.PathError("read", f.c.files.place(f), ctx.Err())
		}
		if !f.plan(l, off, n) {
			return l, remote.PathError("read", f.c.files.place(f), syscall.EBADF)
		}
		f.fetch(l.start)
		failed, err := l.wait(ctx)
		if err != nil {
			return l, remote.PathError("read", f.c.files.place(f), err)
		}
		if failed != nil && failed.by != l && (!again || failed.spoilt) {
			l.back() // what another read began failed, perhaps as its File was closed
			continue
		}
		l.cut(off, n)
		if failed != nil {
			return l, failed.err
		}
		return l, nil
	}
}

// plan finds, or makes, the extents that a read needs, and those ahead of it. It
// reports false when the File is closed.
func (f *File) plan(l *loan, off int64, n int) bool {
	c := f.c
	c.files.mu.Lock()
	defer c.files.mu.Unlock()
	if f.closed {
		return false
	}
	now, end := c.tree.clock(), off+int64(n)
	s := f.follow(off, end, now)
	if f.until > now && f.attr.Size > 0 {
		end = min(end, f.attr.Size) // no question only to hear that it ends there
	}
	if f.demand(l, s, off, end) {
		c.stats.misses.Add(1)
	} else {
		c.stats.hits.Add(1)
	}
	if s.run > 0 {
		f.measure(s, now)
		f.ahead(s, l, now)
		f.leave(s, now)
	}
	return true
}

// demand fills the loan, and reports whether something has to be fetched for it.
func (f *File) demand(l *loan, s *stream, off, end int64) (missed bool) {
	for off < end {
		i, held := f.shelf.data.find(off)
		if held {
			e := f.shelf.data[i]
			if e.by == nil && !e.used {
				f.c.stats.used.Add(1)
			}
			f.shelf.luck.hit(e)
			e.used = true
			l.add(e)
			off = e.end()
			continue
		}
		from, to, once := f.stretch(i, s, off, end)
		f.c.mem.room(int(to - from)) // whoever waits is served also beyond the limit
		i, _ = f.shelf.data.find(off)
		e := f.shelf.newExtent(f, i, from, to, l)
		e.used, e.once = true, once
		l.add(e)
		l.start = append(l.start, e)
		missed = true
		off = to
	}
	return missed
}

// stretch is what to fetch when off is asked for, and what is wanted ends at end:
// for a reader in order just that, since the rest is read ahead; for another one a
// block. If such blocks are not worth it, neither is keeping what is fetched: what a
// program reads again, the kernel has.
func (f *File) stretch(i int, s *stream, off, end int64) (from, to int64, once bool) {
	gapFrom, gapTo := f.shelf.data.around(i)
	if s.run > 0 {
		return off, min(end, gapTo, off+pieceSize), false
	}
	block := int64(4 << 10)
	once = f.c.off() || !f.shelf.luck.blocks(f.attr.Size, f.c.mem.limit)
	if !once {
		whole := f.shelf.luck.whole(f.attr.Size, f.c.mem.limit)
		if !f.c.mem.fits(pieceSize) {
			whole = 0 // something else would have to go
		}
		block = f.c.link.block(whole)
	}
	from = max(off-off%block, gapFrom)
	to = end + (block-end%block)%block
	if f.attr.Size > 0 {
		to = min(to, max(end, f.attr.Size))
	}
	to = min(to, gapTo, from+pieceSize)
	f.shelf.luck.bytes += to - from
	return from, to, once
}

// fetch gets extents in the background, for as long as the File is open. They are
// asked for in their order, that of a reader: on a long link the one it waits for
// would else come last of all.
func (f *File) fetch(start []*extent) {
	if start = f.fetchNow(start); len(start) == 0 {
		return
	}
	extents := slices.Clone(start)
	if !f.c.spawn(func() { f.fetchLater(extents) }) {
		f.failed(extents, errClosed("read", f.c.files.place(f)))
	}
}

func (f *File) failed(extents []*extent, err error) {
	for _, e := range extents {
		f.fetched(e, 0, err, 0)
	}
}

// fetchNow begins what needs no waiting for anything, and gives the rest.
func (f *File) fetchNow(extents []*extent) []*extent {
	f.c.files.mu.Lock()
	below := f.remote
	f.c.files.mu.Unlock()
	for below != nil && len(extents) > 0 {
		e := extents[0]
		if !below.StartReadAt(f.life, e.buf.b[:e.size], e.off, false, f.fetching(e)) {
			break
		}
		extents = extents[1:]
	}
	return extents
}

func (f *File) fetchLater(extents []*extent) {
	below, err := f.handle(f.life)
	if err != nil {
		f.failed(extents, err)
		return
	}
	for _, e := range extents {
		below.StartReadAt(f.life, e.buf.b[:e.size], e.off, true, f.fetching(e))
	}
}

// fetching gives what ends a fetch that begins now.
func (f *File) fetching(e *extent) func(n int, err error) {
	begun := f.c.tree.clock()
	return func(n int, err error) { f.fetched(e, n, err, f.c.tree.clock()-begun) }
}

// fetched ends a fetch. A short extent is the end of the file, of which nothing is
// remembered.
func (f *File) fetched(e *extent, n int, err error, took instant) {
	o := f.c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	short := n < e.size
	if errors.Is(err, io.EOF) {
		err = nil
	}
	e.n, e.err, e.ready = n, err, true
	if err != nil {
		e.spoilt = f.life.Err() != nil
	} else if !short {
		f.c.link.fetched(n, took, f.c.tree.clock())
	}
	if (err != nil || n == 0) && e.kept {
		e.discard()
		f.shelf.restart()
	} else if short {
		e.size = n
	}
	e.drop()
	close(e.done)
	f.fetches.Done()
}

// wait waits for the extents of a loan. It gives the first that failed, or the
// error of ctx.
func (l *loan) wait(ctx context.Context) (failed *extent, err error) {
	if !l.waits {
		return nil, nil
	}
	for _, e := range l.extents {
		if err := remote.Await(ctx, e.done); err != nil {
			return nil, err
		}
		if e.err != nil {
			return e, nil
		}
	}
	return nil, nil
}

// cut makes the slices: n bytes at off, up to the first extent that is short.
func (l *loan) cut(off int64, n int) {
	end := off + int64(n)
	for _, e := range l.extents {
		from, to := off-e.off, min(end-e.off, int64(e.n))
		if from < 0 || from >= to {
			return
		}
		l.data = append(l.data, e.buf.b[from:to])
		off = e.off + to
	}
}
