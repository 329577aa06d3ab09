package pool

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// ProFTPD's handles end where the file ended when they were opened: what it has grown by
// since is told to be beyond the end of the file.

// isCutShort reports whether a server of which no order is known has ended the file
// before where it is known to end.
func (r *reading) isCutShort() bool {
	f := r.f
	i := slices.IndexFunc(r.parts, func(pt *part) bool { return pt.err == io.EOF && pt.h != nil && !pt.h.s.ordered })
	if i < 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	end := r.parts[i].off + int64(r.parts[i].got)
	return end < max(f.seen.Size, f.out.least) && !f.gone && !f.closed && f.move == nil
}

// beyond reads what a handle does not know of through one that is opened for it. Where
// the server does not let it be opened, the end stays where it has told it; a lost
// connection tells nothing of the end.
func (r *reading) beyond() {
	f := r.f
	err := f.p.repeat(r.ctx, laneFile, looks, func(ctx context.Context, s *session, _ bool) error {
		least, path := f.least(), f.name()
		h, a, err := f.p.openPlain(ctx, s, path, sftp3.OpenRead)
		if err != nil {
			return err
		}
		defer h.close()
		if f.isSame(a, least) && !f.hasMoved(path) {
			return r.readOn(ctx, h, a.Size)
		}
		return nil
	})
	if status := (*sftp3.StatusError)(nil); err != nil && !errors.As(err, &status) {
		r.end(0, err)
		return
	}
	r.end(r.result())
}

// readOn reads what was told to be beyond the end. Data that comes after the end of ctx
// must not land in what was lent.
func (r *reading) readOn(ctx context.Context, h *handle, size int64) error {
	for _, pt := range r.parts {
		at := pt.off + int64(pt.got)
		if pt.err != io.EOF || at >= size {
			continue
		}
		more := make([]byte, len(pt.p)-pt.got)
		n, err := h.readFull(ctx, more, at)
		if n > 0 {
			pt.got += copy(pt.p[pt.got:], more[:n])
			r.learned()
		}
		if err != nil && (lostRequest(err) || ctx.Err() != nil) {
			return err
		}
		pt.err = err
	}
	return nil
}

// readFull fills p, packet after packet, but for an error. When ctx ends, p must not be
// used again.
func (h *handle) readFull(ctx context.Context, p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		got, told := 0, make(chan error, 1)
		h.s.client.StartRead(h.id, p[n:], off+int64(n), func(n int, err error) {
			got = n
			told <- err
		})
		select {
		case err = <-told:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		if n += got; got == 0 && err == nil {
			err = io.ErrNoProgress // a server that gives nothing would be asked for ever
		}
	}
	return n, err
}

// learned notes what it means that there was more, unless it may have been written after
// the end was told.
func (r *reading) learned() {
	o := r.f.object
	o.mu.Lock()
	written := r.least > 0
	o.mu.Unlock()
	if !written {
		o.p.learned(EndsAtOpening)
	}
}
