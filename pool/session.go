package pool

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// A conn is a connection with its sessions.
type conn struct {
	pool    *Pool
	conn    Conn
	release func() // gives the slot back
	born    time.Time
	endOnce sync.Once

	sessions []*session // guarded by Pool.mu
	opening  int        // guarded by Pool.mu; sessions being opened
	suspect  bool       // guarded by Pool.mu; to be tested before use
	idleFrom time.Time  // guarded by Pool.mu; zero while there is work
	ends     int        // guarded by Pool.mu; sessions in a row that soon ended while it lived

	interactive atomic.Bool  // the first connection, kept free of large data where there are others
	rtt         atomic.Int64 // least time that an answer took, ns; 0 before
}

// answered notes how long a file took to open, or a question without work to be
// answered: hardly more than the link's round trip, once in a while.
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
	born    time.Time
	ordered bool         // the server executes its requests in the order sent
	pending atomic.Int64 // bytes of data under way
	handles atomic.Int64 // open handles
}

func (s *session) alive() bool { return s.client.Err() == nil }

// overdue is for how long a session has owed an answer, when that is so long that
// others had better be asked elsewhere; else 0.
func (s *session) overdue(now time.Time) time.Duration {
	oldest := s.client.Oldest()
	if oldest.IsZero() {
		return 0
	}
	if d := now.Sub(oldest); d > max(time.Second, 8*time.Duration(s.conn.rtt.Load())) {
		return d
	}
	return 0
}

func (s *session) isSlow(now time.Time) bool { return s.overdue(now) > 0 }

// end gives back what the connection held.
func (c *conn) end() {
	c.endOnce.Do(func() {
		for _, s := range c.takeSessions() {
			_ = s.client.Close()
		}
		c.pool.logins.lived(c.born)
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

// openSession opens one more channel on the connection. What first asks, which may be
// nil, is asked together with what every session asks at its beginning.
func (p *Pool) openSession(ctx context.Context, c *conn, first func(*session)) (*session, error) {
	ch, err := c.conn.OpenSFTP(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{conn: c, born: time.Now()}
	var asked time.Time // for its limits, if it was
	client, err := sftp3.New(ctx, ch, func(client *sftp3.Client) *sftp3.Known {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.starts.took(time.Since(s.born))
		s.client, s.ordered = client, !p.disordered && keepsOrder(c.conn.Server(), client)
		client.InOrder = s.ordered
		if first != nil {
			first(s)
		}
		known := p.knownLimits()
		if _, ok := client.Extension(sftp3.ExtLimits); ok && known == nil {
			asked = time.Now()
		}
		return known
	})
	if errors.Is(err, sftp3.ErrOvertaken) {
		p.orderLost() // which is believed of no session any more
		return p.openSession(ctx, c, first)
	}
	if err != nil {
		if talker, ok := ch.(interface{ Said() string }); ok && ctx.Err() == nil {
			if said := talker.Said(); said != "" {
				err = &NoSFTPError{Said: said, Err: err}
			}
		}
		return nil, err
	}
	if !asked.IsZero() {
		c.answered(time.Since(asked))
	}
	p.mu.Lock()
	p.counted[s] = struct{}{}
	p.mu.Unlock()
	p.spawn(func() { // a person may have it dial while the Pool ends
		select {
		case <-client.Done():
		case <-p.life.Done():
		}
		if errors.Is(client.Err(), sftp3.ErrOvertaken) {
			p.orderLost()
		}
		if err := client.Err(); p.violations.note(err) {
			p.log.Warn("the server does not keep to SFTP; its session is ended", "error", err)
		}
		p.dropSession(s)
		p.settleCount(s)
	}, nil)
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
// have too; nil when there is none. mu is held.
func (p *Pool) knownLimits() *sftp3.Known {
	for _, c := range p.conns {
		if len(c.sessions) > 0 {
			return c.sessions[0].client.Known()
		}
	}
	return nil
}

// keepsOrder reports whether a server is known to execute one session's requests
// in the order they were sent: sshd's banner alone does not say which program is its
// sftp subsystem.
func keepsOrder(identification string, client *sftp3.Client) bool {
	_, software, _ := strings.Cut(strings.TrimPrefix(identification, "SSH-"), "-")
	_, own := client.Extension(sftp3.ExtFstatVFS)
	return strings.HasPrefix(software, "OpenSSH") && own
}

// orderLost is called when a server that was taken to keep order does not. That is
// never believed again, and what was sent in that belief is looked at.
func (p *Pool) orderLost() {
	p.mu.Lock()
	if p.disordered {
		p.mu.Unlock()
		return
	}
	p.disordered, p.info.Ordered = true, false
	var believed []*session
	for _, c := range p.conns {
		believed = append(believed, c.sessions...)
	}
	p.mu.Unlock()
	p.log.Warn("the server answers out of order; from now on each request waits for the one before", "remote", p.cfg.Addr)
	for _, s := range believed {
		if s.ordered {
			p.dropSession(s)
		}
	}
}

// dropSession forgets a session that has ended. When it was the last of a connection
// that lives, there is a new one on that, without a login.
func (p *Pool) dropSession(s *session) {
	p.mu.Lock()
	c := s.conn
	for i, other := range c.sessions {
		if other == s {
			c.sessions = append(c.sessions[:i:i], c.sessions[i+1:]...)
			p.revive(c, s)
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

// shortLife is how long a session lives that serves its purpose.
const shortLife = 15 * time.Second

// endsIn is how long a server may take to see that a session has ended.
const endsIn = 100 * time.Millisecond

// revive opens a session on a connection that has just lost its last one and goes
// on; after a pause when that has happened before. mu is held.
func (p *Pool) revive(c *conn, lost *session) {
	if c.ends++; time.Since(lost.born) > shortLife {
		c.ends = 1
	}
	if len(c.sessions)+c.opening > 0 || c.ends > 2*maxTries || p.state != StateConnected || !slices.Contains(p.conns, c) {
		return
	}
	select {
	case <-c.conn.Done():
		return
	default:
	}
	c.opening++
	wait := min(pause(c.ends), time.Second) // whoever asks again has pauses of his own
	p.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(p.life, p.cfg.Timeout)
		defer cancel()
		p.grewSession(ctx, c, func() (*session, error) {
			if err := sleep(ctx, wait); err != nil {
				return nil, err
			}
			s, err := p.openSession(ctx, c, nil)
			if err != nil && sleep(ctx, endsIn) == nil {
				s, err = p.openSession(ctx, c, nil) // the one that ended may have counted still
			}
			return s, err
		})
	})
}

// dropConn abandons a connection: nothing more leaves on it.
func (p *Pool) dropConn(c *conn) {
	p.mu.Lock()
	had := len(p.conns)
	p.forget(c)
	if had > 0 && len(p.conns) == 0 && p.state == StateConnected {
		p.setState(StateConnecting, nil)
		p.startRedial()
	}
	p.broadcast()
	p.mu.Unlock()
	c.conn.Abort()
	c.end()
}

// forget takes a connection from those in use; mu is held.
func (p *Pool) forget(c *conn) {
	if i := slices.Index(p.conns, c); i >= 0 {
		p.conns = append(p.conns[:i:i], p.conns[i+1:]...)
		p.rank()
	}
}

// lostRequest reports whether a request was not answered.
func lostRequest(err error) bool { return errors.Is(err, sftp3.ErrLost) }
