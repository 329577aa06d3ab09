package fsnode

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// copyMax is the most that one request copies. The answer has 32 bits for it,
// and the kernel holds the target's lock meanwhile.
const copyMax = 256 << 20

// CopyFileRange implements fuse.RawFileSystem. EOPNOTSUPP makes the kernel copy
// through its own buffers instead, and so does EXDEV, for this one call: within one
// file, or where a file that was replaced cannot be opened on the other's session.
func (f *filesystem) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	c := f.begin(opCopy, cancel, &in.InHeader)
	n, err := f.copy(c, in)
	return uint32(n), c.finish(err)
}

func (f *filesystem) copy(ctx context.Context, in *fuse.CopyFileRangeIn) (int64, error) {
	if f.noCopy.Load() {
		return 0, refusal(syscall.ENOSYS)
	}
	src, err := f.handle(in.FhIn)
	if err != nil {
		return 0, err
	}
	dst, err := f.handle(in.FhOut)
	if err != nil {
		return 0, err
	}
	dst.clocks()
	f.tree.change(dst)
	defer f.tree.madeChange(dst)
	size := int64(min(in.Len, copyMax))
	n, err := f.remote.Copy(ctx, dst.file, int64(in.OffOut), src.file, int64(in.OffIn), size)
	if n > 0 {
		f.tree.wrote(dst.node, int64(in.OffOut)+n)
		return n, nil
	}
	if errors.Is(err, syscall.EOPNOTSUPP) {
		f.noCopy.Store(true)
	}
	return 0, err
}

// Fallocate implements fuse.RawFileSystem. SFTP cannot reserve space. Making a
// file longer is what can be done; for the rest the C library has a fallback,
// which writes zeros.
func (f *filesystem) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	c := f.begin(opAllocate, cancel, &in.InHeader)
	h, err := f.handle(in.Fh)
	if err == nil {
		err = f.allocate(c, h, in)
	}
	return c.finish(err)
}

func (f *filesystem) allocate(ctx context.Context, h *handle, in *fuse.FallocateIn) error {
	if in.Mode != 0 {
		return syscall.EOPNOTSUPP
	}
	end := int64(in.Offset + in.Length)
	size, err := h.file.End(ctx) // the server's own: a size remembered would cut off what others wrote
	if err != nil || size >= end {
		return err
	}
	a, err := h.setAttr(ctx, remote.Change{Fields: remote.SetSize, Size: end})
	if err == nil {
		f.tree.set(h.node, a)
	}
	return err
}

// Ioctl implements fuse.RawFileSystem: there are none.
func (f *filesystem) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return fuse.Status(syscall.ENOTTY)
}

// Lseek implements fuse.RawFileSystem. Without us the kernel takes a file for
// data up to its end, which is what SFTP shows.
func (f *filesystem) Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status {
	return fuse.ENOSYS
}
