package fsnode

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A result is the answer to a READ. go-fuse sends Slices with one writev and
// calls Done after it; for results without Slices Done may come before the data
// has left.
type result struct {
	slices  [][]byte
	release func()
}

// Bytes implements fuse.ReadResult.
func (r *result) Bytes(buf []byte) ([]byte, fuse.Status) {
	buf = buf[:0]
	for _, s := range r.slices {
		buf = append(buf, s...)
	}
	return buf, fuse.OK
}

// Slices makes go-fuse send the data as it lies.
func (r *result) Slices() ([][]byte, fuse.Status) { return r.slices, fuse.OK }

// Size implements fuse.ReadResult.
func (r *result) Size() int {
	n := 0
	for _, s := range r.slices {
		n += len(s)
	}
	return n
}

// Done implements fuse.ReadResult.
func (r *result) Done() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

// Read implements fuse.RawFileSystem. go-fuse's buffer is not used: it goes back
// to its pool with the answer, but the File may still write into the one it was
// given when a killed caller made it return early.
func (f *filesystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	c := f.begin(opRead, cancel, &in.InHeader)
	h, err := f.handle(in.Fh)
	if err != nil {
		return nil, c.finish(err)
	}
	res, err := f.read(c, h, int64(in.Offset), int(in.Size))
	if err != nil {
		return nil, c.finish(err)
	}
	f.counters.read.Add(int64(res.Size()))
	return res, c.finish(nil)
}

// read gives n bytes, and fewer only at the end of the file: the kernel takes a
// short answer for the end and cuts the file there.
func (f *filesystem) read(ctx context.Context, h *handle, off int64, n int) (*result, error) {
	data, release, err := h.file.Borrow(ctx, off, n)
	if err != nil {
		return nil, err
	}
	return &result{data, release}, nil
}

// Write implements fuse.RawFileSystem.
func (f *filesystem) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	c := f.begin(opWrite, cancel, &in.InHeader)
	h, err := f.handle(in.Fh)
	if err != nil {
		return 0, c.finish(err)
	}
	n, err := f.write(c, h, in, data)
	f.counters.written.Add(int64(n))
	return uint32(n), c.finish(err)
}

// Writev is for requests that came in pieces, which go-fuse then puts together.
func (f *filesystem) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if len(data) == 1 {
		return f.Write(cancel, in, data[0])
	}
	return 0, fuse.ENOSYS
}

func (f *filesystem) write(ctx context.Context, h *handle, in *fuse.WriteIn, data []byte) (int, error) {
	off := int64(in.Offset)
	if in.Flags&syscall.O_APPEND != 0 && in.WriteFlags&fuse.WRITE_CACHE == 0 {
		// The kernel appends at the size it knows, which may be older than what
		// others have appended.
		end, err := h.file.End(ctx)
		if err != nil {
			return 0, err
		}
		if end != off {
			f.moved(h.node, off)
		}
		off = end
	}
	h.clocks()
	f.tree.change(h)
	defer f.tree.madeChange(h)
	n, err := h.file.WriteAt(ctx, data, off)
	if n > 0 {
		f.tree.wrote(h.node, int64(in.Offset)+int64(n)) // an append too: the kernel takes it for written there
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// moved has the kernel drop what it holds of a file from an offset on: it takes data
// for written there that went elsewhere. That cannot be done before the request is
// answered, which holds these pages.
func (f *filesystem) moved(n *node, off int64) {
	f.work.Go(func() { f.kernel.InodeNotify(n.id, off&^(pageSize-1), 0) })
}

const pageSize = 4096
