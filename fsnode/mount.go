package fsnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// An FS is a mounted filesystem.
type FS struct {
	fs     *filesystem
	point  string
	device device // of the mount, unknown when the mount table has none
	fd     int    // the connection to the kernel, go-fuse's descriptor
	done   chan struct{}

	lingering sync.Once // waiting for files that are open in a copy

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
	m.fs.work.Go(m.watch)
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
		MaxBackground: cmp.Or(c.Background, 64),
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
func (m *FS) Remote() remote.Remote { return &besides{Remote: m.fs.remote, fs: m.fs} }

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

// Device is the mount's number, "MAJOR:MINOR", in every mount table it is in.
func (m *FS) Device() string { return string(m.device) }
