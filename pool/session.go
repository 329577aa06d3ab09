package pool

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// A lane is a kind of work that must not wait for other kinds.
type lane int

const (
	laneLook       lane = iota // metadata that somebody waits for
	laneFile                   // opening files, small data
	laneBackground             // nobody waits
	laneBulk                   // large data
)

func laneOf(ctx context.Context, l lane) lane {
	if IsBackground(ctx) {
		return laneBackground
	}
	return l
}

// A conn is a connection with its sessions.
type conn struct {
	pool    *Pool
	conn    Conn
	release func() // gives the slot back
	endOnce sync.Once

	sessions []*session // guarded by Pool.mu
	opening  int        // guarded by Pool.mu; sessions being opened
	suspect  bool       // guarded by Pool.mu; to be tested before use
	idleFrom time.Time  // guarded by Pool.mu; zero while there is work

	interactive atomic.Bool  // the first connection, kept free of large data
	rtt         atomic.Int64 // least time that opening a file took, ns; 0 before
}

// answered notes how long a file took to open: hardly more than the link's round
// trip, once in a while.
func (c *conn) answered(took time.Duration) {
	for {
		least := c.rtt.Load()
		if least > 0 && least <= int64(took) || c.rtt.CompareAndSwap(least, int64(took)) {
			return
		}
	}
}

// A session is one SFTP channel.
type session struct {
	conn    *conn
	client  *sftp3.Client
	ordered bool         // the server executes its requests in the order sent
	pending atomic.Int64 // bytes of data under way
	handles atomic.Int64 // open handles
}

func (s *session) alive() bool { return s.client.Err() == nil }

// end gives back what the connection held.
func (c *conn) end() {
	c.endOnce.Do(func() {
		for _, s := range c.takeSessions() {
			_ = s.client.Close()
		}
		c.release()
	})
}

func (c *conn) takeSessions() []*session {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	all := c.sessions
	c.sessions = nil
	return all
}

// openSession opens one more channel on the connection.
func (p *Pool) openSession(ctx context.Context, c *conn) (*session, error) {
	ch, err := c.conn.OpenSFTP(ctx)
	if err != nil {
		return nil, err
	}
	client, err := sftp3.New(ctx, ch, p.knownLimits())
	if err != nil {
		if talker, ok := ch.(interface{ Said() string }); ok && ctx.Err() == nil {
			if said := talker.Said(); said != "" {
				err = &NoSFTPError{Said: said, Err: err}
			}
		}
		return nil, err
	}
	s := &session{conn: c, client: client, ordered: isOpenSSH(c.conn.Server())}
	client.InOrder = s.ordered
	p.mu.Lock()
	p.counted[s] = struct{}{}
	p.mu.Unlock()
	p.tasks.Go(func() {
		select {
		case <-client.Done():
		case <-p.life.Done():
		}
		p.dropSession(s)
		p.settleCount(s)
	})
	return s, nil
}

// settleCount keeps what a session that has ended has counted.
func (p *Pool) settleCount(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.counted, s)
	p.count.requests += s.client.Stats().Requests
}

// knownLimits are those of a session there is, which further ones of the same server
// have too; nil when there is none.
func (p *Pool) knownLimits() *sftp3.Known {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if len(c.sessions) > 0 {
			return c.sessions[0].client.Known()
		}
	}
	return nil
}

// isOpenSSH reports whether a server is known to execute one session's requests
// in the order they were sent.
func isOpenSSH(identification string) bool {
	_, software, _ := strings.Cut(strings.TrimPrefix(identification, "SSH-"), "-")
	return strings.HasPrefix(software, "OpenSSH")
}

// dropSession forgets a session that has ended. A connection without any is of
// no use.
func (p *Pool) dropSession(s *session) {
	p.mu.Lock()
	c := s.conn
	for i, other := range c.sessions {
		if other == s {
			c.sessions = append(c.sessions[:i:i], c.sessions[i+1:]...)
			break
		}
	}
	last := len(c.sessions) == 0 && c.opening == 0
	p.broadcast()
	p.mu.Unlock()
	s.client.Abort(fs.ErrClosed)
	if last {
		p.dropConn(c)
	}
}

// dropConn abandons a connection: nothing more leaves on it.
func (p *Pool) dropConn(c *conn) {
	p.mu.Lock()
	had := len(p.conns)
	for i, other := range p.conns {
		if other == c {
			p.conns = append(p.conns[:i:i], p.conns[i+1:]...)
			p.rank()
			break
		}
	}
	if had > 0 && len(p.conns) == 0 && p.state == StateConnected {
		p.setState(StateConnecting, nil)
		p.startRedial()
	}
	p.broadcast()
	p.mu.Unlock()
	c.conn.Abort()
	c.end()
}

// pick chooses a live session for a kind of work, nil when there is none; mu is
// held. It also asks for more where this work should have its own.
func (p *Pool) pick(l lane) *session {
	var first *conn
	for _, c := range p.conns {
		if !c.suspect && len(c.sessions) > 0 {
			first = c
			break
		}
	}
	if first == nil {
		return nil
	}
	switch l {
	case laneLook:
		return first.sessions[0]
	case laneFile:
		p.growSessions(first, 2)
		return first.sessions[min(1, len(first.sessions)-1)]
	}
	best := p.leastLoaded(first)
	if best == nil {
		p.growConns(2, 1)
		p.growSessions(first, 3)
		return first.sessions[len(first.sessions)-1]
	}
	return best
}

// leastLoaded is the session with the fewest bytes under way outside the
// interactive connection; mu is held.
func (p *Pool) leastLoaded(except *conn) *session {
	var best *session
	for _, c := range p.conns {
		if c == except || c.suspect {
			continue
		}
		for _, s := range c.sessions {
			if best == nil || s.pending.Load() < best.pending.Load() {
				best = s
			}
		}
	}
	return best
}

// session waits for a session to send on. The wait is bounded by w.
func (p *Pool) session(ctx context.Context, l lane, w *waiter) (*session, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.mu.Lock()
		var s *session
		if p.state != StateDisabled && p.state != StateClosed {
			s = p.pick(l)
		}
		if s == nil && p.state == StateConnecting && time.Since(p.since) >= p.cfg.Timeout {
			p.setState(StateAway, nil)
		}
		state, changed := p.state, p.changed
		if s == nil && state == StateConnected {
			// The last connection is gone, or waits to be tested after a suspend.
			if len(p.conns) == 0 {
				p.setState(StateConnecting, nil)
			}
			changed = p.changed
		}
		if s == nil && (state == StateConnected || state == StateConnecting) {
			p.startRedial()
		}
		p.mu.Unlock()
		if s != nil {
			return s, nil
		}
		if err := w.refuse(state); err != nil {
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.expired():
			return nil, errAway
		}
	}
}

// lostRequest reports whether a request was not answered.
func lostRequest(err error) bool { return errors.Is(err, sftp3.ErrLost) }
