package pool

import "time"

const (
	// cheapStart is the least that the start of a session is taken to cost, with what
	// the client and the kernels have to do for it.
	cheapStart = 50 * time.Millisecond

	// startShare bounds what starts may take of the time in which more sessions are
	// wanted, on a short link: a fourth.
	startShare = 4
)

// starts is what the beginning of a session costs the server, which may run a shell
// first, with all that its user has it do, and since when there has been need of another.
type starts struct {
	least time.Duration // that one took from being asked for to its greeting; 0 before
	since time.Time
	last  time.Time
}

func (s *starts) took(d time.Duration) {
	if s.least == 0 || d < s.least {
		s.least = d
	}
}

// paced reports whether a channel's window carries as much as both ends' processors do.
// A short transfer then loses by another session. On a longer link each carries a window
// more in a round trip, which pays at any price. mu is held.
func (p *Pool) paced() bool {
	if len(p.conns) == 0 {
		return false
	}
	rtt := time.Duration(p.conns[0].rtt.Load())
	return rtt > 0 && rtt.Seconds()*linkRate < longFlight
}

// worth reports whether one more session is to be had, for which there is work now. mu is
// held.
func (p *Pool) worth(now time.Time) bool {
	if !p.paced() {
		return true
	}
	s := &p.starts
	if now.Sub(s.last) > time.Second {
		s.since = now
	}
	s.last = now
	if now.Sub(s.since) < startShare*max(s.least, cheapStart) {
		return false
	}
	s.since = now
	return true
}
