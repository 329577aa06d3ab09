package remotetest

import (
	"slices"
	"strings"
	"time"
)

// A Request is one that has reached a Server.
type Request struct {
	Type    string // "OPEN", "WRITE", ...; an extension's name
	Path    string // relative to Root; a handle's is what it was opened with
	Target  string // the second path of RENAME and its like, a link's target
	Offset  int64
	Length  int
	Flags   uint32 // of OPEN
	Sets    uint32 // the flags of attributes, section 5
	Session int
	Conn    int

	// Flight numbers the round trips: requests of one flight arrived within one
	// Latency of the server, so that none can have waited for another's answer.
	Flight int

	Executed bool // it has been executed
	OK       bool // and that worked
	Late     bool // by RunZombies
}

// A Fate is what becomes of a request.
type Fate int

// The fates.
const (
	// Answer it, as it should be.
	Answer Fate = iota
	// CutBefore breaks the connection, and the request is never executed.
	CutBefore
	// CutAfter executes it and breaks the connection without an answer.
	CutAfter
	// Hold executes it and keeps the answer until Trap.Release. OpenSSH is busy
	// with one request at a time: the session waits with it.
	Hold
	// Swallow drops it. The connection lives, its session never answers again;
	// a foreign server goes on with other requests.
	Swallow
	// Zombie breaks the connection, and leaves the request, with all that has
	// arrived on that session behind it, to be executed by RunZombies.
	Zombie
	// Behind executes it, and sends the answer after the next answer of the
	// session.
	Behind
	// Fail executes it, and answers that it failed: a server that stores a file
	// elsewhere when it is closed, and cannot.
	Fail
	// Kill ends its session without executing it, as a signal does that ends the
	// server's process; the connection lives.
	Kill
	// Half executes it, and sends half of the answer: the session then stops for
	// good, and the connection lives.
	Half
	// Trickle executes it, and sends one byte of the answer each second.
	Trickle
)

func (f Fate) String() string {
	return []string{"answered", "cut before", "cut after", "held", "swallowed", "zombie", "behind", "failed", "killed", "half", "trickled"}[f]
}

// Script makes decide choose the fate of every request from now on that no Trap
// waits for. It may be called by several sessions at a time; nil answers all.
func (s *Server) Script(decide func(Request) Fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = decide
}

// A Trap waits for one request.
type Trap struct {
	kind, path string
	fate       Fate
	before     func()
	sprung     chan struct{}
	released   chan struct{}
}

// Next gives the next request of that type and path its fate. "" is any, and
// "A|B" one of these types. Traps are tried in the order they were set.
func (s *Server) Next(kind, path string, fate Fate) *Trap {
	return s.trap(&Trap{kind: kind, path: path, fate: fate})
}

// Ahead is Next, and calls do ahead of that.
func (s *Server) Ahead(kind, path string, fate Fate, do func()) *Trap {
	return s.trap(&Trap{kind: kind, path: path, fate: fate, before: do})
}

func (s *Server) trap(t *Trap) *Trap {
	t.sprung, t.released = make(chan struct{}), make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traps = append(s.traps, t)
	return t
}

// Sprung is closed when the request has come and its fate is done: executed
// where that is to be, the connection broken where that is to be.
func (t *Trap) Sprung() <-chan struct{} { return t.sprung }

// Release lets a held answer go.
func (t *Trap) Release() { close(t.released) }

// Disarm takes back the traps that no request has met.
func (s *Server) Disarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traps = nil
}

// Requests are all that have come so far, in the order they were taken up.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Request, len(s.requests))
	for i, r := range s.requests {
		list[i] = *r
	}
	return list
}

// Forget forgets the requests so far.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.flight, s.flightAt = nil, 0, time.Time{}
}

// Succeeded counts the requests of a type and path (as for Next) that were
// executed and worked.
func (s *Server) Succeeded(kind, path string) int {
	t, n := Trap{kind: kind, path: path}, 0
	for _, r := range s.Requests() {
		if r.OK && t.meets(r) {
			n++
		}
	}
	return n
}

// note writes a request down and finds its fate.
func (s *Server) note(r Request) (*Request, Fate, *Trap) {
	s.mu.Lock()
	now := time.Now()
	if s.flight == 0 || now.Sub(s.flightAt) >= s.Latency {
		s.flight, s.flightAt = s.flight+1, now
	}
	r.Flight = s.flight
	kept := &r
	s.requests = append(s.requests, kept)
	i := slices.IndexFunc(s.traps, func(t *Trap) bool { return t.meets(r) })
	if i >= 0 {
		t := s.traps[i]
		s.traps = slices.Delete(s.traps, i, i+1)
		s.mu.Unlock()
		return kept, t.fate, t
	}
	script := s.script
	s.mu.Unlock()
	if script == nil {
		return kept, Answer, nil
	}
	return kept, script(r), nil
}

func (t *Trap) meets(r Request) bool {
	return (t.kind == "" || slices.Contains(strings.Split(t.kind, "|"), r.Type)) && (t.path == "" || t.path == r.Path)
}

// zombie is what a session had received when its connection broke.
type zombie struct {
	session *session
	packets []packet
}

// Zombies counts the requests that RunZombies would execute.
func (s *Server) Zombies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, z := range s.zombies {
		n += len(z.packets)
	}
	return n
}

func (s *Server) takeZombies() []zombie {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.zombies
	s.zombies = nil
	return list
}

// RunZombies executes what broken connections have left, in order.
func (s *Server) RunZombies() {
	for _, z := range s.takeZombies() {
		for _, p := range z.packets {
			z.session.executeLate(p)
		}
		z.session.closeHandles()
	}
}
