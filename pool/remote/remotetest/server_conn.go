package remotetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// errCut is what both ends see of a connection that is gone.
var errCut = fmt.Errorf("connection lost: %w", syscall.ECONNRESET)

// A Conn is one connection to a Server: what pool.Config.Transport gives.
type Conn struct {
	server *Server
	id     int
	done   chan struct{}

	// guarded by server.mu
	sessions []*session
	opened   int
	last     time.Time
	ended    bool
	frozen   bool
}

// OpenSFTP opens one more session.
func (c *Conn) OpenSFTP(ctx context.Context) (io.ReadWriteCloser, error) {
	if err := c.pass(ctx, 3*c.server.Latency); err != nil {
		return nil, err
	}
	c.touch()
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.ended {
		return nil, errCut
	}
	if n := c.server.MaxSessions; n > 0 && len(c.sessions) >= n {
		return nil, errors.New("ssh: rejected: administratively prohibited (open failed)")
	}
	c.opened++
	s := newSession(c, c.id*100+c.opened)
	c.sessions = append(c.sessions, s)
	c.server.routines.Go(s.serve)
	return &channel{conn: c, session: s}, nil
}

// Ping waits for an answer of the connection, which scripts do not hold up.
func (c *Conn) Ping(ctx context.Context) error {
	if err := c.pass(ctx, c.server.Latency); err != nil {
		return err
	}
	c.touch()
	return nil
}

// pass waits as Server.pass does, and for as long as the connection is frozen.
func (c *Conn) pass(ctx context.Context, d time.Duration) error {
	if err := c.server.pass(ctx, c.done, d); err != nil {
		return err
	}
	c.server.mu.Lock()
	frozen, ended := c.frozen, c.ended
	c.server.mu.Unlock()
	if ended {
		return errCut
	}
	if !frozen {
		return nil
	}
	select {
	case <-c.done:
		return errCut
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Conn) touch() {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.last = time.Now()
}

// LastByte is when the client got the last byte.
func (c *Conn) LastByte() time.Time {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.last
}

// Abort ends the connection as a reset does.
func (c *Conn) Abort() { c.cut() }

// Close ends the connection.
func (c *Conn) Close() error {
	c.cut()
	return nil
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Server is the identification of the server.
func (c *Conn) Server() string { return c.server.Identification }

func (c *Conn) cut() {
	c.server.mu.Lock()
	if c.ended {
		c.server.mu.Unlock()
		return
	}
	c.ended = true
	sessions := c.sessions
	delete(c.server.conns, c)
	close(c.done)
	c.server.mu.Unlock()
	for _, s := range sessions {
		s.up.cut(errCut)
		s.down.cut(errCut)
	}
}

// forget takes a session that has ended off the connection.
func (c *Conn) forget(s *session) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	for i, other := range c.sessions {
		if other == s {
			c.sessions = append(c.sessions[:i:i], c.sessions[i+1:]...)
			return
		}
	}
}

// channel is the client's end of a session.
type channel struct {
	conn    *Conn
	session *session
	close   sync.Once
}

func (c *channel) Read(p []byte) (int, error) {
	n, err := c.session.down.Read(p)
	if n > 0 {
		c.conn.touch()
	}
	return n, err
}

func (c *channel) Write(p []byte) (int, error) { return c.session.up.Write(p) }

// Close ends the session: what was written is still executed.
func (c *channel) Close() error {
	c.session.up.end()
	c.session.down.cut(os.ErrClosed)
	c.close.Do(func() { close(c.session.gone) })
	return nil
}
