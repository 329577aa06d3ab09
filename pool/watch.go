package pool

import (
	"context"
	"slices"
	"time"
)

// A resumed machine shows in the wall clock having gone further than the
// monotonic one, which stands still during suspend.
const suspendJump = 5 * time.Second

// probeTime is how long a connection may take to answer after a suspend.
const probeTime = 5 * time.Second

// health is what watch remembers of a connection between two looks at it.
type health struct {
	owedSince time.Time // since when an answer is outstanding; zero when none is
	pinged    time.Time // when the last ping left
	pinging   chan error
	proved    time.Time // when the last ping left that was answered
}

// watch looks after the connections: a dead one is abandoned, an idle one
// closed, and after a suspend all are tested.
func (p *Pool) watch() {
	tick := min(max(p.cfg.Timeout/20, 20*time.Millisecond), time.Second)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	known := make(map[*conn]*health)
	last := time.Now()
	for {
		select {
		case <-p.life.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if now.Round(0).Sub(last.Round(0))-now.Sub(last) > suspendJump {
			p.resumed()
		}
		last = now
		p.look1(now, known)
	}
}

// look1 is one look at every connection.
func (p *Pool) look1(now time.Time, known map[*conn]*health) {
	p.mu.Lock()
	conns := append([]*conn(nil), p.conns...)
	p.mu.Unlock()
	current := make(map[*conn]*health, len(conns))
	spare := len(conns) > 1 && p.slots.isWanted()
	for i, c := range conns {
		h := known[c]
		if h == nil {
			h = &health{pinged: now}
		}
		current[c] = h
		p.lookAtSessions(c, h, now)
		switch {
		case p.isDead(c, h, now):
			p.log.Warn("no byte from the server, connection abandoned", "timeout", p.cfg.Timeout)
			p.dropConn(c)
		case (i > 0 || p.resting.Load()) && p.isIdle(c, now, spare):
			spare = false
			p.retire(c)
		}
	}
	clear(known)
	for c, h := range current {
		known[c] = h
	}
}

// isDead reports whether a connection has owed an answer for the timeout
// without a byte. It sends a ping when the connection has been silent for a
// while, so that a slow answer is not taken for a dead peer.
func (p *Pool) isDead(c *conn, h *health, now time.Time) bool {
	if h.pinging != nil {
		select {
		case err := <-h.pinging:
			h.pinging = nil
			if err == nil {
				h.proved = h.pinged
			}
		default:
		}
	}
	lastByte := c.conn.LastByte()
	if c.outstanding() == 0 && h.pinging == nil {
		h.owedSince = time.Time{}
	} else if h.owedSince.IsZero() {
		h.owedSince = now
	}
	quiet := p.cfg.Timeout / 2
	if !h.owedSince.IsZero() {
		quiet = p.cfg.Timeout / 4
	}
	if now.Sub(lastByte) > quiet && now.Sub(h.pinged) > quiet {
		p.ping(c, h, now)
	}
	return !h.owedSince.IsZero() && now.Sub(h.owedSince) > p.cfg.Timeout && now.Sub(lastByte) > p.cfg.Timeout
}

// ping has the server answer something, unless that is under way.
func (p *Pool) ping(c *conn, h *health, now time.Time) {
	if h.pinging != nil {
		return
	}
	h.pinged = now
	h.pinging = make(chan error, 1)
	result := h.pinging
	p.tasks.Go(func() { result <- c.conn.Ping(p.life) })
}

// lookAtSessions drops those that are of no more use although their connection
// lives: they stopped in the middle of a packet, or owe nothing but answers that
// nobody waits for any more.
func (p *Pool) lookAtSessions(c *conn, h *health, now time.Time) {
	p.mu.Lock()
	sessions := slices.Clone(c.sessions)
	p.mu.Unlock()
	for _, s := range sessions {
		last, partial := s.client.Partial()
		oldest := s.client.Oldest()
		switch {
		case partial && now.Sub(last) > p.cfg.Timeout && h.proved.After(last):
			p.log.Warn("the server stopped in the middle of an answer, session dropped", "timeout", p.cfg.Timeout)
			p.dropSession(s)
		case partial && now.Sub(last) > p.cfg.Timeout/4 && !h.proved.After(last):
			p.ping(c, h, now)
		case !oldest.IsZero() && now.Sub(oldest) > 2*p.cfg.Timeout && !s.client.Awaited():
			p.log.Warn("no answer from the server, session dropped", "after", now.Sub(oldest))
			p.dropSession(s)
		}
	}
}

// outstanding counts the requests of a connection that are unanswered.
func (c *conn) outstanding() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	n := 0
	for _, s := range c.sessions {
		n += s.client.Outstanding()
	}
	if c.opening > 0 {
		n++
	}
	return n
}

// isIdle reports whether a connection has been without work long enough to be
// closed; at once, where somebody else has none.
func (p *Pool) isIdle(c *conn, now time.Time, wanted bool) bool {
	busy := c.outstanding() > 0
	p.mu.Lock()
	defer p.mu.Unlock()
	resting := p.resting.Load()
	for _, s := range c.sessions {
		busy = busy || s.handles.Load() > 0 && !resting
	}
	switch {
	case busy:
		c.idleFrom = time.Time{}
	case c.idleFrom.IsZero():
		c.idleFrom = now
	}
	idle := p.cfg.Idle
	if resting {
		idle = restIdle
	}
	return !busy && (wanted || now.Sub(c.idleFrom) > idle)
}

// restIdle is for how long a connection is kept that is only kept in case.
const restIdle = 5 * time.Second

// Rest has the Pool keep no connection without work from now on, not even for files
// that are open: those are opened again when they are used.
func (p *Pool) Rest() { p.resting.Store(true) }

// retire closes a connection in order.
func (p *Pool) retire(c *conn) {
	p.mu.Lock()
	p.forget(c)
	p.mu.Unlock()
	_ = c.conn.Close()
	c.end()
}

// resumed tests every connection before it is used again.
func (p *Pool) resumed() {
	p.log.Info("resumed from suspend, testing connections")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.suspect = true
		p.tasks.Go(func() { p.probe(c) })
	}
	p.wake()
}

func (p *Pool) probe(c *conn) {
	ctx, cancel := context.WithTimeout(p.life, min(probeTime, p.cfg.Timeout))
	defer cancel()
	if err := c.conn.Ping(ctx); err != nil {
		p.dropConn(c)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.suspect = false
	p.broadcast()
}
