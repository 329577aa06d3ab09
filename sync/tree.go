package sync

import (
	"context"

	"github.com/remotemount/remotemount/pool"
)

// A tree is one side of a sync: the part of pool.Remote that is needed, with
// pool.Remote's contract for paths and errors, and Stamp.
type tree interface {
	Lstat(ctx context.Context, path string) (pool.Attr, error)
	Stat(ctx context.Context, path string) (pool.Attr, error)
	ReadDir(ctx context.Context, path string, emit func([]pool.Entry) error) error
	ReadLink(ctx context.Context, path string) (string, error)
	Open(ctx context.Context, path string, flag pool.OpenFlag, perm uint32) (pool.File, pool.Attr, error)
	Mkdir(ctx context.Context, path string, perm uint32) (pool.Attr, error)
	Symlink(ctx context.Context, target, path string) (pool.Attr, error)
	Remove(ctx context.Context, path string) error
	Rmdir(ctx context.Context, path string) error
	Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error
	SetAttr(ctx context.Context, path string, c pool.Change) (pool.Attr, error)

	// Stamp tells as exactly as this side can which version of a file is under
	// path now, following a link in the last element only if asked.
	Stamp(ctx context.Context, path string, follow bool) (stamp, error)
}

// A stamp is one version of one file. Two equal stamps are the same version, as
// far as the side can tell: nanoseconds, inode and change time here, whole
// seconds there.
type stamp struct {
	size         int64
	mtime, ctime int64
	dev, ino     uint64
}

// remoteTree is the remote side.
type remoteTree struct{ pool.Remote }

func (r remoteTree) Stamp(ctx context.Context, path string, follow bool) (stamp, error) {
	look := r.Lstat
	if follow {
		look = r.Stat
	}
	a, err := look(ctx, path)
	return stampOf(a), err
}

func stampOf(a pool.Attr) stamp { return stamp{size: a.Size, mtime: a.Mtime} }

// fileStamp is the version that an open file is.
func fileStamp(f pool.File, a pool.Attr) (stamp, error) {
	if l, ok := f.(*localFile); ok {
		return l.stamp()
	}
	return stampOf(a), nil
}
