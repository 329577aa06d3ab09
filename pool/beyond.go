package pool

import (
	"context"
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
// that cannot be had the end stays where the server has told it.
func (r *reading) beyond() {
	f := r.f
	if s, err := f.p.session(r.ctx, laneFile, r.w, nil); err == nil {
		_, _ = f.p.within(r.ctx, looks, s, func(ctx context.Context) error {
			least := f.least()
			h, a, err := f.p.openPlain(ctx, s, f.name(), sftp3.OpenRead)
			if err != nil {
				return err
			}
			defer h.close()
			if f.isSame(a, least) {
				r.readOn(ctx, h, a.Size)
			}
			return nil
		})
	}
	r.end(r.result())
}

// readOn reads what was told to be beyond the end.
func (r *reading) readOn(ctx context.Context, h *handle, size int64) {
	for _, pt := range r.parts {
		at := pt.off + int64(pt.got)
		if pt.err != io.EOF || at >= size {
			continue
		}
		n, err := h.s.client.ReadAt(ctx, h.id, pt.p[pt.got:], at)
		if n > 0 {
			pt.got, pt.err = pt.got+n, err
			r.f.p.learned(EndsAtOpening)
		}
	}
}
