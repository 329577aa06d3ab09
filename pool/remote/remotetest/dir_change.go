package remotetest

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// result describes what a change has made.
func (d *Dir) result(op, path string, err error) (remote.Attr, error) {
	if err != nil {
		return remote.Attr{}, failure(op, path, err)
	}
	attr, _, err := d.lstat(path)
	return attr, failure(op, path, err)
}

// Mkdir implements remote.Remote.
func (d *Dir) Mkdir(ctx context.Context, path string, perm uint32) (remote.Attr, error) {
	if err := d.begin(ctx, "mkdir", path); err != nil {
		return remote.Attr{}, err
	}
	at := d.local(path)
	err := unix.Mkdir(at, perm&0o7777)
	if err == nil {
		err = restoreBits(perm, func(st *unix.Stat_t) error {
			return unix.Lstat(at, st)
		}, func(mode uint32) error {
			return unix.Chmod(at, mode)
		})
	}
	return d.result("mkdir", path, err)
}

// restoreBits sets the bits of perm that the umask took. Bits beyond perm stay:
// a new folder in a set-group-ID folder has that bit too.
func restoreBits(perm uint32, stat func(*unix.Stat_t) error, chmod func(uint32) error) error {
	var st unix.Stat_t
	if err := stat(&st); err != nil {
		return err
	}
	perm &= 0o7777
	if st.Mode&perm == perm {
		return nil
	}
	return chmod(st.Mode&0o7777 | perm)
}

// Symlink implements remote.Remote.
func (d *Dir) Symlink(ctx context.Context, target, path string) (remote.Attr, error) {
	if err := d.begin(ctx, "symlink", path); err != nil {
		return remote.Attr{}, err
	}
	return d.result("symlink", path, unix.Symlink(target, d.local(path)))
}

// Link implements remote.Remote.
func (d *Dir) Link(ctx context.Context, oldPath, newPath string) (remote.Attr, error) {
	if err := d.begin(ctx, "link", newPath); err != nil {
		return remote.Attr{}, err
	}
	return d.result("link", newPath, unix.Link(d.local(oldPath), d.local(newPath)))
}

// Remove implements remote.Remote.
func (d *Dir) Remove(ctx context.Context, path string) error {
	if err := d.begin(ctx, "remove", path); err != nil {
		return err
	}
	return failure("remove", path, unix.Unlink(d.local(path)))
}

// Rmdir implements remote.Remote. The mounted folder itself stays.
func (d *Dir) Rmdir(ctx context.Context, path string) error {
	if err := d.begin(ctx, "rmdir", path); err != nil {
		return err
	}
	if path == "." {
		return failure("rmdir", path, syscall.EBUSY)
	}
	return failure("rmdir", path, unix.Rmdir(d.local(path)))
}

// Rename implements remote.Remote.
func (d *Dir) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	if err := d.begin(ctx, "rename", oldPath); err != nil {
		return err
	}
	if oldPath == "." || newPath == "." {
		return failure("rename", oldPath, syscall.EBUSY)
	}
	var flags uint
	if noReplace {
		flags = unix.RENAME_NOREPLACE
	}
	err := unix.Renameat2(unix.AT_FDCWD, d.local(oldPath), unix.AT_FDCWD, d.local(newPath), flags)
	switch err {
	case syscall.EEXIST, syscall.ENOTEMPTY, syscall.EISDIR:
		return failure("rename", newPath, err)
	}
	return failure("rename", oldPath, err)
}

// Replace implements remote.Remote. It counts as a Rename, whose Before runs when the
// target has its further name.
func (d *Dir) Replace(ctx context.Context, oldPath, newPath, keep string) (kept bool, err error) {
	kept = oldPath != newPath && unix.Link(d.local(newPath), d.local(keep)) == nil
	return kept, d.Rename(ctx, oldPath, newPath, false)
}

// SetAttr implements remote.Remote.
func (d *Dir) SetAttr(ctx context.Context, path string, c remote.Change) (remote.Attr, error) {
	if err := d.begin(ctx, "setattr", path); err != nil {
		return remote.Attr{}, err
	}
	attr, key, err := d.lstat(path)
	if err != nil {
		return remote.Attr{}, failure("setattr", path, err)
	}
	at := d.local(path)
	err = d.apply(ctx, d.open(key), c, target{
		truncate: func(size int64) error {
			if attr.IsSymlink() {
				return syscall.EINVAL
			}
			return unix.Truncate(at, size)
		},
		chown: func(uid, gid int) error { return unix.Lchown(at, uid, gid) },
		chmod: func(mode uint32) error {
			if attr.IsSymlink() {
				return syscall.EOPNOTSUPP
			}
			return unix.Chmod(at, mode)
		},
		utimens: func(times []unix.Timespec) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, at, times, unix.AT_SYMLINK_NOFOLLOW)
		},
	})
	return d.result("setattr", path, err)
}

// target is how a Change reaches a file, by path or by descriptor.
type target struct {
	truncate func(size int64) error
	chown    func(uid, gid int) error
	chmod    func(mode uint32) error
	utimens  func([]unix.Timespec) error
}

// apply makes the change in the order that keeps all of it: a new owner or size
// takes set-id bits away, a new size changes the times.
func (d *Dir) apply(ctx context.Context, node *dirent, c remote.Change, to target) error {
	if c.Fields&remote.SetSize != 0 {
		if err := d.send(ctx, node); err != nil {
			return err
		}
		if err := to.truncate(c.Size); err != nil {
			return err
		}
	}
	if c.Fields&(remote.SetUID|remote.SetGID) != 0 {
		if err := to.chown(orKeep(c, remote.SetUID, c.UID), orKeep(c, remote.SetGID, c.GID)); err != nil {
			return err
		}
	}
	if c.Fields&remote.SetMode != 0 {
		if err := to.chmod(c.Mode & 0o7777); err != nil {
			return err
		}
	}
	if c.Fields&(remote.SetAtime|remote.SetMtime) == 0 || node.remember(c) {
		return nil
	}
	return to.utimens(timespecs(c))
}

// orKeep is an owner for chown(2), which leaves alone what is -1.
func orKeep(c remote.Change, field remote.Fields, id uint32) int {
	if c.Fields&field == 0 {
		return -1
	}
	return int(id)
}

func timespecs(c remote.Change) []unix.Timespec {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if c.Fields&remote.SetAtime != 0 {
		times[0] = unix.Timespec{Sec: c.Atime}
	}
	if c.Fields&remote.SetMtime != 0 {
		times[1] = unix.Timespec{Sec: c.Mtime}
	}
	return times
}
