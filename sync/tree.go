package sync

import (
	"context"
	"hash/maphash"

	"github.com/remotemount/remotemount/pool/remote"
)

// A tree is one side of a sync: the part of remote.Remote that is needed, with
// remote.Remote's contract for paths and errors, and what each side does its own way.
type tree interface {
	Lstat(ctx context.Context, path string) (remote.Attr, error)
	Stat(ctx context.Context, path string) (remote.Attr, error)
	List(ctx context.Context, path string, emit emitName) error
	ReadLink(ctx context.Context, path string) (string, error)
	Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error)
	Mkdir(ctx context.Context, path string, perm uint32) (remote.Attr, error)
	Symlink(ctx context.Context, target, path string) (remote.Attr, error)
	Remove(ctx context.Context, path string) error
	Rmdir(ctx context.Context, path string) error
	Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error
	SetAttr(ctx context.Context, path string, c remote.Change) (remote.Attr, error)

	// SetFolder is SetAttr of what still is a folder: somebody may have put a file
	// into its place, which must keep its own time.
	SetFolder(ctx context.Context, path string, c remote.Change) error

	// Stamp tells as exactly as this side can which version of a file is under
	// path now, following a link in the last element only if asked.
	Stamp(ctx context.Context, path string, follow bool) (stamp, error)

	// Replace renames tmp over a path that still is what the plan saw, or else
	// gives errTargetChanged and changes nothing.
	Replace(ctx context.Context, tmp, path string, want Item) error

	// Discard removes a file or link that still is what was read: see removeSource.
	Discard(ctx context.Context, path, aside string, proved proof) error
}

// An emitName is handed what a folder has, name by name; or why a name could not be
// looked at. An error of it ends the listing.
type emitName func(n Named, why error) error

// A stamp is one version of one file. Two equal stamps are the same version, as
// far as the side can tell: nanoseconds, inode and change time here, whole
// seconds there.
type stamp struct {
	size         int64
	mtime, ctime int64
	dev, ino     uint64
}

var stampSeed = maphash.MakeSeed()

// hash is a stamp in 64 bits, never 0.
func (s stamp) hash() uint64 { return maphash.Comparable(stampSeed, s) | 1 }

// remoteTree is the remote side.
type remoteTree struct{ remote.Remote }

// Lstat asks the server, as ReadLink does: a sync beside a mount sees its remote through
// a cache.
func (r remoteTree) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	return r.Remote.Lstat(remote.Fresh(ctx), path)
}

func (r remoteTree) ReadLink(ctx context.Context, path string) (string, error) {
	return r.Remote.ReadLink(remote.Fresh(ctx), path)
}

func (r remoteTree) Stamp(ctx context.Context, path string, follow bool) (stamp, error) {
	look := r.Remote.Lstat
	if follow {
		look = r.Remote.Stat
	}
	a, err := look(remote.Fresh(ctx), path)
	return stampOf(a), err
}

// List reads a remote folder.
func (r remoteTree) List(ctx context.Context, path string, emit emitName) error {
	refused, bad := map[string]bool{}, []string(nil) // once each: after a cut they come again
	ctx = remote.WithRefused(ctx, func(name string) {
		if !refused[name] {
			refused[name] = true
			bad = append(bad, name)
		}
	})
	batch := func(entries []remote.Entry) error {
		for _, name := range bad {
			if err := emit(Named{Name: name}, nil); err != nil {
				return err
			}
		}
		bad = nil
		for _, e := range entries {
			if err := emit(Named{e.Name, itemOf(e.Attr)}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := r.ReadDir(ctx, path, batch); err != nil {
		return err
	}
	return batch(nil)
}

// SetFolder looks before: SFTP changes the attributes of folders by path alone.
func (r remoteTree) SetFolder(ctx context.Context, path string, c remote.Change) error {
	a, err := r.Lstat(ctx, path)
	if err == nil && !a.IsDir() {
		err = remote.PathError("setattr", path, errTargetChanged)
	}
	if err == nil {
		_, err = r.SetAttr(ctx, path, c)
	}
	return err
}

// Replace looks before it renames: in the round trip between the two another
// version may come, which cannot be helped.
func (r remoteTree) Replace(ctx context.Context, tmp, path string, want Item) error {
	return r.Rename(ctx, tmp, path, false)
}

func stampOf(a remote.Attr) stamp { return stamp{size: a.Size, mtime: a.Mtime} }

// fileStamp is the version that an open file is.
func fileStamp(f remote.File, a remote.Attr) (stamp, error) {
	if l, ok := f.(*localFile); ok {
		return l.stamp()
	}
	return stampOf(a), nil
}
