package keys

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A conn is a connection to the server as Dial returns it. It adds two things
// to the one it wraps.
//
// Its deadline stands still while the user is being asked something: a
// handshake may have thirty seconds, a person looking for a one-time code needs
// longer. And it keeps deadlines also where the transport cannot (a channel
// through a jump host): there, passing one closes the connection.
type conn struct {
	net.Conn
	client *Client // whose configuration it was made by
	owner  *openConns
	timed  bool              // the transport keeps deadlines itself
	under  net.Conn          // the first hop's connection, where this one goes through others; else nil
	done   func()            // ends what carried the connection; may be nil
	why    func(error) error // says why the carrier ended, when it has; may be nil

	mu       sync.Mutex
	deadline time.Time     // guarded by mu: as the caller set it
	left     time.Duration // guarded by mu: what was left of it when paused; 0 when not paused
	timer    *time.Timer   // guarded by mu: for transports without deadlines
	expired  bool          // guarded by mu
	closed   bool          // guarded by mu
}

// openConns are the connections of a client whose deadlines may have to wait.
type openConns struct {
	mu     sync.Mutex
	conns  map[*conn]struct{} // guarded by mu
	paused int                // guarded by mu: questions open
}

func (o *openConns) add(c *conn) *conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.owner = o
	o.conns[c] = struct{}{}
	return c
}

func (o *openConns) remove(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}

func (o *openConns) pause() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paused++
	if o.paused == 1 {
		for c := range o.conns {
			c.hold()
		}
	}
}

func (o *openConns) resume() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paused--
	if o.paused == 0 {
		for c := range o.conns {
			c.release()
		}
	}
}

func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.IsZero() || c.left > 0 {
		return
	}
	if c.left = time.Until(c.deadline); c.left <= 0 {
		c.left = 0
		return
	}
	_ = c.apply(time.Time{})
}

func (c *conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return
	}
	c.deadline = time.Now().Add(c.left)
	c.left = 0
	_ = c.apply(c.deadline)
}

// apply sets the deadline on the transport. Called with mu held.
func (c *conn) apply(t time.Time) error {
	if c.timed {
		return c.Conn.SetDeadline(t)
	}
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if !t.IsZero() && !c.closed {
		c.timer = time.AfterFunc(time.Until(t), c.expire)
	}
	return nil
}

func (c *conn) expire() {
	c.mu.Lock()
	c.expired = true
	c.mu.Unlock()
	_ = c.Close()
}

// SetDeadline bounds reads and writes, as net.Conn says.
func (c *conn) SetDeadline(t time.Time) error {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.left = t, 0
	if c.owner.paused > 0 && !t.IsZero() {
		c.left = max(time.Until(t), time.Nanosecond)
		return c.apply(time.Time{})
	}
	return c.apply(t)
}

// SetReadDeadline bounds reads; through a jump host it bounds both directions.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.timed {
		return c.Conn.SetReadDeadline(t)
	}
	return c.SetDeadline(t)
}

// SetWriteDeadline bounds writes; through a jump host it bounds both directions.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.timed {
		return c.Conn.SetWriteDeadline(t)
	}
	return c.SetDeadline(t)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.why != nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		err = c.why(err)
	}
	return n, c.explain(err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.why != nil && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		err = c.why(err)
	}
	return n, c.explain(err)
}

func (c *conn) explain(err error) error {
	if err == nil || c.timed {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expired {
		return os.ErrDeadlineExceeded
	}
	return err
}

// SetLinger is TCP's, for a connection that is to be reset instead of closed.
// Through jump hosts it is the first one's connection that is reset; on other
// transports it does nothing.
func (c *conn) SetLinger(seconds int) error {
	on := c.Conn
	if c.under != nil {
		on = c.under
	}
	if tcp, ok := on.(interface{ SetLinger(int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// NetConn is the connection underneath.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Close ends the connection and what carried it: the proxy command, or the
// connections to the jump hosts. The carrier goes first, as closing a channel
// on a dead carrier could wait for it.
func (c *conn) Close() error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if !again {
		c.owner.remove(c)
	}
	if c.done == nil {
		return c.Conn.Close()
	}
	if !again {
		c.done()
	}
	_ = c.Conn.Close() // with its carrier gone, this can only complain of that
	return nil
}
