package pool

import (
	"context"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A lane is a kind of work that must not wait for other kinds. What is
// opened in the first moments on a short link may.
type lane int

const (
	laneLook       lane = iota // metadata that somebody waits for
	laneFile                   // opening files, small data
	laneBackground             // nobody waits
)

func laneOf(ctx context.Context, l lane) lane {
	if remote.IsBackground(ctx) {
		return laneBackground
	}
	return l
}

// pick chooses a session for a kind of work: one that answers, and is not the one to
// avoid; nil when there is none, or a better one is about to come and may be waited
// for. It gives the one to avoid only when there is no other, and never will be. mu is
// held.
func (p *Pool) pick(l lane, avoid *session, waits bool) *session {
	first, s := p.usual(l)
	now := time.Now()
	if s == nil || s != avoid && !s.isSlow(now) {
		return s
	}
	slow := avoid
	for _, c := range p.conns {
		for _, other := range c.sessions {
			switch {
			case c.suspect || other == avoid:
			case !other.isSlow(now):
				return other
			case slow == avoid || other == s:
				slow = other
			}
		}
	}
	if l != laneBackground && p.another(first) && (waits || slow == avoid) {
		return nil
	}
	return slow
}

// another asks for a session beside those that do not answer, on the same connection
// first, and reports whether one is on its way. mu is held.
func (p *Pool) another(first *conn) bool {
	if first.opening == 0 && p.dialing == 0 {
		p.growSessions(first, len(first.sessions)+1)
	}
	if first.opening == 0 && len(first.sessions) == 1 {
		p.growConns(2, 1)
	}
	return first.opening > 0 || p.dialing > 0
}

// usual is the session that a kind of work has where all answer. It also asks for
// more where this work should have its own; mu is held.
func (p *Pool) usual(l lane) (first *conn, s *session) {
	now := time.Now()
	for _, c := range p.conns {
		if !c.suspect && len(c.sessions) > 0 {
			first = c
			break
		}
	}
	if first == nil {
		return nil, nil
	}
	switch l {
	case laneLook:
		return first, first.sessions[0]
	case laneFile:
		if now.Sub(first.born) > secondAfter || !p.isShort() {
			p.growSessions(first, 2)
		}
		return first, first.sessions[min(1, len(first.sessions)-1)]
	}
	best := p.leastLoaded(first, now)
	if best == nil {
		p.need(false, func() bool { return p.growConns(2, 1) })
		p.need(false, func() bool { return p.growSessions(first, 3) })
		if len(first.sessions) == 1 && first.opening > 0 {
			return first, nil // not in front of what somebody waits for
		}
		best = first.sessions[len(first.sessions)-1]
	}
	return first, best
}

// leastLoaded is the session with the fewest bytes under way outside the
// interactive connection; mu is held.
func (p *Pool) leastLoaded(except *conn, now time.Time) *session {
	var best *session
	least := int64(0)
	for _, c := range p.conns {
		if c == except || c.suspect {
			continue
		}
		for _, s := range c.sessions {
			load := s.pending.Load()
			if s.isSlow(now) {
				load += 1 << 40
			}
			if best == nil || load < least {
				best, least = s, load
			}
		}
	}
	return best
}

// session waits for a session to send on, another than the one to avoid. The wait
// is bounded by w.
func (p *Pool) session(ctx context.Context, l lane, w *waiter, avoid *session) (*session, error) {
	began, better := time.Now(), p.cfg.Timeout/4
	var settle <-chan time.Time
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.mu.Lock()
		var s *session
		if p.state != StateDisabled && p.state != StateClosed {
			s = p.pick(l, avoid, time.Since(began) < better)
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
		switch {
		case s != nil && s == avoid:
			p.dropSession(s) // the server allows one channel in all
			avoid = nil
			continue
		case s != nil:
			return s, nil
		}
		if err := w.refuse(state); err != nil {
			return nil, err
		}
		if settle == nil {
			settle = time.After(better)
		}
		select {
		case <-changed:
		case <-settle:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.expired():
			return nil, errAway
		}
	}
}
