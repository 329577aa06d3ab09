package pool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// A Conn is one connection to the server: SFTP sessions on one stream. The
// pool's own is SSH over TCP; tests bring theirs.
type Conn interface {
	// OpenSFTP opens a channel with the sftp subsystem on it.
	OpenSFTP(ctx context.Context) (io.ReadWriteCloser, error)
	// Ping asks the server for any answer.
	Ping(ctx context.Context) error
	// LastByte is when the last byte came from the server.
	LastByte() time.Time
	// Abort ends the connection so that nothing more leaves from here.
	Abort()
	// Close ends the connection in order.
	Close() error
	// Done is closed when the connection has ended.
	Done() <-chan struct{}
	// Server is the identification string of the server.
	Server() string
}

// readBuffer is what one read from the socket may bring. x/crypto/ssh reads
// 4 KiB at a time on its own; with this one connection carries a third more.
const readBuffer = 256 << 10

// A wire is the stream below SSH. It counts bytes and remembers when the last
// one came, which is how a stalled connection is told from a slow answer.
type wire struct {
	net.Conn
	in       *bufio.Reader         // read by x/crypto/ssh's one reader
	lastByte atomic.Int64          // nanoseconds since start, monotonic
	broken   atomic.Pointer[error] // the first error of reading
	start    time.Time
	reads    int // so far, up to promptReads
}

// promptReads is how many reads are acknowledged at once, which covers a login. Before
// it starts a program, sshd does not send a packet while a small one is not
// acknowledged, and Linux may take 40 ms for that.
const promptReads = 64

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c, start: time.Now()}
	w.in = bufio.NewReaderSize(stamped{w}, readBuffer)
	return w
}

// stamped is the raw stream under the buffer.
type stamped struct{ w *wire }

func (s stamped) Read(p []byte) (int, error) {
	if s.w.reads < promptReads {
		s.w.reads++
		acknowledge(s.w.Conn)
	}
	n, err := s.w.Conn.Read(p)
	if n > 0 {
		s.w.lastByte.Store(int64(time.Since(s.w.start)))
	}
	if err != nil {
		why := err // not err itself: that would then be allocated in each call
		s.w.broken.CompareAndSwap(nil, &why)
	}
	return n, err
}

// acknowledge sends what acknowledgement is due, where the stream is TCP's.
func acknowledge(c net.Conn) {
	if within, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = within.NetConn()
	}
	socket, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}

func (w *wire) Read(p []byte) (int, error) { return w.in.Read(p) }

// sshConn is the Conn over SSH.
type sshConn struct {
	wire    *wire
	client  *ssh.Client
	sftp    string // Config.SFTP
	done    chan struct{}
	endOnce sync.Once
}

// loginGrace is for a login that nobody waits for any more to end in order: sshd keeps
// those away for a while whose connections end in the middle of it, again and again
// (PerSourcePenalties), as when something is mounted and unmounted at once.
const loginGrace = 500 * time.Millisecond

// dialSSH connects and authenticates. ctx bounds all of it: x/crypto/ssh's own
// Timeout covers the dial alone, so the handshake gets the context's deadline
// and is cut soon after the context ends.
func (c Config) dialSSH(ctx context.Context) (Conn, error) {
	raw, err := c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	conf, err := c.SSH(ctx, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	w := newWire(raw)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(loginGrace, func() { reset(raw) }) })
	sc, chans, reqs, err := ssh.NewClientConn(w, c.Addr, conf)
	if !stop() && err == nil {
		err = ctx.Err()
		_ = sc.Close()
	}
	if err != nil {
		_ = raw.Close()
		return nil, w.whyNot(ctx, err)
	}
	s := &sshConn{wire: w, client: ssh.NewClient(sc, chans, reqs), sftp: c.SFTP, done: make(chan struct{})}
	go func() {
		_ = s.client.Wait()
		s.end()
	}()
	return s, nil
}

// whyNot tells what a failed handshake means. x/crypto/ssh takes a connection
// that breaks during authentication for a method that was refused, and goes on
// to the next: only the stream knows better, and whoever was refused is not to
// come back.
func (w *wire) whyNot(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("no answer in time: %w", context.Cause(ctx))
	}
	broken := w.broken.Load()
	if broken == nil || errors.Is(*broken, net.ErrClosed) || strings.Contains(err.Error(), "ssh: disconnect, reason") {
		return err
	}
	if strings.Contains(err.Error(), (*broken).Error()) {
		return fmt.Errorf("connection lost during the handshake: %w", *broken)
	}
	return fmt.Errorf("connection lost during the handshake: %w (%v)", *broken, err)
}

func (s *sshConn) end() { s.endOnce.Do(func() { close(s.done) }) }

func (s *sshConn) OpenSFTP(ctx context.Context) (io.ReadWriteCloser, error) {
	type opened struct {
		ch  *channel
		err error
	}
	result := make(chan opened, 1)
	go func() {
		ch, err := s.openSFTP()
		result <- opened{ch, err}
	}()
	select {
	case o := <-result:
		if o.err != nil {
			return nil, o.err
		}
		return o.ch, nil
	case <-ctx.Done():
		go func() {
			if o := <-result; o.err == nil {
				_ = o.ch.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func (s *sshConn) openSFTP() (*channel, error) {
	ch, reqs, err := s.client.OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(reqs)
	c := &channel{Channel: ch, silent: make(chan struct{})}
	// The server's standard error would fill the window when nobody read it.
	go func() {
		defer close(c.silent)
		_, _ = io.Copy(&c.said, ch.Stderr())
	}()
	request := "subsystem"
	if strings.ContainsAny(s.sftp, "/ ") {
		request = "exec"
	}
	ok, err := ch.SendRequest(request, true, ssh.Marshal(struct{ Name string }{s.sftp}))
	if err == nil && !ok {
		err = &NoSFTPError{Said: "it refuses to start " + s.sftp, Err: io.EOF}
	}
	if err != nil {
		_ = ch.Close()
		return nil, err
	}
	return c, nil
}

// A channel is a session's stream, with the beginning of what the server wrote to
// standard error: when SFTP does not begin, that says why.
type channel struct {
	ssh.Channel
	said   words
	silent chan struct{} // closed at the end of standard error
}

// Said waits a moment for the end of standard error: it comes by another way than
// the end of the stream.
func (c *channel) Said() string {
	select {
	case <-c.silent:
	case <-time.After(200 * time.Millisecond):
	}
	return c.said.String()
}

// words keeps the first kilobytes of what is written to it.
type words struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b[:min(len(b), 4096-len(w.text))]...)
	return len(b), nil
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(strings.Fields(string(w.text)), " ")
}

// A NoSFTPError is a server that was logged in to and does not start SFTP.
type NoSFTPError struct {
	Said string // what it wrote to standard error, or what is known otherwise
	Err  error
}

func (e *NoSFTPError) Error() string { return "SFTP does not start on the server: " + e.Said }
func (e *NoSFTPError) Unwrap() error { return e.Err }

func (s *sshConn) Ping(ctx context.Context) error {
	result := make(chan error, 1)
	go func() {
		_, _, err := s.client.SendRequest("keepalive@openssh.com", true, nil)
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sshConn) LastByte() time.Time {
	return s.wire.start.Add(time.Duration(s.wire.lastByte.Load()))
}

func (s *sshConn) Abort() {
	reset(s.wire.Conn)
	s.end()
}

// reset closes a stream so that what the kernel still holds for it is thrown
// away rather than delivered late.
func reset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Close()
}

func (s *sshConn) Close() error { return s.client.Close() }

func (s *sshConn) Done() <-chan struct{} { return s.done }

func (s *sshConn) Server() string { return string(s.client.ServerVersion()) }
