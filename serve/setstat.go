package serve

import (
	"os"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// setstat is SETSTAT and FSETSTAT. The owner goes before the mode, since
// chown(2) clears set-id bits, and the times go last, since the others move
// them.
func (h *handler) setstat(r *sftp.Request) error {
	attrs := r.Attributes()
	if attrs == nil {
		return syscall.EINVAL
	}
	f, ok, err := h.handles.get(r.Filepath)
	if err != nil {
		return err
	}
	if ok {
		return apply(r.AttrFlags(), attrs, openFile{f})
	}
	p, err := inRoot(r.Filepath)
	if err != nil {
		return err
	}
	return apply(r.AttrFlags(), attrs, pathIn{h, p})
}

// settable is an open file or a path.
type settable interface {
	Truncate(size int64) error
	Chown(uid, gid int) error
	Chmod(mode uint32) error
	Chtimes(atime, mtime time.Time) error
}

// apply sets whatever is given. One that fails keeps none of the others from being
// set, as with OpenSSH, and the last failure is the answer.
func apply(flags sftp.FileAttrFlags, attrs *sftp.FileStat, on settable) error {
	var last error
	note := func(err error) {
		if err != nil {
			last = err
		}
	}
	if flags.Size {
		note(truncate(on, attrs.Size))
	}
	if flags.UidGid {
		note(on.Chown(int(int32(attrs.UID)), int(int32(attrs.GID))))
	}
	if flags.Permissions {
		note(on.Chmod(attrs.Mode & 0o7777))
	}
	if flags.Acmodtime {
		note(on.Chtimes(attrs.AccessTime(), attrs.ModTime()))
	}
	return last
}

func truncate(on settable, size uint64) error {
	if size > 1<<63-1 {
		return syscall.EFBIG
	}
	return on.Truncate(int64(size))
}

// openFile is an open file, whatever it is called by now.
type openFile struct{ f *os.File }

func (o openFile) Truncate(size int64) error { return o.f.Truncate(size) }

func (o openFile) Chown(uid, gid int) error { return o.f.Chown(uid, gid) }

func (o openFile) Chmod(mode uint32) error {
	return control(o.f, func(fd int) error { return unix.Fchmod(fd, mode) })
}

func (o openFile) Chtimes(atime, mtime time.Time) error {
	times := []unix.Timeval{
		unix.NsecToTimeval(atime.UnixNano()),
		unix.NsecToTimeval(mtime.UnixNano()),
	}
	return control(o.f, func(fd int) error { return unix.Futimes(fd, times) })
}

// pathIn is what a path in the root leads to.
type pathIn struct {
	*handler
	path string
}

func (p pathIn) Truncate(size int64) error {
	info, err := p.root.Stat(p.path)
	if err != nil {
		return err
	}
	if err := regular(info); err != nil {
		return err
	}
	f, err := p.openRegular(p.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return closing(f, f.Truncate(size))
}

func (p pathIn) Chown(uid, gid int) error { return p.root.Chown(p.path, uid, gid) }

func (p pathIn) Chmod(mode uint32) error {
	perm := os.FileMode(mode & 0o777)
	for bit, means := range map[uint32]os.FileMode{
		unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid, unix.S_ISVTX: os.ModeSticky,
	} {
		if mode&bit != 0 {
			perm |= means
		}
	}
	return p.root.Chmod(p.path, perm)
}

func (p pathIn) Chtimes(atime, mtime time.Time) error {
	return p.root.Chtimes(p.path, atime, mtime)
}
