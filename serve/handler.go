package serve

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// handler answers the requests of one session. It is what pkg/sftp calls
// FileGet, FilePut, FileCmd and FileList in one.
type handler struct {
	root     *os.Root
	readOnly bool
	log      *slog.Logger
	leftOut  *seldom      // names of listings
	noWait   atomic.Int64 // until when no lease is waited for, in Unix seconds
	handles  handles
}

func newHandler(root *os.Root, readOnly bool, log *slog.Logger) *handler {
	return &handler{root: root, readOnly: readOnly, log: log, leftOut: new(seldom)}
}

// inRoot is a path of the protocol as one relative to the root. What is
// clean and absolute cannot climb above "/".
func inRoot(p string) (string, error) {
	if strings.IndexByte(p, 0) >= 0 {
		return "", syscall.EINVAL
	}
	if p = path.Clean("/" + p); p == "/" {
		return ".", nil
	}
	return p[1:], nil
}

// Fileread opens a file for reading.
func (h *handler) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	return h.openFile(r)
}

// Filewrite opens a file for writing.
func (h *handler) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	return h.openFile(r)
}

// OpenFile opens a file for both.
func (h *handler) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	return h.openFile(r)
}

// openFile opens a regular file; opening anything else could wait for ever or
// wake a device. The kind is looked at before, so as not to, and after, so as
// to be sure; O_NONBLOCK covers the time between.
func (h *handler) openFile(r *sftp.Request) (*file, error) {
	h.handles.execute()
	name, mark, err := cutMark(r.Filepath, 0o666)
	if err != nil {
		return nil, status(err)
	}
	p, err := inRoot(name)
	if err != nil {
		return nil, status(err)
	}
	r.Flags = mark.pflags
	flags := r.Pflags()
	if !flags.Read && !flags.Write && !flags.Append && !flags.Creat && !flags.Trunc {
		return nil, status(syscall.EINVAL)
	}
	if h.readOnly && (flags.Write || flags.Append || flags.Creat || flags.Trunc) {
		return nil, status(syscall.EROFS)
	}
	if err := h.handles.room(); err != nil { // before anything is made or truncated
		return nil, status(err)
	}
	if info, err := h.root.Stat(p); err == nil && !(flags.Creat && flags.Excl) {
		if err := regular(info); err != nil {
			return nil, status(err)
		}
	}
	f, err := h.openRegular(p, openFlags(flags), os.FileMode(mark.mode&0o777))
	if err != nil {
		return nil, status(err)
	}
	opened, err := h.newFile(r, f, flags)
	if err != nil {
		return nil, status(closing(f, err))
	}
	return opened, nil
}

// How long a file is waited for that another process has a lease on, as Samba and the
// kernel's NFS server take them, and how often it is tried. All other requests wait
// meanwhile, so that none is waited for soon after a wait that was in vain: the kernel
// takes a lease away after 45 s.
const leaseWait, leaseTry, leaseVain = time.Second, 20 * time.Millisecond, 45 * time.Second

// openRegular opens a file that may have become something else. The O_NONBLOCK which
// that takes makes it fail on a lease, where the kernel asks for the lease to be given
// back, so it is tried again.
func (h *handler) openRegular(p string, flags int, perm os.FileMode) (*os.File, error) {
	for begin := time.Now(); ; time.Sleep(leaseTry) {
		f, err := h.root.OpenFile(p, flags|unix.O_NONBLOCK|unix.O_NOCTTY, perm)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().Unix() < h.noWait.Load() {
			return f, err
		}
		if time.Since(begin) > leaseWait {
			h.noWait.Store(time.Now().Add(leaseVain).Unix())
			return f, err
		}
	}
}

func (h *handler) newFile(r *sftp.Request, f *os.File, flags sftp.FileOpenFlags) (*file, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(info); err != nil {
		return nil, err
	}
	h.handles.add(r, f)
	return &file{File: f, name: r.Filepath, handles: &h.handles, flags: flags}, nil
}

func regular(info os.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return syscall.EISDIR
	}
	return syscall.EOPNOTSUPP
}

func openFlags(f sftp.FileOpenFlags) int {
	flags := os.O_RDONLY
	switch write := f.Write || f.Append; {
	case write && f.Read:
		flags = os.O_RDWR
	case write || !f.Read:
		flags = os.O_WRONLY
	}
	if f.Creat {
		flags |= os.O_CREATE
	}
	if f.Creat && f.Excl {
		flags |= os.O_EXCL
	}
	if f.Trunc {
		flags |= os.O_TRUNC
	}
	if f.Append {
		flags |= os.O_APPEND
	}
	return flags
}

// Filecmd answers the requests that change names and attributes.
func (h *handler) Filecmd(r *sftp.Request) error {
	if h.readOnly {
		return status(syscall.EROFS)
	}
	switch r.Method {
	case "Setstat":
		return status(h.setstat(r))
	case "Mkdir":
		return status(h.mkdir(r.Filepath))
	case "Symlink":
		return status(h.symlink(r.Filepath, r.Target))
	case "Rename":
		return status(h.rename(r.Filepath, r.Target, renameNew))
	case "Link":
		return status(h.link(r.Filepath, r.Target))
	case "Remove":
		return status(h.unlink(r.Filepath, 0))
	case "Rmdir":
		return status(h.unlink(r.Filepath, unix.AT_REMOVEDIR))
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename is posix-rename@openssh.com: rename(2).
func (h *handler) PosixRename(r *sftp.Request) error {
	if h.readOnly {
		return status(syscall.EROFS)
	}
	return status(h.rename(r.Filepath, r.Target, unix.Renameat))
}

// StatVFS is statvfs@openssh.com. A symbolic link is not followed: the numbers
// are those of the filesystem it lies on.
func (h *handler) StatVFS(r *sftp.Request) (*sftp.StatVFS, error) {
	p, err := inRoot(r.Filepath)
	if err != nil {
		return nil, status(err)
	}
	f, err := h.root.OpenFile(p, unix.O_PATH, 0)
	if err != nil {
		return nil, status(err)
	}
	var fs unix.Statfs_t
	err = closing(f, control(f, func(fd int) error { return unix.Fstatfs(fd, &fs) }))
	if err != nil {
		return nil, status(err)
	}
	return h.statVFS(&fs), nil
}

func (h *handler) statVFS(fs *unix.Statfs_t) *sftp.StatVFS {
	const readOnly, noSetUID = 1, 2 // f_flag as OpenSSH's PROTOCOL defines it
	flag := uint64(fs.Flags) & (readOnly | noSetUID)
	if h.readOnly {
		flag |= readOnly
	}
	return &sftp.StatVFS{
		Bsize:   uint64(fs.Bsize),
		Frsize:  uint64(fs.Frsize),
		Blocks:  fs.Blocks,
		Bfree:   fs.Bfree,
		Bavail:  fs.Bavail,
		Files:   fs.Files,
		Ffree:   fs.Ffree,
		Favail:  fs.Ffree, // statfs(2) does not tell them apart
		Fsid:    uint64(uint32(fs.Fsid.Val[0])) | uint64(uint32(fs.Fsid.Val[1]))<<32,
		Flag:    flag,
		Namemax: uint64(fs.Namelen),
	}
}
