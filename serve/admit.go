package serve

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A visit is a connection that was let in.
type visit struct {
	conn    net.Conn
	from    string // its source
	waiting bool   // it has not logged in; guarded by Server.mu
	counted bool   // among the connections; guarded by Server.mu
}

// A source is an address that connections come from.
type source struct {
	visits   int // at present
	failures int // logins in a row that failed
	last     time.Time
}

const (
	// forgetAfter is how long a failed login is held against an address.
	forgetAfter = 10 * time.Minute

	// sourcesAtMost bounds the addresses that are remembered.
	sourcesAtMost = 4096

	// The pause before a login after one that failed, doubled each time.
	firstPause, longestPause = 500 * time.Millisecond, 8 * time.Second
)

// sourceOf is what counts as one address: of IPv6 the network, of which everybody
// has all the addresses.
func sourceOf(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// admit lets a connection in, as one that is not logged in. Where there is no
// room one that was not logged in either has to go: the oldest, of the address
// that has the most of them, so that who floods the server pushes out his own. It
// gives nil when there is still no room, and who has to go.
func (s *Server) admit(conn net.Conn) (v, out *visit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	v = &visit{conn: conn, from: sourceOf(conn.RemoteAddr())}
	if src := s.sources[v.from]; src != nil && src.visits >= s.cfg.MaxPerAddress {
		out = s.oldestOf(v.from)
	} else if s.visits >= s.cfg.MaxConnections || len(s.waiting) >= (s.cfg.MaxConnections+3)/4 {
		out = s.oldestOf(s.busiest())
	} else {
		s.enter(v)
		return v, nil
	}
	if out == nil {
		return nil, nil
	}
	s.uncount(out)
	s.enter(v)
	return v, out
}

// enter counts a connection in. The caller holds s.mu.
func (s *Server) enter(v *visit) {
	src := s.sources[v.from]
	if src == nil {
		s.forgetSources()
		src = &source{}
		s.sources[v.from] = src
	}
	src.visits++
	s.visits++
	v.waiting, v.counted = true, true
	s.waiting = append(s.waiting, v)
	s.open[v.conn] = struct{}{}
	s.running.Add(1)
}

// oldestOf is the oldest of an address that waits for its login, or nil. The
// caller holds s.mu.
func (s *Server) oldestOf(from string) *visit {
	if i := slices.IndexFunc(s.waiting, func(v *visit) bool { return v.from == from }); i >= 0 {
		return s.waiting[i]
	}
	return nil
}

// busiest is the address that has the most connections without a login. The
// caller holds s.mu.
func (s *Server) busiest() string {
	count, most := map[string]int{}, ""
	for _, v := range s.waiting {
		if count[v.from]++; count[v.from] > count[most] {
			most = v.from
		}
	}
	return most
}

// uncount takes a connection out of all that is counted. The caller holds s.mu.
func (s *Server) uncount(v *visit) {
	if v.waiting {
		v.waiting = false
		s.waiting = slices.DeleteFunc(s.waiting, func(w *visit) bool { return w == v })
	}
	if v.counted {
		v.counted = false
		s.visits--
		s.sources[v.from].visits--
		s.forgetSource(v.from)
	}
}

// loggedIn ends a connection's time among those that wait.
func (s *Server) loggedIn(v *visit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.waiting {
		v.waiting = false
		s.waiting = slices.DeleteFunc(s.waiting, func(w *visit) bool { return w == v })
		s.sources[v.from].failures = 0
	}
}

func (s *Server) leave(v *visit) {
	s.closeQuietly(v.conn)
	s.mu.Lock()
	s.uncount(v)
	delete(s.open, v.conn)
	s.mu.Unlock()
	s.running.Done()
}

// failed holds a failed login against its address.
func (s *Server) failed(v *visit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.sources[v.from]; src != nil {
		src.failures, src.last = src.failures+1, time.Now()
	}
}

// pause holds up the login of an address that failed before.
func (s *Server) pause(ctx context.Context, v *visit) {
	s.mu.Lock()
	failures := 0
	if src := s.sources[v.from]; src != nil && time.Since(src.last) < forgetAfter {
		failures = src.failures
	}
	s.mu.Unlock()
	if failures == 0 {
		return
	}
	select {
	case <-time.After(min(firstPause<<min(failures-1, 10), longestPause)):
	case <-ctx.Done():
	}
}

// forgetSource drops an address that nothing is known of. The caller holds s.mu.
func (s *Server) forgetSource(from string) {
	src := s.sources[from]
	if src.visits == 0 && (src.failures == 0 || time.Since(src.last) >= forgetAfter) {
		delete(s.sources, from)
	}
}

// forgetSources makes room for another address. Those of which failures are known
// go when they are old, and the oldest if there are too many. The caller holds
// s.mu.
func (s *Server) forgetSources() {
	if len(s.sources) < sourcesAtMost {
		return
	}
	for from := range s.sources {
		s.forgetSource(from)
	}
	if len(s.sources) < sourcesAtMost {
		return
	}
	var idle []string
	for from, src := range s.sources {
		if src.visits == 0 {
			idle = append(idle, from)
		}
	}
	slices.SortFunc(idle, func(a, b string) int { return cmp.Compare(s.sources[a].last.UnixNano(), s.sources[b].last.UnixNano()) })
	for _, from := range idle[:min(len(idle), sourcesAtMost/4)] {
		delete(s.sources, from)
	}
}
