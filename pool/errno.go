package pool

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// Status codes that servers of later protocol versions send also in version 3
// (draft-ietf-secsh-filexfer-13, section 9.1).
var laterCodes = map[uint32]syscall.Errno{
	10: syscall.ENOENT,    // NO_SUCH_PATH
	11: syscall.EEXIST,    // FILE_ALREADY_EXISTS
	12: syscall.EROFS,     // WRITE_PROTECT
	14: syscall.ENOSPC,    // NO_SPACE_ON_FILESYSTEM
	15: syscall.EDQUOT,    // QUOTA_EXCEEDED
	18: syscall.ENOTEMPTY, // DIR_NOT_EMPTY
	19: syscall.ENOTDIR,   // NOT_A_DIRECTORY
	20: syscall.EINVAL,    // INVALID_FILENAME
	21: syscall.ELOOP,     // LINK_LOOP
	24: syscall.EISDIR,    // FILE_IS_A_DIRECTORY
}

// errnoOf is the errno of an error of sftp3, as far as the status code tells
// it: a failure is EIO until someone finds out more. Other errors stay.
func errnoOf(err error) error {
	var status *sftp3.StatusError
	if errors.Is(err, io.ErrNoProgress) {
		return &violation{"a listing goes on without names"}
	}
	if !errors.As(err, &status) {
		return err
	}
	switch status.Code {
	case sftp3.StatusNoSuchFile:
		return syscall.ENOENT
	case sftp3.StatusPermissionDenied:
		return syscall.EACCES
	case sftp3.StatusOpUnsupported:
		return syscall.EOPNOTSUPP
	case sftp3.StatusBadMessage:
		return syscall.EINVAL
	}
	if errno, ok := laterCodes[status.Code]; ok {
		return errno
	}
	return syscall.EIO
}

// errnoIn is the errno of an error that has crossed the seam once already.
func errnoIn(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// isFailure reports whether the server said only that it failed, in any of the
// ways in which OpenSSH folds errnos into status codes: FAILURE for most,
// NO_SUCH_FILE also for ENOTDIR, BAD_MESSAGE for EINVAL and ENAMETOOLONG.
func isFailure(err error) bool {
	var status *sftp3.StatusError
	return errors.As(err, &status) && status.Code == sftp3.StatusFailure
}

// A why finds the errno behind a failure by looking at what is there.
type why struct {
	p   *Pool
	ctx context.Context
}

// lstat is a look that never explains its own failure.
func (y why) lstat(path string) (remote.Attr, error) {
	return y.p.lstat(y.ctx, path)
}

// name is ENAMETOOLONG when one of the paths is too long.
func (y why) name(paths ...string) error {
	if slices.ContainsFunc(paths, isTooLong) {
		return syscall.ENAMETOOLONG
	}
	return nil
}

// disk is ENOSPC or EROFS when the filesystem of path says so. need is what the
// failed call wanted to store.
func (y why) disk(path string, need int64) error {
	st, err := y.p.StatFS(y.ctx, path)
	switch {
	case err != nil:
		return nil
	case st.Flag&1 != 0: // ST_RDONLY
		return syscall.EROFS
	case st.Blocks > 0 && st.Bavail <= uint64(max(need, 1)-1)/max(st.Frsize, 1):
		return syscall.ENOSPC
	case st.Files > 0 && st.Ffree == 0 && need == 0:
		return syscall.ENOSPC
	}
	return nil
}

// place is what is wrong with the place of a path on a server that says only that it
// failed: a name that is too long, or a way that leads through a file or in a circle.
func (y why) place(paths ...string) error {
	if err := y.name(paths...); err != nil {
		return err
	}
	for _, path := range paths {
		if y.tooLong(path) {
			return syscall.ENAMETOOLONG
		}
		if err := y.parent(path); err != nil {
			return err
		}
		if y.circle(path) {
			return syscall.ELOOP
		}
	}
	return nil
}

// circle reports whether path is a link that cannot be followed, and not for want of
// what it leads to.
func (y why) circle(path string) bool {
	if _, err := y.p.stat(y.ctx, path); !isErrno(err, syscall.EIO) {
		return false
	}
	a, err := y.lstat(path)
	return err == nil && a.IsSymlink()
}

// parent is ENOTDIR when a folder on the way to path is not one.
func (y why) parent(path string) error {
	for dir, _ := remote.Split(path); dir != "."; dir, _ = remote.Split(dir) {
		a, err := y.p.stat(y.ctx, dir)
		if isErrno(err, syscall.EIO) && y.circle(dir) {
			return syscall.ELOOP
		}
		if err == nil {
			if !a.IsDir() {
				return syscall.ENOTDIR
			}
			return nil
		}
	}
	return nil
}

// first is the first errno found, else the one the status code gives.
func first(err error, finders ...func() error) error {
	for _, find := range finders {
		if found := find(); found != nil {
			return found
		}
	}
	return errnoOf(err)
}

// make explains why a name could not be made.
func (y why) make(err error, path string) error {
	base := errnoOf(err)
	if base != syscall.EIO && base != syscall.EINVAL && base != syscall.ENOENT {
		return base
	}
	return first(err,
		func() error { return y.name(path) },
		func() error {
			if base != syscall.ENOENT && y.tooLong(path) {
				return syscall.ENAMETOOLONG
			}
			return nil
		},
		func() error {
			if base == syscall.ENOENT {
				return y.parent(path)
			}
			if err := y.parent(path); err != nil && base == syscall.EIO {
				return err
			}
			if _, err := y.lstat(path); err == nil {
				return syscall.EEXIST
			}
			return nil
		},
		func() error {
			if base != syscall.EIO {
				return nil
			}
			dir, _ := remote.Split(path)
			return y.disk(dir, 0)
		})
}

// remove explains why a name could not be removed.
func (y why) remove(err error, path string, dir bool) error {
	base := errnoOf(err)
	if base == syscall.ENOENT {
		return y.removeMissing(path, dir)
	}
	if !isFailure(err) && base != syscall.EACCES {
		return base
	}
	a, lerr := y.lstat(path)
	switch {
	case lerr != nil && base == syscall.EIO:
		return first(err, func() error { return y.place(path) })
	case lerr != nil:
		return base
	case !dir && a.IsDir():
		return syscall.EISDIR
	case dir && !a.IsDir():
		return syscall.ENOTDIR
	case base == syscall.EACCES:
		return base
	case dir && !y.isEmpty(path):
		return syscall.ENOTEMPTY
	}
	return first(err, func() error { return y.disk(path, -1) })
}

// removeMissing tells ENOTDIR from ENOENT: OpenSSH has one code for both.
func (y why) removeMissing(path string, dir bool) error {
	if a, err := y.lstat(path); err == nil && dir && !a.IsDir() {
		return syscall.ENOTDIR
	}
	return syscall.ENOENT
}

var errStop = errors.New("stop")

func (y why) isEmpty(path string) bool {
	err := y.p.ReadDir(y.ctx, path, func(batch []remote.Entry) error {
		if len(batch) > 0 {
			return errStop
		}
		return nil
	})
	return !errors.Is(err, errStop)
}

// move explains why a rename or a link failed.
func (y why) move(err error, from, to string) error {
	base := errnoOf(err)
	if base != syscall.EIO && base != syscall.ENOENT && base != syscall.EINVAL {
		return base
	}
	src, serr := y.lstat(from)
	if serr != nil {
		return first(err, func() error {
			if base == syscall.EIO {
				return y.place(from, to)
			}
			return y.name(from, to)
		})
	}
	if y.tooLong(to) {
		return syscall.ENAMETOOLONG
	}
	dst, derr := y.lstat(to)
	switch {
	case src.IsDir() && strings.HasPrefix(to, from+"/"):
		return syscall.EINVAL
	case derr == nil && src.IsDir() && !dst.IsDir():
		return syscall.ENOTDIR
	case derr == nil && !src.IsDir() && dst.IsDir():
		return syscall.EISDIR
	case derr == nil && dst.IsDir() && !y.isEmpty(to):
		return syscall.ENOTEMPTY
	}
	return first(err,
		func() error { return y.name(from, to) },
		func() error { return y.otherFilesystem(from, to) },
		func() error {
			dir, _ := remote.Split(to)
			return y.disk(dir, 0)
		},
		func() error {
			if base == syscall.EINVAL {
				return nil
			}
			return y.otherMount(from, to)
		})
}

// otherMount is EXDEV for what failed for no other reason that can be found: two
// mounts of one filesystem, such as bind mounts, have one number, but nothing moves
// between them. Within one folder that cannot be.
func (y why) otherMount(from, to string) error {
	fromDir, _ := remote.Split(from)
	toDir, _ := remote.Split(to)
	if fromDir == toDir {
		return nil
	}
	for _, dir := range []string{fromDir, toDir} {
		a, err := y.p.Stat(y.ctx, dir)
		if err != nil || !a.IsDir() {
			return nil
		}
		if y.denied(a) {
			return syscall.EACCES
		}
	}
	return syscall.EXDEV
}

// denied reports whether the mode of a folder says that the remote user may not
// change names in it. Which groups the user is in is not known.
func (y why) denied(a remote.Attr) bool {
	y.p.mu.Lock()
	owned, uid := y.p.owned, y.p.info.UID
	y.p.mu.Unlock()
	switch {
	case !owned || uid == 0:
		return false
	case uid == a.UID:
		return a.Mode&0o200 == 0
	}
	return a.Mode&0o022 == 0
}

func (y why) otherFilesystem(from, to string) error {
	dir, _ := remote.Split(to)
	a, aerr := y.p.StatFS(y.ctx, from)
	b, berr := y.p.StatFS(y.ctx, dir)
	if aerr == nil && berr == nil && a.Fsid != b.Fsid {
		return syscall.EXDEV
	}
	return nil
}

// attr explains why a change was refused. To be let look at a file and not change it
// means not to own it: touch too has to own it, as SFTP has no "now" to set, and
// writing bytes again for the sake of a time could lose some.
func (y why) attr(err error, path string, c remote.Change, size int64) error {
	err = y.change(err, path, size)
	if !declines(err) || c.Fields&remote.SetSize != 0 {
		return err
	}
	a, lerr := y.lstat(path)
	if lerr != nil {
		return err
	}
	y.p.mu.Lock()
	ours := y.p.owned && a.UID == y.p.info.UID
	y.p.mu.Unlock()
	switch {
	case a.IsSymlink(): // which says nothing of files
	case c.Fields&(remote.SetUID|remote.SetGID) != 0: // to give a file away is refused nearly everywhere
	case ours && c.Fields&remote.SetMode != 0:
		y.p.learned(NoModes)
	case ours:
		y.p.learned(NoTimes)
	}
	if isErrno(err, syscall.EACCES) {
		return syscall.EPERM
	}
	return err
}

// change explains why attributes could not be set, or a file not be written.
func (y why) change(err error, path string, size int64) error {
	if !isFailure(err) {
		return errnoOf(err)
	}
	return first(err,
		func() error {
			a, err := y.lstat(path)
			switch {
			case err == nil && a.IsDir() && size >= 0:
				return syscall.EISDIR
			case isErrno(err, syscall.EIO):
				return y.place(path)
			}
			return nil
		},
		func() error { return y.disk(path, size) })
}
