package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ErrNoSlot is what a dial gives when all connections we may have are in use,
// ours or other processes', and none of those can be spared.
var ErrNoSlot = errors.New("all connections to this remote are in use (--max-connections)")

// Backoff between dials while the remote is away.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 15 * time.Second
)

// dial makes one more connection with one session, and adds it. Other sessions
// that it is to have are opened at the same time. ctx bounds it. Where the remote is
// disabled meanwhile the connection is not used, unless a person asked for it.
func (p *Pool) dial(ctx context.Context, sessions int, asked bool) error {
	if err := p.logins.wait(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	take := p.slots.take
	if len(p.conns) == 0 {
		take = func() (func(), error) { return p.slots.want(ctx) }
	}
	p.mu.Unlock()
	release, err := take()
	if err != nil {
		return err
	}
	if release == nil {
		return ErrNoSlot
	}
	t, err := p.cfg.Transport(ctx)
	if err != nil {
		p.logins.lived(time.Time{})
		release()
		return err
	}
	p.meets(t.Server())
	c := &conn{pool: p, conn: t, release: release, born: time.Now(), opening: 1}
	p.mu.Lock()
	for range sessions - 1 {
		p.growSessions(c, sessions)
	}
	p.mu.Unlock()
	if err := p.adopt(ctx, c, asked); err != nil {
		t.Abort()
		c.end()
		return err
	}
	return nil
}

// adopt opens the first session of a connection and makes it one of the pool's.
func (p *Pool) adopt(ctx context.Context, c *conn, asked bool) error {
	var first arrival
	s, err := p.openSession(ctx, c, func(s *session) { first = p.arrive(s) })
	defer first.forget()
	if err == nil {
		err = p.arrived(ctx, s, first)
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.opening--
	if p.state == StateClosed {
		return errClosed
	}
	if p.state == StateDisabled && !asked {
		return errDisabled
	}
	if !s.alive() {
		return fmt.Errorf("the first session ended: %w", s.client.Err())
	}
	c.sessions = append(c.sessions, s)
	if len(p.conns) > 0 {
		c.rtt.CompareAndSwap(0, p.conns[0].rtt.Load()) // its own would be told beside data
	}
	p.conns = append(p.conns, c)
	p.rank()
	p.info.Server = c.conn.Server()
	p.info.Ordered = s.ordered
	p.info.Extensions = s.client.Extensions()
	p.info.MaxOpen = s.client.Limits().MaxHandles
	p.setState(StateConnected, nil)
	p.tasks.Go(func() {
		select {
		case <-c.conn.Done():
			p.dropConn(c)
		case <-p.life.Done():
		}
	})
	return nil
}

// dialAgain is dial without a person to wait for.
func (p *Pool) dialAgain(sessions int) error {
	ctx, cancel := context.WithTimeout(p.life, p.cfg.Timeout)
	defer cancel()
	return p.dial(ctx, sessions, false)
}

// dialFirst dials once, in the caller's time: a person may have to answer first. The
// pool does not dial by itself meanwhile.
func (p *Pool) dialFirst(ctx context.Context) error {
	p.mu.Lock()
	p.redial = true
	p.mu.Unlock()
	err := p.dial(ctx, 1, true)
	p.mu.Lock()
	p.redial = false
	if err == nil && len(p.conns) == 0 && p.state == StateConnecting {
		p.startRedial() // it is gone already, while nobody else was to dial
	}
	p.mu.Unlock()
	return err
}

// startRedial lets one goroutine dial until there is a connection; mu is held.
func (p *Pool) startRedial() {
	if p.redial || p.state == StateClosed || p.state == StateDisabled {
		return
	}
	p.redial = true
	p.tasks.Go(func() {
		p.redialLoop()
		p.mu.Lock()
		p.redial = false
		if len(p.conns) == 0 && (p.state == StateConnected || p.state == StateConnecting) {
			p.setState(StateConnecting, nil)
			p.startRedial()
		}
		p.mu.Unlock()
	})
}

func (p *Pool) redialLoop() {
	start, backoff := time.Now(), firstBackoff
	for p.life.Err() == nil {
		p.mu.Lock()
		over := len(p.conns) > 0 || p.state == StateDisabled
		p.mu.Unlock()
		if over {
			return
		}
		err := p.dialAgain(1)
		if err == nil {
			p.count.reconnects.Add(1)
			p.log.Info("connected", "remote", p.cfg.Addr)
			p.settleLater()
			return
		}
		if p.current() == StateDisabled || p.dialFailed(err, time.Since(start)) {
			return // for what another dial has met
		}
		p.pause(jitter(backoff))
		backoff = min(2*backoff, lastBackoff, max(p.cfg.Timeout/2, firstBackoff))
	}
}

// dialFailed notes why a dial failed and reports whether dialling is to end.
func (p *Pool) dialFailed(err error, tried time.Duration) bool {
	refusal := p.cfg.Refused(err)
	p.mu.Lock()
	closed := p.state == StateClosed
	leaves := tried >= p.cfg.Timeout && p.state == StateConnecting
	p.refused = true
	p.failed++
	switch {
	case closed:
	case refusal != TryAgain:
		p.disable(err)
	case leaves:
		p.setState(StateAway, err)
	default:
		p.setState(p.state, err)
	}
	p.mu.Unlock()
	switch {
	case closed:
		return true
	case refusal != TryAgain:
		p.logDisabled(err)
		return true
	case leaves:
		p.log.Warn("the remote is away", "remote", p.cfg.Addr, "err", err)
	default:
		p.log.Debug("dialling failed", "remote", p.cfg.Addr, "err", err)
	}
	return false
}

// disable ends all use of the remote until Enable; mu is held. What the server
// refused is not asked again, and where another host key has shown up, no
// connection is trusted any more.
func (p *Pool) disable(err error) {
	p.setState(StateDisabled, err)
	for _, c := range p.conns {
		p.tasks.Go(func() { p.dropConn(c) })
	}
}

func (p *Pool) logDisabled(err error) {
	p.log.Error("the remote is disabled", "remote", p.cfg.Addr, "err", err)
}

// jitter spreads dials of many clients: half to all of d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

func (p *Pool) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.nudge:
	case <-p.life.Done():
	}
}

// wake lets the next dial happen now.
func (p *Pool) wake() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// Enable ends the state of being disabled, after the user has accepted a host
// key or mended the credentials.
func (p *Pool) Enable() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == StateDisabled {
		p.setState(StateConnecting, nil)
		p.startRedial()
	}
}

// Reconnect has a connection made now, also where the server refused the last login,
// and gives why not. Nothing is done when there is one.
func (p *Pool) Reconnect(ctx context.Context) error {
	p.mu.Lock()
	if p.state == StateDisabled && !p.redial {
		p.mu.Unlock()
		return p.loginAgain(ctx)
	}
	failed := p.failed
	if len(p.conns) == 0 {
		p.startRedial()
		p.wake()
	}
	for {
		switch {
		case p.state == StateClosed:
			p.mu.Unlock()
			return errClosed
		case len(p.conns) > 0:
			p.mu.Unlock()
			return nil
		case p.failed != failed:
			defer p.mu.Unlock()
			return p.lastErr
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		p.mu.Lock()
	}
}

// loginAgain dials once, in the time of a caller who may have to answer first. What is
// not a refusal is tried again afterwards, as ever.
func (p *Pool) loginAgain(ctx context.Context) error {
	err := p.dialFirst(ctx)
	if err == nil {
		p.count.reconnects.Add(1)
		return nil
	}
	if !p.dialFailed(err, 0) && ctx.Err() == nil {
		p.Enable()
	}
	return err
}

// relearn is how long a lower number of connections that a server lets us have
// is believed.
const relearn = 15 * time.Second

// relearnCap forgets after a while that the server had enough of our connections; mu is
// held.
func (p *Pool) relearnCap() {
	if p.cap < p.cfg.MaxConnections && time.Since(p.capAt) > relearn {
		p.cap = p.cfg.MaxConnections
	}
}

// growConns asks for n connections in all, the next one with so many sessions, and
// reports whether it has started one; mu is held. Two dials at a time at the most, and
// none beside that which reconnects.
func (p *Pool) growConns(n, sessions int) bool {
	p.relearnCap()
	if p.dialing >= 2 || p.redial || !p.logins.spare() || len(p.conns)+p.dialing >= min(n, p.cap) || p.state != StateConnected {
		return false
	}
	p.dialing++
	p.tasks.Go(func() { p.grewConn(p.dialAgain(sessions)) })
	return true
}

// grewConn notes what became of a further connection.
func (p *Pool) grewConn(err error) {
	ended := err == nil || p.life.Err() != nil || p.current() == StateDisabled
	refused := !ended && p.cfg.Refused(err) == HostKeyRefused
	p.mu.Lock()
	p.dialing--
	n := len(p.conns)
	switch {
	case ended:
	case refused:
		p.disable(err)
	default:
		p.cap, p.capAt = max(1, n), time.Now()
	}
	p.broadcast()
	p.mu.Unlock()
	switch {
	case ended:
	case refused:
		p.logDisabled(err)
	default:
		p.log.Info("no further connection for now", "connections", n, "err", err)
	}
}

// growSessions asks for n sessions on a connection, and reports whether it has started
// one; mu is held.
func (p *Pool) growSessions(c *conn, n int) bool {
	if p.perConn < p.cfg.Sessions && time.Since(p.perConnAt) > p.fewerFor && !p.quirks.has(OneSession) {
		p.perConn = p.cfg.Sessions
	}
	if len(c.sessions)+c.opening >= min(n, p.perConn) || p.state != StateConnected {
		return false
	}
	c.opening++
	p.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(p.life, p.cfg.Timeout)
		defer cancel()
		p.grewSession(ctx, c, func() (*session, error) { return p.openSession(ctx, c, nil) })
	})
	return true
}

// grewSession adds what open gives to the connection, in the time of ctx. A server that
// refuses one more is asked again after a while, which doubles: some end the connection.
// A link that stalls says nothing of the server.
func (p *Pool) grewSession(ctx context.Context, c *conn, open func() (*session, error)) {
	s, err := open()
	p.mu.Lock()
	c.opening--
	fewer := 0
	switch {
	case err == nil && s.alive():
		if len(c.sessions) > 0 {
			p.fewerFor = 0
		}
		c.sessions = append(c.sessions, s)
	case err != nil && len(c.sessions) > 0 && ctx.Err() == nil:
		fewer = max(1, len(c.sessions)+c.opening) // the others may yet come
		p.perConn, p.perConnAt, p.fewerFor = fewer, time.Now(), min(max(2*p.fewerFor, relearn), time.Hour)
	}
	empty := len(c.sessions) == 0 && c.opening == 0
	p.broadcast()
	p.mu.Unlock()
	if fewer > 0 {
		p.log.Info("no further session on a connection", "sessions", fewer, "err", err)
	}
	if empty {
		p.dropConn(c)
	}
}
