package pool

import (
	"sync/atomic"
	"time"
)

// State is what a Pool can do at the moment.
type State int

const (
	// StateConnecting: there is no connection, and one is being made.
	StateConnecting State = iota
	// StateConnected: there is at least one connection.
	StateConnected
	// StateAway: no connection could be made for the timeout; dialling goes on.
	StateAway
	// StateDisabled: the host key changed or the server refused us; nothing is
	// tried until Enable.
	StateDisabled
	// StateClosed: after Close or Abort.
	StateClosed
)

func (s State) String() string {
	return [...]string{"connecting", "connected", "away", "disabled", "closed"}[s]
}

// LostData is written data that could not be brought to the server.
type LostData struct {
	Path  string
	Bytes int64
	Time  time.Time
	Err   error
}

// Status is a Pool seen from outside.
type Status struct {
	State          State
	Since          time.Time
	Away           time.Time // as in Info: what is shown of the remote may be as old as that, or older
	LastError      error     // why the last dial failed
	Connections    int
	MaxConnections int // as far as the server lets us
	Sessions       int
	Waiting        time.Duration // for the answer that is most overdue; 0 when none is
	OpenFiles      int
	Requests       uint64 // sent since the start
	BytesIn        uint64 // file data read
	BytesOut       uint64 // file data written
	Reconnects     uint64
	Unacknowledged int64      // bytes written that the server has not confirmed
	Lost           []LostData // the last of them
	LostCount      uint64     // all of them, since the start
	Violations     uint64     // sessions ended because the server broke the protocol
	LastViolation  string
	Quirks         []Quirk // in which the server was found to be different
}

type counters struct {
	bytesIn, bytesOut, reconnects atomic.Uint64
	requests                      uint64 // guarded by Pool.mu; of sessions that have ended
	lost                          uint64 // guarded by Pool.mu
}

// Unacknowledged is how many bytes were written that the server has not confirmed.
func (p *Pool) Unacknowledged() int64 { return p.writeHeld.Load() }

// WriteMemory is how much memory these take.
func (p *Pool) WriteMemory() int64 { return p.writeTaken.Load() }

// Status tells how the Pool is doing.
func (p *Pool) Status() Status {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Status{
		State: p.state, Since: p.since, Away: p.away(now), LastError: p.lastErr,
		Connections: len(p.conns), MaxConnections: p.cap,
		OpenFiles:      p.files.len(),
		Unacknowledged: p.Unacknowledged(),
		Requests:       p.count.requests,
		BytesIn:        p.count.bytesIn.Load(),
		BytesOut:       p.count.bytesOut.Load(),
		Reconnects:     p.count.reconnects.Load(),
		Lost:           append([]LostData(nil), p.lost...),
		LostCount:      p.count.lost,
	}
	st.Quirks = p.quirks.list()
	st.Violations, st.LastViolation = p.violations.read()
	for _, c := range p.conns {
		st.Sessions += len(c.sessions)
		for _, s := range c.sessions {
			st.Waiting = max(st.Waiting, s.overdue(now))
		}
	}
	for s := range p.counted {
		st.Requests += s.client.Stats().Requests
	}
	return st
}
