package pool

import "time"

const (
	// cheapStart is the least that the start of a session is taken to cost, with what
	// the client and the kernels have to do for it.
	cheapStart = 50 * time.Millisecond

	// startShare bounds what starts may take of the time in which more sessions are
	// wanted, on a short link: a fourth.
	startShare = 4

	// secondAfter is how old a connection on a short link is when files that are opened
	// get a session of their own: by then what was waiting for the mount may be done.
	secondAfter = 2 * time.Second
)

// starts is what the beginning of a session costs the server, which may run a shell
// first, with all that its user has it do, and since when there has been need of another.
type starts struct {
	least time.Duration // from the opening of a channel to the server's greeting; 0 before
	since time.Time     // need has been seen from then on, or one was started
	last  time.Time     // need was seen
}

func (s *starts) took(d time.Duration) {
	if s.least == 0 || d < s.least {
		s.least = d
	}
}

// isShort reports whether the link is so short that one channel's window carries as much
// as both ends' processors do. A short transfer then loses by another session. On a longer
// link each carries a window more in a round trip, which pays at any price. mu is held.
func (p *Pool) isShort() bool {
	if len(p.conns) == 0 {
		return false
	}
	rtt := time.Duration(p.conns[0].rtt.Load())
	return rtt > 0 && rtt.Seconds()*linkRate < longFlight
}

// need is told that there is work for one more session. It has it started, at once where
// somebody waits for it, and on a long link; on a short one when there has been need for
// long enough since the last one. start reports whether it has started one. What is needed
// less than a second later counts as needed all the time. mu is held.
func (p *Pool) need(awaited bool, start func() bool) {
	if awaited || !p.isShort() {
		start()
		return
	}
	now, s := time.Now(), &p.starts
	if now.Sub(s.last) > time.Second {
		s.since = now
	}
	s.last = now
	if now.Sub(s.since) >= startShare*max(s.least, cheapStart) && start() {
		s.since = now
	}
}
