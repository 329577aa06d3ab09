package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// localTree is the local side. Every path is resolved by os.Root, so nothing
// that a link leads to outside is ever touched; the last element is then used
// below the folder's descriptor and, unless follow is set, never followed.
type localTree struct {
	root   *os.Root
	follow bool   // links that stay inside lead on, when reading
	device uint64 // of the root, when others are to be told apart; else 0

	renameat2 func(from int, oldName string, to int, newName string, flags uint) error // the system's
}

var _ tree = (*localTree)(nil)

// at calls f with the open folder of p and the name in it.
func (l *localTree) at(op, p string, f func(dir int, name string) error) error {
	dir, name := remote.Split(p)
	d, err := l.root.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = retry(func() error { return f(int(d.Fd()), name) })
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return remote.PathError(op, p, err)
	}
	return nil
}

// retry repeats a system call that a signal interrupted, as it may be on a
// network filesystem.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (l *localTree) Lstat(_ context.Context, path string) (remote.Attr, error) {
	st, err := l.lstat(path)
	return attrOf(&st), err
}

func (l *localTree) lstat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := l.at("lstat", path, func(dir int, name string) error {
		return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}

func (l *localTree) Stat(_ context.Context, path string) (remote.Attr, error) {
	st, err := l.stat(path)
	return attrOf(&st), err
}

func (l *localTree) stat(path string) (unix.Stat_t, error) {
	fi, err := l.root.Stat(path)
	if err != nil {
		return unix.Stat_t{}, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return unix.Stat_t{}, remote.PathError("stat", path, unix.EIO)
	}
	return unix.Stat_t{
		Mode: st.Mode, Uid: st.Uid, Gid: st.Gid, Size: st.Size, Dev: st.Dev, Ino: st.Ino,
		Atim: unix.Timespec(st.Atim), Mtim: unix.Timespec(st.Mtim), Ctim: unix.Timespec(st.Ctim),
	}, nil
}

func (l *localTree) Stamp(_ context.Context, path string, follow bool) (stamp, error) {
	look := l.lstat
	if follow {
		look = l.stat
	}
	st, err := look(path)
	return exactStamp(&st), err
}

// List reads a local folder.
func (l *localTree) List(_ context.Context, path string, emit emitName) error {
	d, err := l.openDir(path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing was written
	for {
		names, err := d.Readdirnames(1024)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			item, err := l.look(int(d.Fd()), name)
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			if err != nil {
				err = remote.PathError("lstat", remote.Join(path, name), err)
			}
			if err := emit(Named{name, item}, err); err != nil {
				return err
			}
		}
	}
}

func (l *localTree) openDir(path string) (*os.File, error) {
	if l.follow {
		return l.root.Open(path)
	}
	var fd int
	err := l.at("open", path, func(dir int, name string) (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// look describes a name in an open folder.
func (l *localTree) look(dir int, name string) (Item, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	item := exactItem(&st)
	item.elsewhere = l.device != 0 && st.Dev != l.device
	return item, err
}

func (l *localTree) ReadLink(_ context.Context, path string) (string, error) {
	return l.root.Readlink(path)
}

func (l *localTree) Mkdir(_ context.Context, path string, perm uint32) (remote.Attr, error) {
	var st unix.Stat_t
	err := l.at("mkdir", path, func(dir int, name string) error {
		if err := unix.Mkdirat(dir, name, perm); err != nil {
			return err
		}
		// The mode again, without the umask, and below a descriptor: the name may
		// be another's by now. What the folder above has passed on stays.
		return withFD(dir, name, unix.O_DIRECTORY, func(fd int) error {
			if err := unix.Fstat(fd, &st); err != nil {
				return err
			}
			if err := unix.Fchmod(fd, st.Mode&setIDBits|perm); err != nil {
				return err
			}
			return unix.Fstat(fd, &st)
		})
	})
	return attrOf(&st), err
}

func withFD(dir int, name string, flag int, f func(fd int) error) error {
	fd, err := unix.Openat(dir, name, flag|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	return f(fd)
}

func (l *localTree) Symlink(ctx context.Context, target, path string) (remote.Attr, error) {
	err := l.at("symlink", path, func(dir int, name string) error {
		return unix.Symlinkat(target, dir, name)
	})
	if err != nil {
		return remote.Attr{}, err
	}
	return l.Lstat(ctx, path)
}

func (l *localTree) Remove(_ context.Context, path string) error {
	return l.at("remove", path, func(dir int, name string) error {
		return unix.Unlinkat(dir, name, 0)
	})
}

func (l *localTree) Rmdir(_ context.Context, path string) error {
	return l.at("rmdir", path, func(dir int, name string) error {
		return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	})
}

func (l *localTree) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	return l.at("rename", oldPath, func(from int, oldName string) error {
		err := l.at("rename", newPath, func(to int, newName string) error {
			if noReplace {
				return l.renameNoReplace(from, oldName, to, newName, !remote.IsInOneStep(ctx))
			}
			return unix.Renameat(from, oldName, to, newName)
		})
		return errnoOf(err)
	})
}

// renameNoReplace uses a link where the filesystem cannot rename without replacing (NFS),
// and a look before where there are no links either (FAT) or it must be one step.
func (l *localTree) renameNoReplace(from int, oldName string, to int, newName string, inSteps bool) error {
	err := l.renameat2(from, oldName, to, newName, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if inSteps {
		if err = unix.Linkat(from, oldName, to, newName, 0); err == nil {
			return unix.Unlinkat(from, oldName, 0)
		}
		if errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	var st unix.Stat_t
	if unix.Fstatat(to, newName, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return unix.EEXIST
	}
	return unix.Renameat(from, oldName, to, newName)
}

func (l *localTree) SetAttr(ctx context.Context, path string, c remote.Change) (remote.Attr, error) {
	err := l.at("setattr", path, func(dir int, name string) error {
		return change(dir, name, c)
	})
	if err != nil {
		return remote.Attr{}, err
	}
	return l.Lstat(ctx, path)
}

// SetFolder goes by a descriptor, which works for folders one may not read, too.
func (l *localTree) SetFolder(_ context.Context, path string, c remote.Change) error {
	return l.at("setattr", path, func(dir int, name string) error {
		return withFD(dir, name, unix.O_PATH|unix.O_DIRECTORY, func(fd int) error {
			at := fmt.Sprintf("/proc/self/fd/%d", fd)
			if c.Fields&(remote.SetUID|remote.SetGID) != 0 {
				uid, gid := owners(c)
				if err := unix.Chown(at, uid, gid); err != nil {
					return err
				}
			}
			if c.Fields&remote.SetMode != 0 {
				if err := unix.Chmod(at, c.Mode); err != nil {
					return err
				}
			}
			if c.Fields&(remote.SetAtime|remote.SetMtime) != 0 {
				return unix.UtimesNanoAt(unix.AT_FDCWD, at, times(c), 0)
			}
			return nil
		})
	})
}

// change sets owner before mode, because a change of owner clears set-id bits,
// and times last.
func change(dir int, name string, c remote.Change) error {
	if c.Fields&(remote.SetUID|remote.SetGID) != 0 {
		uid, gid := owners(c)
		if err := unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if c.Fields&remote.SetMode != 0 {
		if err := chmodNoFollow(dir, name, c.Mode); err != nil {
			return err
		}
	}
	if c.Fields&(remote.SetAtime|remote.SetMtime) != 0 {
		return unix.UtimesNanoAt(dir, name, times(c), unix.AT_SYMLINK_NOFOLLOW)
	}
	return nil
}

// chmodNoFollow works on files one may not read, too.
func chmodNoFollow(dir int, name string, mode uint32) error {
	return withFD(dir, name, unix.O_PATH, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return unix.EOPNOTSUPP
		}
		return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
	})
}

func owners(c remote.Change) (uid, gid int) {
	uid, gid = -1, -1
	if c.Fields&remote.SetUID != 0 {
		uid = int(c.UID)
	}
	if c.Fields&remote.SetGID != 0 {
		gid = int(c.GID)
	}
	return uid, gid
}

func times(c remote.Change) []unix.Timespec {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if c.Fields&remote.SetAtime != 0 {
		ts[0] = unix.Timespec{Sec: c.Atime}
	}
	if c.Fields&remote.SetMtime != 0 {
		ts[1] = unix.Timespec{Sec: c.Mtime}
	}
	return ts
}

func attrOf(st *unix.Stat_t) remote.Attr {
	return remote.Attr{
		Mode: st.Mode, UID: st.Uid, GID: st.Gid, Nlink: uint32(st.Nlink),
		Size: st.Size, Atime: st.Atim.Sec, Mtime: st.Mtim.Sec,
	}
}

func exactStamp(st *unix.Stat_t) stamp {
	return stamp{
		size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
		dev: st.Dev, ino: st.Ino,
	}
}

// exactItem is itemOf with the version to the nanosecond.
func exactItem(st *unix.Stat_t) Item {
	i := itemOf(attrOf(st))
	i.version = exactStamp(st).hash()
	return i
}

// errnoOf is the errno of an error that already names a path.
func errnoOf(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}
