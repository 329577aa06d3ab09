package serve

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// Filelist answers OPENDIR and STAT.
func (h *handler) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "List":
		return h.opendir(r)
	case "Stat":
		return h.stat(r.Filepath, h.root.Stat)
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// Lstat answers LSTAT.
func (h *handler) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	return h.stat(r.Filepath, h.root.Lstat)
}

// Readlink answers READLINK with the target as it is stored.
func (h *handler) Readlink(p string) (string, error) {
	p, err := inRoot(p)
	if err != nil {
		return "", status(err)
	}
	target, err := h.root.Readlink(p)
	return target, status(err)
}

func (h *handler) stat(p string, look func(string) (os.FileInfo, error)) (sftp.ListerAt, error) {
	f, ok, err := h.handles.get(p)
	if err != nil {
		return nil, status(err)
	}
	if ok {
		info, err := f.Stat()
		return oneInfo{info}, status(err)
	}
	if p, err = inRoot(p); err != nil {
		return nil, status(err)
	}
	info, err := look(p)
	return oneInfo{info}, status(err)
}

// oneInfo is the answer to a question about one file.
type oneInfo struct{ os.FileInfo }

func (i oneInfo) ListAt(infos []os.FileInfo, _ int64) (int, error) {
	return copy(infos, []os.FileInfo{i.FileInfo}), io.EOF
}

func (h *handler) opendir(r *sftp.Request) (sftp.ListerAt, error) {
	handle := h.handles.execute()
	l, err := h.openFolder(r, handle)
	if err != nil {
		h.handles.noFolder(handle)
		return nil, status(err)
	}
	return l, nil
}

func (h *handler) openFolder(r *sftp.Request, handle string) (*listing, error) {
	p, err := inRoot(r.Filepath)
	if err != nil {
		return nil, err
	}
	if err := h.handles.room(); err != nil {
		return nil, err
	}
	f, err := h.root.OpenFile(p, unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	h.handles.add(r, f)
	return &listing{dir: f, name: r.Filepath, handle: handle, handler: h}, nil
}

// listing is an open folder. The request server asks for the names in order,
// from one goroutine.
type listing struct {
	dir     *os.File
	name    string // towards the request server
	handle  string // towards the client
	handler *handler
}

// ListAt gives the next names. The offset says nothing that the folder's own
// position does not. A name that cannot be looked at, such as the mountpoint of a
// FUSE filesystem that died, is left out, as OpenSSH does: the folder would be
// without a listing otherwise. An error that may pass is answered: a client would take
// the name for removed.
func (l *listing) ListAt(infos []os.FileInfo, _ int64) (int, error) {
	names, err := l.dir.Readdirnames(len(infos))
	if len(names) == 0 && err == nil {
		err = io.EOF
	}
	n := 0
	for _, name := range names {
		info, statErr := statAt(l.dir, name)
		if statErr == nil {
			infos[n] = info
			n++
			continue
		}
		if errors.Is(statErr, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if !isOneOf(statErr, lasting...) {
			return n, status(statErr)
		}
		if _, err := statAt(l.dir, "."); err != nil { // it is not the name
			return n, status(err)
		}
		l.handler.leftOut.tell(l.handler.log, "a name is left out of a listing: it cannot be looked at", "name", strconv.Quote(name), "err", statErr)
	}
	if n == 0 && err == nil {
		return l.ListAt(infos, 0) // none to tell of: an empty answer means the end
	}
	return n, status(err)
}

// lasting are the errors about a name alone that stay.
var lasting = []error{unix.ENOTCONN, unix.EACCES, unix.EPERM, unix.ELOOP, unix.EOVERFLOW, unix.ENODEV, unix.EHOSTDOWN}

// Close gives the handle back.
func (l *listing) Close() error {
	l.handler.handles.noFolder(l.handle)
	return status(l.handler.handles.close(l.name))
}

// info is what fstatat(2) tells of a name in a folder.
type info struct {
	name string
	st   unix.Stat_t
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.st.Size }
func (i *info) Mode() fs.FileMode  { return (&sftp.FileStat{Mode: i.st.Mode}).FileMode() }
func (i *info) ModTime() time.Time { return time.Unix(i.st.Mtim.Unix()) }
func (i *info) IsDir() bool        { return i.Mode().IsDir() }

// Sys has what pkg/sftp looks for there.
func (i *info) Sys() any {
	return &syscall.Stat_t{Uid: i.st.Uid, Gid: i.st.Gid, Nlink: i.st.Nlink}
}

// statAt looks at a name in an open folder, where os.File.Readdir would go by
// the folder's path.
func statAt(dir *os.File, name string) (os.FileInfo, error) {
	i := &info{name: name}
	err := control(dir, func(fd int) error {
		return unix.Fstatat(fd, name, &i.st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return i, err
}
