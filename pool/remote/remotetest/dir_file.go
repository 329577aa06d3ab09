package remotetest

import (
	"context"
	"io"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// dirFile is a remote.File on a descriptor.
type dirFile struct {
	dir  *Dir
	path string
	flag remote.OpenFlag
	node *dirent

	mu sync.RWMutex
	fd int // guarded by mu, -1 after Close: calls read-lock it while they use it

	lostMu sync.Mutex
	lost   error // guarded by lostMu: of an earlier write, not told yet
}

var _ remote.File = (*dirFile)(nil)

// Open implements remote.Remote. A folder is EISDIR, also for reading.
func (d *Dir) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	if err := d.begin(ctx, "open", path); err != nil {
		return nil, remote.Attr{}, err
	}
	fd, err := openCreate(d.local(path), flag, perm)
	if err != nil {
		return nil, remote.Attr{}, failure("open", path, err)
	}
	f := &dirFile{dir: d, path: path, flag: flag, fd: fd}
	attr, err := f.opened(ctx)
	if err != nil {
		_ = unix.Close(fd)
		return nil, remote.Attr{}, failure("open", path, err)
	}
	return f, attr, nil
}

// opened finds out which file it is, and truncates it: only now, because what
// other Files have written before must go the same way.
func (f *dirFile) opened(ctx context.Context) (remote.Attr, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return remote.Attr{}, err
	}
	if attrOf(&st).IsDir() {
		return remote.Attr{}, syscall.EISDIR
	}
	f.node = f.dir.acquire(keyOf(&st), f)
	var attr remote.Attr
	err := f.truncateAtOpen(ctx)
	if err == nil {
		attr, err = f.node.look(f.fstat)
	}
	if err != nil {
		f.dir.release(f.node, f)
	}
	return attr, err
}

func (f *dirFile) fstat(st *unix.Stat_t) error { return unix.Fstat(f.fd, st) }

func (f *dirFile) truncateAtOpen(ctx context.Context) error {
	if f.flag&remote.FlagTruncate == 0 {
		return nil
	}
	if err := f.dir.send(ctx, f.node); err != nil {
		return err
	}
	return unix.Ftruncate(f.fd, 0)
}

// openCreate is open(2), and the exact mode for a file that it has made.
func openCreate(at string, flag remote.OpenFlag, perm uint32) (int, error) {
	how := unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK
	switch flag & (remote.FlagRead | remote.FlagWrite) {
	case remote.FlagRead:
		how |= unix.O_RDONLY
	case remote.FlagWrite:
		how |= unix.O_WRONLY
	case remote.FlagRead | remote.FlagWrite:
		how |= unix.O_RDWR
	default:
		return -1, syscall.EINVAL
	}
	if flag&remote.FlagTruncate != 0 && flag&remote.FlagWrite == 0 {
		return -1, syscall.EINVAL
	}
	if flag&remote.FlagCreate == 0 {
		return unix.Open(at, how, 0)
	}
	// Whether the file is ours to give a mode is only known from O_EXCL.
	fd, err := createExclusive(at, how, perm)
	if err != syscall.EEXIST || flag&remote.FlagExclusive != 0 {
		return fd, err
	}
	if fd, err = unix.Open(at, how, 0); err != syscall.ENOENT {
		return fd, err
	}
	// A link to nothing: the file is made where it leads.
	return withMode(perm)(unix.Open(at, how|unix.O_CREAT, perm&0o7777))
}

func createExclusive(at string, how int, perm uint32) (int, error) {
	return withMode(perm)(unix.Open(at, how|unix.O_CREAT|unix.O_EXCL, perm&0o7777))
}

func withMode(perm uint32) func(int, error) (int, error) {
	return func(fd int, err error) (int, error) {
		if err != nil {
			return -1, err
		}
		err = restoreBits(perm, func(st *unix.Stat_t) error {
			return unix.Fstat(fd, st)
		}, func(mode uint32) error {
			return unix.Fchmod(fd, mode)
		})
		if err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
		return fd, nil
	}
}

// use is begin for a File: it also keeps the descriptor open until done is
// called.
func (f *dirFile) use(ctx context.Context, op string) (done func(), err error) {
	if err := f.dir.begin(ctx, op, f.path); err != nil {
		return nil, err
	}
	f.mu.RLock()
	if f.fd < 0 {
		f.mu.RUnlock()
		return nil, failure(op, f.path, syscall.EBADF)
	}
	return f.mu.RUnlock, nil
}

// ReadAt implements remote.File.
func (f *dirFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	done, err := f.use(ctx, "read")
	if err != nil {
		return 0, err
	}
	defer done()
	if err := f.dir.send(ctx, f.node); err != nil {
		return 0, failure("read", f.path, err)
	}
	n, err := f.pread(p, off)
	if err == io.EOF {
		return n, err
	}
	return n, failure("read", f.path, err)
}

func (f *dirFile) StartReadAt(ctx context.Context, p []byte, off int64, wait bool, told func(n int, err error)) bool {
	return remote.Start(ctx, f, p, off, wait, told)
}

func (f *dirFile) Borrow(ctx context.Context, off int64, n int) (data [][]byte, release func(), err error) {
	return remote.Lend(ctx, f, off, n)
}

func (f *dirFile) pread(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		m, err := unix.Pread(f.fd, p[n:], off+int64(n))
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, io.EOF
		}
		n += max(m, 0)
	}
	return n, nil
}

func (f *dirFile) pwrite(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(f.fd, p, off)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// utimens sets the times of the descriptor: futimens(3) is this path.
func (f *dirFile) utimens(times []unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(f.fd), times, 0)
}

// WriteAt implements remote.File.
func (f *dirFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	done, err := f.use(ctx, "write")
	if err != nil {
		return 0, err
	}
	defer done()
	if err := f.write(ctx, p, off); err != nil {
		return 0, failure("write", f.path, err)
	}
	return len(p), nil
}

func (f *dirFile) write(ctx context.Context, p []byte, off int64) error {
	switch {
	case f.flag&remote.FlagWrite == 0:
		return syscall.EBADF
	case off < 0:
		return syscall.EINVAL
	case !f.dir.WriteBehind:
		return f.pwrite(p, off)
	}
	if err := f.told(); err != nil {
		return err
	}
	if full := f.node.hold(f, p, off); full {
		return f.dir.send(ctx, f.node)
	}
	return nil
}

// lose keeps the error of a write that nobody waited for.
func (f *dirFile) lose(err error) {
	f.lostMu.Lock()
	defer f.lostMu.Unlock()
	if f.lost == nil {
		f.lost = err
	}
}

// told is the kept error, which is thereby told.
func (f *dirFile) told() error {
	f.lostMu.Lock()
	defer f.lostMu.Unlock()
	err := f.lost
	f.lost = nil
	return err
}

// flush brings the data to the disk and tells what became of it.
func (f *dirFile) flush(ctx context.Context) error {
	if err := f.dir.send(ctx, f.node); err != nil {
		return err
	}
	return f.told()
}

func (f *dirFile) stat(op string, err error) (remote.Attr, error) {
	var attr remote.Attr
	if err == nil {
		attr, err = f.node.look(f.fstat)
	}
	return attr, failure(op, f.path, err)
}

// Flush implements remote.File.
func (f *dirFile) Flush(ctx context.Context) (remote.Attr, error) {
	done, err := f.use(ctx, "flush")
	if err != nil {
		return remote.Attr{}, err
	}
	defer done()
	return f.stat("flush", f.flush(ctx))
}

// Sync implements remote.File.
func (f *dirFile) Sync(ctx context.Context) (remote.Attr, error) {
	done, err := f.use(ctx, "sync")
	if err != nil {
		return remote.Attr{}, err
	}
	defer done()
	if err = f.flush(ctx); err == nil {
		err = unix.Fsync(f.fd)
	}
	return f.stat("sync", err)
}

// Stat implements remote.File.
func (f *dirFile) Stat(ctx context.Context) (remote.Attr, error) {
	done, err := f.use(ctx, "fstat")
	if err != nil {
		return remote.Attr{}, err
	}
	defer done()
	return f.stat("fstat", nil)
}

// End implements remote.File.
func (f *dirFile) End(ctx context.Context) (int64, error) {
	a, err := f.Stat(ctx)
	return a.Size, err
}

// IsAt implements remote.File.
func (f *dirFile) IsAt(ctx context.Context) (bool, error) {
	done, err := f.use(ctx, "fstat")
	if err != nil {
		return true, err
	}
	defer done()
	var st, there unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return true, failure("stat", f.path, err)
	}
	if err := unix.Stat(f.dir.local(f.path), &there); err != nil {
		return true, failure("stat", f.path, err)
	}
	return keyOf(&st) == keyOf(&there), nil
}

// SetAttr implements remote.File.
func (f *dirFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	done, err := f.use(ctx, "fsetattr")
	if err != nil {
		return remote.Attr{}, err
	}
	defer done()
	return f.stat("fsetattr", f.dir.apply(ctx, f.node, c, target{
		truncate: func(size int64) error { return unix.Ftruncate(f.fd, size) },
		chown:    func(uid, gid int) error { return unix.Fchown(f.fd, uid, gid) },
		chmod:    func(mode uint32) error { return unix.Fchmod(f.fd, mode) },
		utimens:  f.utimens,
	}))
}

// Close implements remote.File. The File is closed, and its data sent, also when
// the hook fails or ctx has ended. What cannot be sent is lost.
func (f *dirFile) Close(ctx context.Context) error {
	hook := f.dir.begin(ctx, "close", f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return failure("close", f.path, syscall.EBADF)
	}
	err := f.flush(context.WithoutCancel(ctx))
	f.node.discard(f)
	f.dir.release(f.node, f)
	if e := unix.Close(f.fd); err == nil {
		err = e
	}
	f.fd = -1
	if hook != nil {
		return hook
	}
	return failure("close", f.path, err)
}

// Copy implements remote.Remote.
func (d *Dir) Copy(ctx context.Context, dst remote.File, dstOff int64, src remote.File, srcOff, n int64) (int64, error) {
	to, ok := dst.(*dirFile)
	if !ok {
		return 0, failure("copy", "", syscall.EINVAL)
	}
	from, ok := src.(*dirFile)
	if !ok {
		return 0, failure("copy", to.path, syscall.EINVAL)
	}
	done, err := to.use(ctx, "copy")
	if err != nil {
		return 0, err
	}
	defer done()
	if from != to {
		from.mu.RLock()
		defer from.mu.RUnlock()
	}
	copied, err := d.copy(ctx, to, dstOff, from, srcOff, n)
	return copied, failure("copy", to.path, err)
}

func (d *Dir) copy(ctx context.Context, to *dirFile, dstOff int64, from *dirFile, srcOff, n int64) (int64, error) {
	for _, f := range []*dirFile{from, to} {
		if err := d.send(ctx, f.node); err != nil {
			return 0, err
		}
	}
	buf := make([]byte, min(max(n, 0), 1<<20))
	copied := int64(0)
	for copied < n && ctx.Err() == nil {
		m, err := from.pread(buf[:min(n-copied, int64(len(buf)))], srcOff+copied)
		if err != nil && err != io.EOF {
			return copied, err
		}
		if err := to.pwrite(buf[:m], dstOff+copied); err != nil {
			return copied, err
		}
		if copied += int64(m); err == io.EOF {
			return copied, nil
		}
	}
	return copied, ctx.Err()
}
