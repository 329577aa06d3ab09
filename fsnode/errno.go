package fsnode

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// named are errors that stand for an errno without being one.
var named = []struct {
	err   error
	errno syscall.Errno
}{
	// The context of a call ends only when its caller is being killed, or when
	// the connection to the kernel is gone.
	{context.Canceled, syscall.EINTR},
	{context.DeadlineExceeded, syscall.ETIMEDOUT},
	{fs.ErrNotExist, syscall.ENOENT},
	{fs.ErrExist, syscall.EEXIST},
	{fs.ErrPermission, syscall.EACCES},
	{fs.ErrInvalid, syscall.EINVAL},
	{fs.ErrClosed, syscall.EBADF},
}

// replaced are errnos that would tell the kernel something else than was meant.
var replaced = map[syscall.Errno]syscall.Errno{
	// A program would believe that it got a signal.
	syscall.EINTR: syscall.EIO,
	// The kernel would never send this kind of request again.
	syscall.ENOSYS: syscall.EOPNOTSUPP,
}

// refusal is an errno of our own for the kernel, which statusOf does not
// replace: ENOSYS, after which the kernel does without us.
type refusal syscall.Errno

func (r refusal) Error() string { return syscall.Errno(r).Error() }

// statusOf is what the kernel is told of an error: the errno in its chain, and
// EIO for an error that has none.
func statusOf(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	var own refusal
	if errors.As(err, &own) {
		return fuse.Status(own)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != 0 {
		if other, ok := replaced[errno]; ok {
			errno = other
		}
		return fuse.Status(errno)
	}
	for _, n := range named {
		if errors.Is(err, n.err) {
			return fuse.Status(n.errno)
		}
	}
	return fuse.EIO
}
