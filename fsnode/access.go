package fsnode

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// Access implements fuse.RawFileSystem: access(2) and chdir(2), unless
// DefaultPermissions leaves them to the kernel.
//
// It is the remote user who reads and writes, so the answer is about that user:
// the owner's bits for the owner, and for others what group or others may, for
// the server does not say which groups the user is in. An editor then knows a
// file it cannot write, and a shell what it can run. The server has the last
// word.
func (f *filesystem) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	c := f.begin(opAccess, cancel, &in.InHeader)
	n, err := f.node(in.NodeId)
	if err != nil {
		return c.finish(err)
	}
	a, err := f.attr(c, n)
	if _, most := remote.Rights(a, f.remote.Info()); err == nil && in.Mask&^most != 0 {
		err = syscall.EACCES
	}
	return c.finish(err)
}
