package sync

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
)

// openSSH is a Pool over OpenSSH's own sftp-server, on pipes.
func openSSH(t *testing.T, root string) remote.Remote { return openSSHThrough(t, root, nil) }

// openSSHThrough is openSSH with what the server says rewritten on its way.
func openSSHThrough(t *testing.T, root string, rewrite func([]byte)) remote.Remote {
	t.Helper()
	const program = "/usr/lib/openssh/sftp-server"
	if _, err := os.Stat(program); err != nil {
		missing(t, program)
	}
	p, err := pool.New(pool.Config{
		Dir: root, Timeout: 30 * time.Second, SlotDir: t.TempDir(),
		Transport: func(context.Context) (pool.Conn, error) {
			return &piped{program: program, rewrite: rewrite, done: make(chan struct{})}, nil
		},
	})
	must(t, err)
	t.Cleanup(p.Abort)
	must(t, p.Connect(t.Context()))
	return p
}

// piped is a connection whose sessions are processes.
type piped struct {
	program string
	rewrite func([]byte)
	done    chan struct{}
	once    sync.Once

	mu       sync.Mutex
	sessions []*session // guarded by mu
}

type rewritten struct {
	io.Reader
	rewrite func([]byte)
}

func (r rewritten) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.rewrite != nil {
		r.rewrite(p[:n])
	}
	return n, err
}

type session struct {
	io.Reader
	io.WriteCloser
	cmd  *exec.Cmd
	once sync.Once
}

func (s *session) Close() error {
	s.once.Do(func() {
		_ = s.WriteCloser.Close()
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	return nil
}

func (p *piped) OpenSFTP(context.Context) (io.ReadWriteCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.program)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s := &session{Reader: rewritten{out, p.rewrite}, WriteCloser: in, cmd: cmd}
	p.sessions = append(p.sessions, s)
	return s, cmd.Start()
}

func (p *piped) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs error
	for _, s := range p.sessions {
		errs = errors.Join(errs, s.Close())
	}
	p.once.Do(func() { close(p.done) })
	return errs
}

func (p *piped) Ping(context.Context) error { return nil }
func (p *piped) LastByte() time.Time        { return time.Now() }
func (p *piped) Abort()                     { _ = p.Close() }
func (p *piped) Done() <-chan struct{}      { return p.done }
func (p *piped) Server() string             { return "SSH-2.0-OpenSSH_9.2p1" }
