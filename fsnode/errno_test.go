package fsnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

func TestStatusOf(t *testing.T) {
	seam := func(err error) error { return remote.PathError("open", "p", err) }
	for _, tc := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{seam(syscall.ENOENT), syscall.ENOENT},
		{seam(syscall.ETIMEDOUT), syscall.ETIMEDOUT},
		{seam(syscall.ESTALE), syscall.ESTALE},
		{seam(syscall.EACCES), syscall.EACCES},
		{seam(syscall.ENODEV), syscall.ENODEV},
		{seam(syscall.EXDEV), syscall.EXDEV},
		{seam(syscall.EOPNOTSUPP), syscall.EOPNOTSUPP},
		{fmt.Errorf("wrapped: %w", seam(syscall.ENOSPC)), syscall.ENOSPC},
		{errors.Join(seam(syscall.EPERM), seam(syscall.EIO)), syscall.EPERM},
		{seam(context.Canceled), syscall.EINTR},
		{seam(context.DeadlineExceeded), syscall.ETIMEDOUT},
		{fs.ErrNotExist, syscall.ENOENT},
		{seam(syscall.EINTR), syscall.EIO},
		{seam(syscall.ENOSYS), syscall.EOPNOTSUPP},
		{refusal(syscall.ENOSYS), syscall.ENOSYS},
		{seam(syscall.Errno(0)), syscall.EIO},
		{io.ErrUnexpectedEOF, syscall.EIO},
	} {
		if got := statusOf(tc.err); got != fuse.Status(tc.want) {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}
