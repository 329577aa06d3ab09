package serve

import (
	"errors"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// os.Root has no mkdir with all the bits, no unlink that spares folders, no
// rename that spares or replaces an empty folder. Those are made on the parent
// folder, opened through os.Root, and the last name alone. Such a call does not
// follow a link in that name, so it stays inside.

// parent opens the folder of a path. base is the name in it: "." for the root
// itself, which every call made with it refuses.
func (h *handler) parent(p string) (dir *os.File, base string, err error) {
	p, err = inRoot(p)
	if err != nil {
		return nil, "", err
	}
	dir, err = h.root.OpenFile(path.Dir(p), unix.O_PATH|unix.O_DIRECTORY, 0)
	return dir, path.Base(p), err
}

// inParent makes a call on a path's folder and its name in there.
func (h *handler) inParent(p string, call func(dir int, base string) error) error {
	dir, base, err := h.parent(p)
	if err != nil {
		return err
	}
	return closing(dir, control(dir, func(fd int) error { return call(fd, base) }))
}

func (h *handler) inParents(p, q string, call func(dir int, base string, dir2 int, base2 string) error) error {
	return h.inParent(p, func(dir int, base string) error {
		return h.inParent(q, func(dir2 int, base2 string) error {
			return call(dir, base, dir2, base2)
		})
	})
}

func (h *handler) mkdir(marked string) error {
	p, mark, err := cutMark(marked, 0o777)
	if err != nil {
		return err
	}
	return h.inParent(p, func(dir int, base string) error {
		return unix.Mkdirat(dir, base, mark.mode)
	})
}

func (h *handler) unlink(p string, flags int) error {
	return h.inParent(p, func(dir int, base string) error {
		return unix.Unlinkat(dir, base, flags)
	})
}

// link makes another name of a file, also of a symbolic link itself.
func (h *handler) link(p, q string) error {
	return h.inParents(p, q, func(dir int, base string, dir2 int, base2 string) error {
		return unix.Linkat(dir, base, dir2, base2, 0)
	})
}

// symlink stores any target: it is text until somebody follows it, and nobody
// follows it out of here.
func (h *handler) symlink(target, p string) error {
	return h.inParent(p, func(dir int, base string) error {
		return unix.Symlinkat(target, dir, base)
	})
}

func (h *handler) rename(p, q string, how func(dir int, base string, dir2 int, base2 string) error) error {
	return h.inParents(p, q, how)
}

// renameNew is the protocol's own RENAME: it fails when the new name is there.
func renameNew(dir int, base string, dir2 int, base2 string) error {
	err := unix.Renameat2(dir, base, dir2, base2, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	return renameByLink(dir, base, dir2, base2)
}

// renameByLink is for filesystems that do not know RENAME_NOREPLACE (sshfs and
// NFS are such). It does as OpenSSH: a link fails when the name is there; for
// folders, which cannot be linked, looking first is all there is.
func renameByLink(dir int, base string, dir2 int, base2 string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err := unix.Linkat(dir, base, dir2, base2, 0)
		if err == nil {
			return unlinkFirst(dir, base, dir2, base2)
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
			return err
		}
	}
	err := unix.Fstatat(dir2, base2, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		return unix.EEXIST
	}
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	return unix.Renameat(dir, base, dir2, base2)
}

// unlinkFirst ends a rename by link: the first name goes, or the second where that is
// refused. Any other error may be the answer to a call that was executed, as on NFS, so
// that the second name may be the only one left. It stays.
func unlinkFirst(dir int, base string, dir2 int, base2 string) error {
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		err = unix.Unlinkat(dir, base, 0)
	}
	if errors.Is(err, unix.ENOENT) { // it is gone
		return nil
	}
	if isOneOf(err, unix.EACCES, unix.EPERM, unix.EROFS, unix.EBUSY) && sameFile(dir, base, dir2, base2) {
		return errors.Join(err, unix.Unlinkat(dir2, base2, 0))
	}
	return err
}

func isOneOf(err error, list ...error) bool {
	return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
}

// sameFile: both names are there, and of one file.
func sameFile(dir int, base string, dir2 int, base2 string) bool {
	var st, st2 unix.Stat_t
	err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	err2 := unix.Fstatat(dir2, base2, &st2, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && err2 == nil && st.Dev == st2.Dev && st.Ino == st2.Ino
}

// control makes a call on an open file's descriptor, which stays open until it
// is made. An interrupted call is made again: Go's scheduler sends signals.
func control(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Control(func(fd uintptr) {
		for result = unix.EINTR; errors.Is(result, unix.EINTR); {
			result = call(int(fd))
		}
	})
	if err != nil {
		return err
	}
	return result
}

// closing closes f after something that gave err, which goes first.
func closing(f *os.File, err error) error {
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
