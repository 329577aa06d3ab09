package keys

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialCommand runs the proxy command with one end of a socket pair as its
// standard input and output, so that the other end is a connection with
// deadlines. It runs in a session of its own: a Ctrl-C at the terminal must not
// cut a connection that data is still being written through.
func (c *Client) dialCommand() (net.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("proxy command: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "proxy"), os.NewFile(uintptr(pair[1]), "proxy")
	defer func() { _ = theirs.Close() }()
	nc, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return nil, fmt.Errorf("proxy command: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", "exec "+c.proxyCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, os.Stderr
	cmd.Dir, cmd.SysProcAttr = c.cfg.Dir, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("proxy command: %w", err)
	}
	return c.pending.add(&conn{Conn: nc, client: c, timed: true, done: watchProcess(cmd).end}), nil
}

// A proxyProcess is a running proxy command.
type proxyProcess struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when its exit status was taken
}

func watchProcess(cmd *exec.Cmd) *proxyProcess {
	p := &proxyProcess{cmd, make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // that it ended is seen on the connection
	}()
	return p
}

// end asks the command, with everything it started, to end, and insists after
// a second.
func (p *proxyProcess) end() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	time.AfterFunc(time.Second, func() {
		select {
		case <-p.ended:
		default:
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		}
	})
}
