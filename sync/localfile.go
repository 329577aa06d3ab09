package sync

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// localFile is an open local file with the contract of remote.File.
type localFile struct {
	f    *os.File
	path string
}

var _ remote.File = (*localFile)(nil)

// Open opens a regular file or makes one. O_NONBLOCK keeps a pipe that took the
// file's place from holding the run; it has no meaning for regular files.
func (l *localTree) Open(_ context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, err := l.openFile(path, openFlags(flag), perm)
	if err != nil {
		return nil, remote.Attr{}, err
	}
	file := &localFile{f: f, path: path}
	a, err := file.settle(flag, perm)
	if err != nil {
		return nil, remote.Attr{}, errors.Join(remote.PathError("open", path, err), f.Close())
	}
	return file, a, nil
}

func (l *localTree) openFile(path string, flags int, perm uint32) (*os.File, error) {
	if l.follow && flags&unix.O_CREAT == 0 {
		return l.root.OpenFile(path, flags, 0)
	}
	var fd int
	err := l.at("open", path, func(dir int, name string) (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// settle refuses what is no regular file and gives a new file its exact mode.
func (f *localFile) settle(flag remote.OpenFlag, perm uint32) (remote.Attr, error) {
	st, err := f.fstat()
	if err != nil {
		return remote.Attr{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return remote.Attr{}, errSpecial
	}
	if flag&remote.FlagExclusive != 0 && st.Mode&0o7777 != perm {
		if err := unix.Fchmod(f.fd(), perm); err != nil {
			return remote.Attr{}, err
		}
		st.Mode = st.Mode&unix.S_IFMT | perm
	}
	return attrOf(&st), nil
}

var errSpecial = errors.New("no longer a regular file")

func openFlags(flag remote.OpenFlag) int {
	flags := unix.O_NONBLOCK
	switch {
	case flag&remote.FlagRead != 0 && flag&remote.FlagWrite != 0:
		flags |= unix.O_RDWR
	case flag&remote.FlagWrite != 0:
		flags |= unix.O_WRONLY
	}
	if flag&remote.FlagCreate != 0 {
		flags |= unix.O_CREAT
	}
	if flag&remote.FlagExclusive != 0 {
		flags |= unix.O_EXCL
	}
	if flag&remote.FlagTruncate != 0 {
		flags |= unix.O_TRUNC
	}
	return flags
}

func (f *localFile) fd() int { return int(f.f.Fd()) }

func (f *localFile) fstat() (unix.Stat_t, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(f.fd(), &st) })
	return st, err
}

// End implements remote.File.
func (f *localFile) End(context.Context) (int64, error) {
	st, err := f.fstat()
	return st.Size, f.wrap("fstat", err)
}

// IsAt implements remote.File. What is at the path is looked at by it.
func (f *localFile) IsAt(context.Context) (bool, error) { return true, nil }

func (f *localFile) stamp() (stamp, error) {
	st, err := f.fstat()
	return exactStamp(&st), f.wrap("fstat", err)
}

func (f *localFile) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return f.f.ReadAt(p, off)
}

func (f *localFile) StartReadAt(ctx context.Context, p []byte, off int64, wait bool, told func(n int, err error)) bool {
	return remote.Start(ctx, f, p, off, wait, told)
}

func (f *localFile) Borrow(ctx context.Context, off int64, n int) (data [][]byte, release func(), err error) {
	return remote.Lend(ctx, f, off, n)
}

func (f *localFile) WriteAt(_ context.Context, p []byte, off int64) (int, error) {
	return f.f.WriteAt(p, off)
}

func (f *localFile) Flush(ctx context.Context) (remote.Attr, error) { return f.Stat(ctx) }

func (f *localFile) Sync(ctx context.Context) (remote.Attr, error) {
	if err := f.f.Sync(); err != nil {
		return remote.Attr{}, err
	}
	return f.Stat(ctx)
}

func (f *localFile) Stat(context.Context) (remote.Attr, error) {
	st, err := f.fstat()
	return attrOf(&st), f.wrap("fstat", err)
}

func (f *localFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	if err := f.change(c); err != nil {
		return remote.Attr{}, f.wrap("setattr", err)
	}
	return f.Stat(ctx)
}

func (f *localFile) change(c remote.Change) error {
	if c.Fields&remote.SetSize != 0 {
		if err := unix.Ftruncate(f.fd(), c.Size); err != nil {
			return err
		}
	}
	if c.Fields&(remote.SetUID|remote.SetGID) != 0 {
		uid, gid := owners(c)
		if err := unix.Fchown(f.fd(), uid, gid); err != nil {
			return err
		}
	}
	if c.Fields&remote.SetMode != 0 {
		if err := unix.Fchmod(f.fd(), c.Mode); err != nil {
			return err
		}
	}
	if c.Fields&(remote.SetAtime|remote.SetMtime) != 0 {
		return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.fd()), times(c), 0)
	}
	return nil
}

func (f *localFile) Close(context.Context) error { return f.f.Close() }

func (f *localFile) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return remote.PathError(op, f.path, err)
}

// data finds the next bytes at or after off that are not a hole, up to end.
// Where the filesystem cannot tell, everything is data.
func (f *localFile) data(off, end int64) (from, to int64) {
	from, err := unix.Seek(f.fd(), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return end, end
	}
	if err != nil {
		return off, end
	}
	to, err = unix.Seek(f.fd(), from, unix.SEEK_HOLE)
	if err != nil {
		to = end
	}
	return min(from, end), min(to, end)
}
