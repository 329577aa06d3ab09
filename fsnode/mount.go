package fsnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool"
)

// An FS is a mounted filesystem.
type FS struct {
	fs     *filesystem
	point  string
	device device // of the mount, unknown when the mount table has none
	fd     int    // the connection to the kernel, go-fuse's descriptor
	done   chan struct{}

	mu   sync.Mutex
	conn int // guarded by mu: our own descriptor, to look at; -1 when closed
}

// Mount mounts on an existing folder and answers requests until somebody
// unmounts. It returns when the kernel has agreed on the protocol; ctx is for
// that long.
func Mount(ctx context.Context, mountpoint string, c Config) (*FS, error) {
	c.setDefaults()
	point, err := resolvePoint(mountpoint)
	if err != nil {
		return nil, fmt.Errorf("mountpoint: %w", err)
	}
	c.points = mountPoints(point, c.Given)
	fd, err := attach(ctx, point, &c)
	if err != nil {
		return nil, err
	}
	m := &FS{fs: newFilesystem(c), point: point, fd: fd, done: make(chan struct{})}
	if m.conn, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", point, err), detach(ctx, point), unix.Close(fd))
	}
	m.fs.dead = m.gone
	server, err := fuse.NewServer(m.fs, "/dev/fd/"+strconv.Itoa(fd), c.serverOptions())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", point, err), detach(ctx, point), unix.Close(m.conn))
	}
	m.fs.kernel = server
	m.device = deviceOf(point)
	if os.Geteuid() == 0 {
		m.readAhead()
	}
	go m.serve(server)
	return m, nil
}

// resolvePoint is the mountpoint as the mount table shows it.
func resolvePoint(mountpoint string) (string, error) {
	point, err := filepath.EvalSymlinks(mountpoint)
	if err != nil {
		return "", err
	}
	return filepath.Abs(point)
}

// serverOptions are settings found to matter; see the comments.
func (c *Config) serverOptions() *fuse.MountOptions {
	logger := slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)
	return &fuse.MountOptions{
		Name:          c.Subtype,
		FsName:        c.Source,
		MaxWrite:      maxIO,
		MaxBackground: 64,
		// Through a pipe even data in memory costs a quarter more CPU.
		DisableSplice: true,
		// Else each write asks for security.capability first.
		DisableXAttrs: true,
		// With nothing cached the kernel would look each name up again.
		DisableReadDirPlus: c.AttrTimeout == 0,
		// O_TRUNC in one request; direct reads in parallel; attributes with a
		// listing only while somebody wants them.
		ExtraCapabilities:    fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_ASYNC_DIO | fuse.CAP_READDIRPLUS_AUTO,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
		Logger:               logger,
		Debug:                c.Debug,
		PanicHandler: func(reason any) fuse.Status {
			c.Log.Error("panic while answering the kernel", "reason", reason, "stack", string(debug.Stack()))
			return fuse.EIO
		},
	}
}

// serve answers until the mount is gone.
func (m *FS) serve(server *fuse.Server) {
	server.Serve()
	m.fs.shutdown()
	m.forgetConn()
	close(m.done)
}

func (m *FS) forgetConn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn >= 0 {
		_ = unix.Close(m.conn)
	}
	m.conn = -1
}

// gone reports whether the connection to the kernel is cut: unmounted or
// aborted. go-fuse interrupts all requests then, but so do signals.
func (m *FS) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn < 0 {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(m.conn)}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
}

// Wait returns when the filesystem was unmounted, by anyone, and everything is
// given back.
func (m *FS) Wait() { <-m.done }

// Remote is for work beside the mount. What changes through it is told to the
// kernel when the call returns, so that programs see it at once.
func (m *FS) Remote() pool.Remote { return &besides{Remote: m.fs.remote, fs: m.fs} }

// Stats tells what the mount has done.
func (m *FS) Stats() Stats {
	s := m.fs.counters.stats()
	m.fs.mu.Lock()
	s.OpenFiles = len(m.fs.files)
	m.fs.mu.Unlock()
	m.fs.tree.mu.Lock()
	s.Nodes = len(m.fs.tree.nodes)
	m.fs.tree.mu.Unlock()
	s.RefusedLinks = m.fs.links.refusedCount()
	return s
}

// Mountpoint is where it is mounted.
func (m *FS) Mountpoint() string { return m.point }

// Unmount flushes what is written and unmounts. EBUSY, in the error's chain,
// means that a program still uses the mount.
func (m *FS) Unmount(ctx context.Context) error {
	if m.isDone() {
		return nil
	}
	flushed := m.fs.flushHandles(ctx)
	if err := m.unmount(ctx); err != nil {
		return errors.Join(err, flushed)
	}
	select {
	case <-m.done:
		return flushed
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("unmount %s: %w", m.point, ctx.Err()), flushed)
	}
}

func (m *FS) isDone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// unmount tries for a moment: a closed file is released a little after close(2)
// has returned.
func (m *FS) unmount(ctx context.Context) error {
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		err := detachIdle(ctx, m.point)
		if !errors.Is(err, syscall.EBUSY) || wait > 100*time.Millisecond {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// detachIdle unmounts unless the mount is in use.
func detachIdle(ctx context.Context, point string) error {
	if os.Geteuid() != 0 {
		return runFusermount(ctx, []string{"-u", "--", point}, nil)
	}
	if err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	return nil
}

// detach takes the mount out of sight at once, whoever uses it.
func detach(ctx context.Context, point string) error {
	if os.Geteuid() != 0 {
		return runFusermount(ctx, []string{"-u", "-z", "--", point}, nil)
	}
	if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("detach %s: %w", point, err)
	}
	return nil
}

// ForceUnmount takes at most forceTimeout; files may take half of it to be given
// back properly.
const forceTimeout = 2 * time.Second

// ForceUnmount ends the mount whatever programs and the remote do: the mount is
// detached, then the connection aborted, which fails every call under way. It
// returns when all is given back, and after two seconds anyway. Data that is not
// on the server yet is the Remote's to keep or lose.
func (m *FS) ForceUnmount() error {
	ctx, cancel := context.WithTimeout(context.Background(), forceTimeout)
	defer cancel()
	if m.isDone() {
		return nil
	}
	impatient := time.AfterFunc(forceTimeout/2, m.fs.stop)
	defer impatient.Stop()
	detached := detach(ctx, m.point)
	aborted := m.device.abort()
	m.fs.letGo()
	if aborted != nil {
		m.fs.cfg.Log.Debug("cutting the connection to the kernel", "because", aborted)
		aborted = m.cut(ctx)
	}
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("unmount %s: requests are still under way", m.point), detached, aborted)
	}
}
