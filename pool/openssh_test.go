package pool_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// sftpServer finds OpenSSH's server program. Where it is missing a test is
// skipped, unless everything is required.
func sftpServer(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	const missing = "no sftp-server of OpenSSH (package openssh-sftp-server)"
	if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// pipes is a pool.Conn whose sessions are sftp-server processes on pipes: what
// OpenSSH runs, without the SSH around it.
type pipes struct {
	program  string
	lastByte atomic.Int64
	done     chan struct{}
	once     sync.Once

	mu       sync.Mutex
	stopped  bool      // guarded by mu
	channels []*piping // guarded by mu
}

// piping is the channel of one session.
type piping struct {
	io.Writer
	r    io.Reader
	conn *pipes
	stop func()
}

func (c *piping) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		c.conn.lastByte.Store(time.Now().UnixNano())
	}
	return n, err
}

func (c *piping) Close() error { c.stop(); return nil }

func newPipes(program string) *pipes {
	c := &pipes{program: program, done: make(chan struct{})}
	c.lastByte.Store(time.Now().UnixNano())
	return c
}

func (c *pipes) OpenSFTP(context.Context) (io.ReadWriteCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, errors.New("connection is gone")
	}
	cmd := exec.Command(c.program)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ch := &piping{Writer: in, r: out, conn: c}
	ch.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
		_ = out.Close()
	})
	c.channels = append(c.channels, ch)
	return ch, nil
}

func (c *pipes) Ping(context.Context) error {
	c.lastByte.Store(time.Now().UnixNano())
	return nil
}
func (c *pipes) LastByte() time.Time   { return time.Unix(0, c.lastByte.Load()) }
func (c *pipes) Abort()                { _ = c.Close() }
func (c *pipes) Done() <-chan struct{} { return c.done }
func (c *pipes) Server() string        { return "SSH-2.0-OpenSSH_9.2p1" }

func (c *pipes) Close() error {
	c.mu.Lock()
	c.stopped = true
	channels := c.channels
	c.mu.Unlock()
	for _, ch := range channels {
		ch.stop()
	}
	c.once.Do(func() { close(c.done) })
	return nil
}

// openPool gives a Pool over OpenSSH's server for an empty folder.
func openPool(t testing.TB, cfg pool.Config) (*pool.Pool, string) {
	t.Helper()
	program := sftpServer(t)
	dir := t.TempDir()
	cfg.Dir = dir
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	cfg.Transport = func(context.Context) (pool.Conn, error) { return newPipes(program), nil }
	return connect(t, cfg), dir
}

// connect gives a Pool that is connected, and must be able to close.
func connect(t testing.TB, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestContractOnOpenSSH(t *testing.T) {
	remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
		p, dir := openPool(t, pool.Config{})
		return remotetest.Fixture{Remote: p, Path: dir, Capabilities: remotetest.OpenSSH()}
	})
}

func TestContractOnOneConnection(t *testing.T) {
	remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
		p, dir := openPool(t, pool.Config{MaxConnections: 1})
		return remotetest.Fixture{Remote: p, Path: dir, Capabilities: remotetest.OpenSSH()}
	})
}
