package pool

import "slices"

// maxBulk is how many connections carry large data at the most: with four, two
// fast cores are busy, and the channels' windows hold 32 MiB per round trip.
const maxBulk = 4

// fullSession is the data under way from which a session has no room left in
// its channel window.
const fullSession = 3 << 19

// bulkSession gives a session for large data that is not among taken. Where there is none
// on a bulk connection it asks for so many more, at once when the caller waits for them,
// and gives nil, or a session of the interactive connection: where there may be no other,
// and on a long link until there is one, which takes a dozen round trips. Looks keep the
// first session then.
func (p *Pool) bulkSession(taken []*session, more int, waits bool) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.relearnCap()
	var best, interactive *session
	bulk, full := 0, true
	for i, c := range p.conns {
		if c.suspect {
			continue
		}
		for _, s := range c.sessions {
			free := !slices.Contains(taken, s)
			switch {
			case i == 0 && free && (p.cap == 1 || s != c.sessions[0]):
				interactive = s
			case i > 0 && free && (best == nil || s.pending.Load() < best.pending.Load()):
				best = s
			}
			full = full && (i == 0 || s.pending.Load() >= fullSession)
		}
		if i > 0 {
			bulk++
		}
	}
	switch {
	case best != nil:
		return best
	case len(p.conns) == 0 || p.conns[0].suspect:
		return nil
	case p.cap == 1:
		p.need(waits, func() bool { return p.growSessions(p.conns[0], p.perConn) })
		return interactive
	case !p.isShort():
		p.growBulk(more, bulk, full)
		if bulk > 0 {
			return nil
		}
		p.growSessions(p.conns[0], p.perConn)
		return interactive
	case waits:
		p.growBulk(more, bulk, full)
	default:
		p.need(false, func() bool { return p.growByOne(bulk) })
	}
	return nil
}

// growByOne asks for a connection with one session, which has a process of its own on the
// server, or for a session where there are enough connections or may not be more; it
// reports whether it has started one. mu is held.
func (p *Pool) growByOne(bulk int) bool {
	if bulk+p.dialing < maxBulk && p.growConns(len(p.conns)+p.dialing+1, 1) {
		return true
	}
	return slices.ContainsFunc(p.conns[min(1, len(p.conns)):], func(c *conn) bool {
		return !c.suspect && p.growSessions(c, p.perConn)
	})
}

// growBulk asks for so many more sessions on bulk connections, and for one more
// connection if these cannot have them; mu is held.
func (p *Pool) growBulk(more, bulk int, full bool) {
	for _, c := range p.conns[min(1, len(p.conns)):] {
		for free := p.perConn - len(c.sessions) - c.opening; free > 0 && more > 0 && !c.suspect; free-- {
			p.growSessions(c, p.perConn)
			more--
		}
	}
	if more > 0 && bulk < 2 || full && bulk+p.dialing < maxBulk {
		p.growConns(len(p.conns)+p.dialing+1, p.perConn)
	}
}

// rank marks the connection that interactive calls use; mu is held.
func (p *Pool) rank() {
	for i, c := range p.conns {
		c.interactive.Store(i == 0)
	}
}

// spawn runs work of the Pool's own. After the end of the Pool it runs refused
// instead, when that is not nil.
func (p *Pool) spawn(work, refused func()) {
	p.begins.RLock()
	ended := p.life.Err() != nil
	if !ended {
		p.tasks.Go(work)
	}
	p.begins.RUnlock()
	if ended && refused != nil {
		refused()
	}
}
