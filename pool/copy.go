package pool

import (
	"context"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// copyPiece is how much one copy-data request copies: long enough that the
// round trip does not count, short enough that a cut costs little.
const copyPiece = 64 << 20

// Copy implements Remote.
func (p *Pool) Copy(ctx context.Context, dst remote.File, dstOff int64, src remote.File, srcOff int64, n int64) (int64, error) {
	d, dok := dst.(*file)
	s, sok := src.(*file)
	if !dok || !sok || d.object == s.object {
		return 0, remote.PathError("copy", "", syscall.EXDEV) // copy-data refuses a file as its own target
	}
	for _, f := range []*file{d, s} {
		f.gate.RLock()
		defer f.gate.RUnlock()
	}
	done, err := p.copyFiles(ctx, d, dstOff, s, srcOff, n)
	return done, pathError("copy", d.name(), err)
}

func (p *Pool) copyFiles(ctx context.Context, d *file, dstOff int64, s *file, srcOff int64, n int64) (int64, error) {
	if err := s.lookBound(ctx, s.drain); err != nil {
		return 0, err
	}
	a, err := s.stat(ctx)
	if err != nil {
		return 0, err
	}
	n = max(min(n, a.Size-srcOff), 0)
	done := int64(0)
	for done < n {
		size := min(n-done, copyPiece)
		copied, err := p.copyPiece(ctx, d, dstOff+done, s, srcOff+done, size)
		if err != nil && done == 0 {
			return 0, err
		}
		done += copied
		if err != nil || copied < size {
			break
		}
	}
	return done, nil
}

// copyPiece tells how much was copied: copy-data is answered in the same way where the
// source has become too short for it, which its size behind it tells.
func (p *Pool) copyPiece(ctx context.Context, d *file, dstOff int64, s *file, srcOff, n int64) (copied int64, err error) {
	var b *barrier
	err = d.lookBound(ctx, func(ctx context.Context) (err error) {
		b, err = d.barrier(ctx, dstOff, dstOff+n)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer b.release()
	d.copying(dstOff + n)
	defer s.asks()()
	tries := 0
	err = d.ask(ctx, p.look(), func(to *handle) error {
		if tries++; tries > 1 {
			b.doubt()
		}
		if _, ok := to.s.client.Extension("copy-data"); !ok {
			return syscall.EOPNOTSUPP
		}
		from, err := s.on(ctx, to.s)
		if err != nil {
			return err
		}
		if from.path == to.path {
			return syscall.EXDEV // OpenSSH takes them for one file, which was renamed since
		}
		a, err := copyData(ctx, from, srcOff, n, to, dstOff)
		copied = max(min(n, a.Size-srcOff), 0)
		return err
	})
	if lostRequest(err) || err != nil && ctx.Err() != nil {
		b.doubt()
	}
	if err != nil {
		return 0, why{p, ctx}.change(err, d.name(), n)
	}
	if copied > 0 {
		d.copied(dstOff + copied)
	}
	return copied, nil
}

// copyData copies between two handles on one session, and tells what the source is then.
func copyData(ctx context.Context, from *handle, srcOff, n int64, to *handle, dstOff int64) (remote.Attr, error) {
	c := to.s.client
	request := c.StartCopyData(from.reads, uint64(srcOff), uint64(n), to.id, uint64(dstOff))
	if !to.s.ordered {
		if err := request.WaitStatus(ctx); err != nil {
			return remote.Attr{}, err
		}
		a, err := from.fstat(ctx)
		return a, behindDone(err)
	}
	look := c.StartFstat(from.id)
	if err := request.WaitStatus(ctx); err != nil {
		look.Forget()
		return remote.Attr{}, err
	}
	w, err := look.WaitAttrs(ctx)
	return to.s.attr(w), behindDone(err)
}

// on gives a handle of the file on a given session: copy-data needs both there.
func (f *file) on(ctx context.Context, s *session) (*handle, error) {
	f.mu.Lock()
	for _, h := range f.live() {
		if h.s == s {
			f.mu.Unlock()
			return h, nil
		}
	}
	path, gone := f.path, f.gone
	f.mu.Unlock()
	if gone {
		return nil, syscall.EXDEV // whoever copies can do it otherwise
	}
	least := f.least()
	h, a, err := f.p.openPlain(ctx, s, path, pflags(f.flag&^remote.FlagTruncate))
	if err != nil {
		return nil, err
	}
	same := f.isSame(a, least) && !f.hasMoved(path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !same || f.closed {
		h.close()
		return nil, syscall.EXDEV
	}
	f.handles, f.left = append(f.handles, h), nil
	return h, nil
}

// copying notes that the file may reach to end, which an answer may not tell.
func (f *file) copying(end int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrote, f.written, f.filled, f.made = true, true, true, false
	f.out.changes()
	f.out.leaves()
	f.out.seq++
	f.out.most = max(f.out.most, end)
}

// copied notes that the file reaches at least to end by now.
func (f *file) copied(end int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.end, f.out.least = max(f.out.end, end), max(f.out.least, end)
	f.out.stirred = time.Now()
}
