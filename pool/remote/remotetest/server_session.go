package remotetest

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// gathering is how long a foreign server waits for the rest of a flight.
const gathering = time.Millisecond

// A session is the server's side of one: what a process of sftp-server is.
type session struct {
	conn *Conn
	id   int
	up   *pipe         // from the client
	down *pipe         // to the client
	gone chan struct{} // closed when the client has closed the channel
	in   []byte

	sending sync.Mutex
	behind  [][]byte // guarded by sending: answers that wait for another

	mu      sync.Mutex
	handles map[string]*handle // guarded by mu
	opened  uint32             // guarded by mu
	undead  bool               // guarded by mu: RunZombies closes the handles
}

func newSession(c *Conn, id int) *session {
	return &session{
		conn: c, id: id, gone: make(chan struct{}), handles: map[string]*handle{},
		up: newPipe(c.server, c.server.Latency), down: newPipe(c.server, 0),
	}
}

// serve is the life of a session.
func (s *session) serve() {
	defer s.finish()
	time.Sleep(s.conn.server.Start)
	if !s.greet() {
		return
	}
	for {
		flight, err := s.receive()
		if err != nil {
			return
		}
		for _, p := range flight {
			if !s.handle(p) {
				return
			}
		}
	}
}

func (s *session) finish() {
	s.conn.forget(s)
	s.down.end()
	s.mu.Lock()
	undead := s.undead
	s.mu.Unlock()
	if !undead {
		s.closeHandles()
	}
}

func (s *session) closeHandles() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.handles {
		_ = unix.Close(h.fd)
	}
	clear(s.handles)
}

// next is the next packet.
func (s *session) next() (packet, error) {
	buf := make([]byte, 64<<10)
	for {
		p, rest, err := cutPacket(s.in)
		if err != nil {
			return packet{}, err
		}
		if rest != nil {
			s.in = rest
			return p, nil
		}
		n, err := s.up.Read(buf)
		if err != nil {
			return packet{}, err
		}
		s.in = append(s.in, buf[:n]...)
	}
}

// receive is what is executed next: one request, or from a foreign server's view
// all that arrived together, the last first.
func (s *session) receive() ([]packet, error) {
	p, err := s.next()
	if err != nil || !s.conn.server.foreign() {
		return []packet{p}, err
	}
	time.Sleep(gathering)
	flight := append([]packet{p}, s.waiting()...)
	slices.Reverse(flight)
	slices.SortStableFunc(flight, func(a, b packet) int { return closing(a) - closing(b) })
	return flight, nil
}

func closing(p packet) int {
	if p.kind == typeClose {
		return 1
	}
	return 0
}

// waiting are the whole packets that have arrived.
func (s *session) waiting() []packet {
	s.in = append(s.in, s.up.arrived()...)
	var list []packet
	for {
		p, rest, err := cutPacket(s.in)
		if err != nil || rest == nil {
			return list
		}
		list, s.in = append(list, p), rest
	}
}

// greet answers INIT.
func (s *session) greet() bool {
	p, err := s.next()
	if err != nil || p.kind != typeInit {
		return false
	}
	if text := s.conn.server.Quirks.Printed; text != "" {
		_, _ = s.down.Write([]byte(text)) // fails when the connection is gone
	}
	b := newReply(typeVersion)
	b.uint32(3)
	for _, name := range sortedKeys(s.conn.server.Extensions) {
		b.string(name)
		b.string(s.conn.server.Extensions[name])
	}
	return s.sendAs(Request{Type: "INIT", Session: s.id, Conn: s.conn.id}, b)
}

// sendAs sends the answer to a request, as it should be or corrupted, and reports
// whether the session goes on.
func (s *session) sendAs(r Request, answer *reply) bool {
	corrupt := s.conn.server.corruption()
	if corrupt == nil {
		s.send(answer)
		return true
	}
	b := answer.packet()
	out, end := corrupt(r, b)
	s.sending.Lock()
	defer s.sending.Unlock()
	_, _ = s.down.Write(out) // fails when the connection is gone
	return !end
}

// handle does with a request what its fate is, and reports whether the session
// goes on.
func (s *session) handle(p packet) bool {
	m, err := parse(p)
	if err != nil {
		return false
	}
	kept, fate, trap := s.conn.server.note(s.request(m))
	if trap != nil && trap.before != nil {
		trap.before()
	}
	var answer *reply
	switch fate {
	case Answer, CutAfter, Hold, Behind, Half, Trickle:
		answer = s.execute(m, kept)
	case Fail:
		s.execute(m, kept)
		answer = m.status(syscall.EIO)
	}
	switch fate {
	case CutBefore, CutAfter:
		s.conn.cut()
	case Zombie:
		s.die(p)
	case Behind:
		s.sending.Lock()
		s.behind = append(s.behind, answer.packet())
		s.sending.Unlock()
	}
	if trap != nil {
		close(trap.sprung)
	}
	switch fate {
	case Answer, Fail:
		return s.sendAs(*kept, answer)
	case Hold:
		s.hold(answer, trap)
	case Half:
		b := answer.packet()
		_, _ = s.down.Write(b[:len(b)/2]) // fails when the connection is gone
		s.stop()
		return false
	case Trickle:
		for _, b := range answer.packet() {
			if _, err := s.down.Write([]byte{b}); err != nil {
				return false
			}
			select {
			case <-time.After(time.Second):
			case <-s.gone:
				return false
			case <-s.conn.done:
				return false
			}
		}
	case Swallow:
		if !s.conn.server.foreign() {
			s.stop()
			return false
		}
	case CutBefore, CutAfter, Zombie, Kill:
		return false
	}
	return true
}

// stop waits for the end of the session.
func (s *session) stop() {
	select {
	case <-s.conn.done:
	case <-s.gone:
	}
}

// die leaves p and what has arrived behind it to RunZombies.
func (s *session) die(p packet) {
	z := zombie{session: s, packets: append([]packet{p}, s.waiting()...)}
	s.mu.Lock()
	s.undead = true
	s.mu.Unlock()
	s.conn.server.mu.Lock()
	s.conn.server.zombies = append(s.conn.server.zombies, z)
	s.conn.server.mu.Unlock()
	s.conn.cut()
}

// hold keeps an answer until it is released. Without a trap it is forever.
func (s *session) hold(answer *reply, trap *Trap) {
	var released chan struct{}
	if trap != nil {
		released = trap.released
	}
	wait := func() {
		select {
		case <-released:
			s.send(answer)
		case <-s.conn.done:
		case <-s.gone:
		}
	}
	if s.conn.server.foreign() {
		s.conn.server.routines.Go(wait)
		return
	}
	wait()
}

// send sends an answer, and those that were to come behind it.
func (s *session) send(answer *reply) {
	s.sending.Lock()
	defer s.sending.Unlock()
	_, _ = s.down.Write(answer.packet()) // fails when the connection is gone
	for _, b := range s.behind {
		_, _ = s.down.Write(b)
	}
	s.behind = nil
}

// execute does what is asked for and notes that.
func (s *session) execute(m message, kept *Request) *reply {
	answer, ok := s.do(m, *kept)
	s.conn.server.mu.Lock()
	defer s.conn.server.mu.Unlock()
	kept.Executed, kept.OK = true, ok
	return answer
}

// executeLate executes a request when nobody waits for its answer any more.
func (s *session) executeLate(p packet) {
	m, err := parse(p)
	if err != nil {
		return
	}
	r := s.request(m)
	r.Late = true
	kept := &r
	s.execute(m, kept)
	s.conn.server.mu.Lock()
	defer s.conn.server.mu.Unlock()
	s.conn.server.requests = append(s.conn.server.requests, kept)
}

// request is a message as tests see it.
func (s *session) request(m message) Request {
	server := s.conn.server
	r := Request{
		Type: typeName(m), Path: m.path, Target: m.target, Offset: int64(m.off), Length: int(m.n),
		Flags: m.flags, Sets: m.attrs.flags, Session: s.id, Conn: s.conn.id,
	}
	if m.handle != "" {
		r.Path = s.path(m.handle)
	}
	if m.second != "" {
		r.Target = s.path(m.second)
	}
	r.Path, r.Target = server.relative(r.Path), server.relative(r.Target)
	if m.kind == typeWrite {
		r.Length = len(m.data)
	}
	return r
}

func (s *session) path(h string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.handles[h]; open != nil {
		return open.path
	}
	return ""
}
