package pool

import (
	"context"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// Servers on the request server of pkg/sftp, as SFTPGo, do FSTAT and FSETSTAT by the
// path that a file was opened by. After a rename there is nothing at that, or another
// file. So where that may be they are asked for by the path where it is now.

// moved is the path to use in place of a handle, on a server of which no order is known:
// that of a file that was renamed since it was opened. It is "" for any other.
func (f *file) moved(h *handle) string {
	if h.s.ordered {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || f.move != nil || f.path == h.path {
		return ""
	}
	return f.path
}

// fstat asks what the file is, on a session where it is open.
func (f *file) fstat(ctx context.Context, h *handle) (remote.Attr, error) {
	path := f.moved(h)
	if path == "" {
		return h.fstat(ctx)
	}
	w, err := h.s.client.StartStat(f.p.abs(path)).WaitAttrs(ctx)
	return h.s.attr(w), err
}

// fsetstat sets attributes of the file, on a session where it is open.
func (f *file) fsetstat(ctx context.Context, h *handle, a sftp3.Attrs) error {
	path := f.moved(h)
	if path == "" {
		return h.s.client.StartFsetstat(h.id, a).WaitStatus(ctx)
	}
	return h.s.client.StartSetstat(f.p.abs(path), a).WaitStatus(ctx)
}
