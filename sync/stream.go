package sync

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/remotemount/remotemount/pool/remote"
)

const (
	// smallFile is the greatest size moved with a single read.
	smallFile = 1 << 20
	// piece is what one read of a large file asks for.
	piece = 2 << 20
	// pieces of one file may be under way at once. Together they are the hole
	// that a run killed at the wrong moment can leave before the end of a partial
	// file: see resumeFrom.
	pieces = 8
	// sparseBlock is the unit in which zeros are not written to a local file.
	sparseBlock = 64 << 10
)

// buffers recycles memory of one piece.
type buffers struct{ free sync.Pool }

func (b *buffers) get(n int64) []byte {
	if n <= piece/4 {
		return make([]byte, n)
	}
	if p, ok := b.free.Get().(*[]byte); ok {
		return (*p)[:n]
	}
	return make([]byte, n, piece)
}

// put takes a buffer back, when all went well: a read that was given up may still
// write into it.
func (b *buffers) put(p []byte) {
	if cap(p) == piece {
		b.free.Put(&p)
	}
}

// A stream moves bytes from one open file to another.
type stream struct {
	buffers *buffers
	limit   *limiter
	moved   func(n int64) // tells of bytes that were written, or found to be the same; nil for nobody
	holes   bool          // some of the source was left out, being zero
	held    int64         // up to where the target may hold something of before: there zeros are written, too
	proves  bool          // holes are read, too
	data    func(f *localFile, off, end int64) (from, to int64)
}

// An end is one of the two files of a stream.
type end struct {
	remote.File
	side Side
}

// step is what is moved at a time: little where the rate is bounded, so that it is
// kept from the first byte on.
func (s *stream) step() int64 {
	if s.limit.rate <= 0 {
		return piece
	}
	return max(4<<10, min(piece, s.limit.rate/8))
}

// copy moves the bytes [from, to). A source that ends before is errChanged.
func (s *stream) copy(ctx context.Context, dst, src end, from, to int64) error {
	if l, ok := src.File.(*localFile); ok && to-from > smallFile {
		return s.copyData(ctx, dst, src, l, from, to)
	}
	return windowed(ctx, from, to, s.step(), pieces, func(ctx context.Context, off, n int64) error {
		return s.move(ctx, dst, src, off, n)
	})
}

// copyData writes in order, which lets the pool gather full packets and keep
// them under way by itself, and leaves out the holes of a sparse file.
func (s *stream) copyData(ctx context.Context, dst, src end, file *localFile, from, to int64) error {
	for from < to {
		start, end := s.data(file, from, to)
		if start > from && from < s.held {
			start, end = from, min(start, s.held)
		}
		if err := s.skip(ctx, dst, src, from, start); err != nil {
			return err
		}
		from = start
		for from < end {
			n := min(s.step(), end-from)
			if err := s.move(ctx, dst, src, from, n); err != nil {
				return err
			}
			from += n
		}
	}
	return nil
}

// skip leaves out a hole. Where the source is to be removed it is read all the same: there
// are filesystems that for a while call a hole what was just written (OpenZFS).
func (s *stream) skip(ctx context.Context, dst, src end, from, to int64) error {
	for s.proves && from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf := s.buffers.get(min(s.step(), to-from))
		if err := readFull(ctx, src, buf, from); err != nil {
			return err
		}
		n := int64(len(buf))
		if !zero(buf) {
			if err := s.limit.wait(ctx, n); err != nil {
				return err
			}
			if err := s.send(ctx, dst, buf, from); err != nil {
				return err
			}
		} else {
			s.holes = true
			s.moved(n)
			s.buffers.put(buf)
		}
		from += n
	}
	s.holes = s.holes || from < to
	s.moved(to - from)
	return nil
}

// move copies one piece.
func (s *stream) move(ctx context.Context, dst, src end, off, n int64) error {
	if err := s.limit.wait(ctx, n); err != nil {
		return err
	}
	buf := s.buffers.get(n)
	if err := readFull(ctx, src, buf, off); err != nil {
		return err
	}
	return s.send(ctx, dst, buf, off)
}

// send writes a piece, which it takes over.
func (s *stream) send(ctx context.Context, dst end, buf []byte, off int64) error {
	if err := write(ctx, dst.File, buf, off, s.held); err != nil {
		return onSide(dst.side, err)
	}
	s.buffers.put(buf)
	s.moved(int64(len(buf)))
	return nil
}

func zero(p []byte) bool { return bytes.Count(p, []byte{0}) == len(p) }

func readFull(ctx context.Context, f end, p []byte, off int64) error {
	n, err := f.ReadAt(ctx, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ESTALE) {
		err = errChanged // ESTALE: whether it still is the same file cannot be told
	}
	return onSide(f.side, err)
}

// ended makes sure that a file that is to be removed ends where its size says: there are
// filesystems that tell 0 of what they do not know.
func ended(ctx context.Context, f end, size int64) error {
	n, err := f.ReadAt(ctx, make([]byte, 1), size)
	switch {
	case n > 0:
		err = errLonger
	case errors.Is(err, io.EOF):
		err = nil
	case errors.Is(err, syscall.ESTALE):
		err = errChanged
	}
	return onSide(f.side, err)
}

// write leaves zeros out of a local file, where they become holes, from held on.
func write(ctx context.Context, f remote.File, p []byte, off, held int64) error {
	if _, local := f.(*localFile); !local || len(p) < sparseBlock || off < held {
		_, err := f.WriteAt(ctx, p, off)
		return err
	}
	for len(p) > 0 {
		n, hole := run(p)
		if !hole {
			if _, err := f.WriteAt(ctx, p[:n], off); err != nil {
				return err
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// run is the length of the blocks at the start of p that are all zero, or all
// not.
func run(p []byte) (n int, hole bool) {
	for n < len(p) {
		block := p[n:min(n+sparseBlock, len(p))]
		z := zero(block)
		if n > 0 && z != hole {
			break
		}
		hole = z
		n += len(block)
	}
	return n, hole
}

// same reports whether two open files hold the same bytes in [from, to).
func (s *stream) same(ctx context.Context, a, b end, from, to int64) (bool, error) {
	err := windowed(ctx, from, to, s.step(), pieces, func(ctx context.Context, off, n int64) error {
		if err := s.limit.wait(ctx, n); err != nil {
			return err
		}
		p, q := s.buffers.get(n), s.buffers.get(n)
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error { return readFull(gctx, a, p, off) })
		g.Go(func() error { return readFull(gctx, b, q, off) })
		if err := g.Wait(); err != nil {
			return err
		}
		same := bytes.Equal(p, q)
		s.buffers.put(p)
		s.buffers.put(q)
		if !same {
			return errDiffer
		}
		if s.moved != nil {
			s.moved(n)
		}
		return nil
	})
	if errors.Is(err, errDiffer) {
		return false, nil
	}
	return err == nil, err
}

// windowed calls f for every step of [from, to), width of them at once, and
// begins none before the one width steps earlier is done: what is unfinished is
// never more than width steps long.
func windowed(ctx context.Context, from, to, step int64, width int, f func(ctx context.Context, off, n int64) error) error {
	if to-from <= step {
		if to <= from {
			return ctx.Err()
		}
		return f(ctx, from, to-from)
	}
	g, gctx := errgroup.WithContext(ctx)
	slots := make([]chan struct{}, width)
	for i := 0; from < to; i++ {
		slot := &slots[i%width]
		if *slot != nil {
			select {
			case <-*slot:
			case <-gctx.Done():
				return errors.Join(g.Wait(), ctx.Err())
			}
		}
		done, off, n := make(chan struct{}), from, min(step, to-from)
		*slot, from = done, from+n
		g.Go(func() error {
			err := f(gctx, off, n)
			if err == nil {
				close(done)
			}
			return err
		})
	}
	return g.Wait()
}
