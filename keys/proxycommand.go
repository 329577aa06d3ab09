package keys

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialCommand runs the proxy command, by the user's shell as ssh does, with one end
// of a socket pair as its standard input and output, so that the other end is a
// connection with deadlines. It runs in a session of its own: a Ctrl-C at the
// terminal must not cut a connection that data is still being written through.
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
	cmd := exec.Command(userShell(), "-c", "exec "+c.proxyCommand)
	said := &tail{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, said
	cmd.WaitDelay = time.Second // what it started may keep standard error open
	cmd.Dir, cmd.SysProcAttr = WorkingFolder(c.cfg.Dir), &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("proxy command: %w", err)
	}
	p := watchProcess(cmd, said)
	return c.pending.add(&conn{Conn: nc, client: c, timed: true, done: p.end, why: p.why}), nil
}

// WorkingFolder is where a command is run: where we were started, or the root when that
// is no more. A mount lives longer than some folders, and its commands mostly need none.
func WorkingFolder(dir string) string {
	if info, err := os.Stat(dir); dir != "" && (err != nil || !info.IsDir()) {
		return "/"
	}
	return dir
}

// A proxyProcess is a running proxy command.
type proxyProcess struct {
	cmd   *exec.Cmd
	said  *tail
	ended chan struct{} // closed when its exit status was taken
}

func watchProcess(cmd *exec.Cmd, said *tail) *proxyProcess {
	p := &proxyProcess{cmd, said, make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // that it ended is seen on the connection
	}()
	return p
}

// why tells what a command that has ended said, and how it ended. One that lives
// has nothing to do with the end of the stream.
func (p *proxyProcess) why(err error) error {
	select {
	case <-p.ended:
	case <-time.After(time.Second):
		return err
	}
	text := p.cmd.ProcessState.String()
	if words := p.said.clean(); words != "" {
		text += ": " + words
	}
	return &proxyEnd{text, err}
}

// A proxyEnd is the end of a stream, in the words of the command that carried it.
type proxyEnd struct {
	text string
	err  error
}

func (e *proxyEnd) Error() string { return "the proxy command ended, " + e.text }
func (e *proxyEnd) Unwrap() error { return e.err }

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

// A tail passes on what a command writes to its standard error, and keeps the
// last of it for a message.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

// maxSaid bounds what is kept.
const maxSaid = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.text = append(t.text, b...)
	if over := len(t.text) - maxSaid; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	t.mu.Unlock()
	return os.Stderr.Write(b)
}

// clean gives it in one line, without what moves a terminal's cursor.
func (t *tail) clean() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(printable(string(t.text))), " ")
}
