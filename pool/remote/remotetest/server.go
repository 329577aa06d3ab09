package remotetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Server is an SFTP server over pipes, for tests of what happens when the
// connection does not hold: a script says what becomes of each request. It
// answers as sftp-server of OpenSSH 9.2 does, on the real paths of the local
// folder Root, which is where a user lands. It works in a synctest bubble.
//
// The fields are set before the first Connect and left alone then.
type Server struct {
	Root string

	// Identification is how the server presents itself. One that is not OpenSSH's
	// makes the server foreign: the requests that reach it together are executed
	// in the reverse order, only CLOSE keeps its place at the end.
	Identification string

	// Extensions are announced, with their versions, and done. OpenSSH's at first.
	Extensions map[string]string

	// MaxSessions is how many sessions a connection carries, MaxConnections how
	// many connections there may be; 0 is no limit.
	MaxSessions    int
	MaxConnections int

	// Clock is how far the server's clock is ahead of this machine's.
	Clock time.Duration

	// Bubble makes what is changed as old as a synctest bubble says, where the disk's
	// own clock is the real one. One request is executed at a time then.
	Bubble bool
	alone  sync.Mutex

	// Users are the names that users-groups-by-id tells, by their numbers.
	Users map[uint32]string

	// Quirks are how it differs from OpenSSH's besides.
	Quirks Quirks

	// Latency is what a round trip takes: a dial takes six of them, a session
	// three. Flight numbers need it.
	Latency time.Duration

	// Start is what the program of a session takes to begin, besides.
	Start time.Duration

	mu       sync.Mutex
	script   func(Request) Fate // guarded by mu, like all below
	corrupt  Corruption
	traps    []*Trap
	requests []*Request
	flight   int
	flightAt time.Time
	zombies  []zombie
	conns    map[*Conn]bool
	most     int
	dials    int
	refusal  error
	gate     chan struct{} // closed while bytes move
	strict   bool

	routines sync.WaitGroup
}

// NewServer gives a server on root. It ends with t, and with it every
// connection.
func NewServer(t testing.TB, root string) *Server {
	gate := make(chan struct{})
	close(gate)
	s := &Server{
		Root: root, Identification: "SSH-2.0-OpenSSH_9.2p1", Extensions: maps.Clone(openSSHExtensions),
		conns: map[*Conn]bool{}, gate: gate,
	}
	t.Cleanup(s.end)
	return s
}

func (s *Server) end() {
	s.Refuse(errors.New("the server has ended"))
	s.Stall(false)
	s.CutAll()
	s.routines.Wait()
	for _, z := range s.takeZombies() {
		z.session.closeHandles()
	}
}

// foreign reports whether it is a server of which no order is known.
func (s *Server) foreign() bool { return !strings.Contains(s.Identification, "OpenSSH") }

// Connect makes a connection, as a dial does with its handshake. It fails as
// Refuse says, or when there are too many.
func (s *Server) Connect(ctx context.Context) (*Conn, error) {
	s.mu.Lock()
	s.dials++
	s.mu.Unlock()
	if err := s.pass(ctx, nil, 6*s.Latency); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil {
		return nil, s.refusal
	}
	if s.MaxConnections > 0 && len(s.conns) >= s.MaxConnections {
		return nil, fmt.Errorf("handshake: %w", syscall.ECONNRESET)
	}
	c := &Conn{server: s, id: s.dials, done: make(chan struct{}), last: time.Now()}
	s.conns[c] = true
	s.most = max(s.most, len(s.conns))
	return c, nil
}

// pass waits for d of the link's time, and for the link to move.
func (s *Server) pass(ctx context.Context, done <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	elapsed := false
	for {
		gate := s.moving()
		if elapsed {
			select {
			case <-gate:
				return nil
			default:
			}
		}
		due := timer.C
		if elapsed {
			due = nil
		} else {
			gate = nil
		}
		select {
		case <-due:
			elapsed = true
		case <-gate:
		case <-done:
			return errCut
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// moving is closed while bytes move.
func (s *Server) moving() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gate
}

// Refuse makes each dial fail with err, until it is called with nil.
func (s *Server) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
}

// Stall stops every byte in both directions, of dials too, or lets them go on.
func (s *Server) Stall(stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moves := false
	select {
	case <-s.gate:
		moves = true
	default:
	}
	switch {
	case stalled && moves:
		s.gate = make(chan struct{})
	case !stalled && !moves:
		close(s.gate)
	}
}

// Freeze stops every byte of the connections there are, for as long as they
// live, as a router does that has forgotten them. New ones work.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.frozen = true
		for _, session := range c.sessions {
			session.up.freeze()
			session.down.freeze()
		}
	}
}

// HonourModes makes OPEN refuse what a file's owner may not do, which root is
// not refused otherwise.
func (s *Server) HonourModes(honour bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strict = honour
}

// refuses reports whether the owner of a file may not open it so.
func (s *Server) refuses(at string, how int) bool {
	s.mu.Lock()
	strict := s.strict
	s.mu.Unlock()
	var st unix.Stat_t
	if !strict || unix.Stat(at, &st) != nil {
		return false
	}
	want := map[int]uint32{unix.O_RDONLY: 0o400, unix.O_WRONLY: 0o200, unix.O_RDWR: 0o600}[how&unix.O_ACCMODE]
	return how&unix.O_EXCL == 0 && st.Mode&want != want
}

// CutAll breaks every connection. What has arrived and not been executed is
// lost.
func (s *Server) CutAll() {
	s.mu.Lock()
	conns := maps.Clone(s.conns)
	s.mu.Unlock()
	for c := range conns {
		c.cut()
	}
}

// Connections tells how many connections there are now, how many there have
// been at once, and how often one was dialled.
func (s *Server) Connections() (now, most, dials int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.most, s.dials
}

// Sessions tells how many sessions there are now.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		n += len(c.sessions)
	}
	return n
}

// relative is a path of a request as tests name it.
func (s *Server) relative(path string) string {
	if rel, err := filepath.Rel(s.Root, path); err == nil && filepath.IsLocal(rel) && filepath.IsAbs(path) {
		return rel
	}
	return path
}

// absolute is a path of a request as the server's process takes it.
func (s *Server) absolute(path string) string {
	if path == "" || path == "." {
		return s.Root
	}
	if filepath.IsAbs(path) {
		return path
	}
	return s.Root + "/" + path
}
