package remotetest

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// A pipe is one direction of a session. It holds any amount, so that neither end
// waits to write; bytes arrive after the delay, and not while the server is
// stalled. It has one reader.
type pipe struct {
	server *Server
	delay  time.Duration
	wake   chan struct{} // tells the reader to look again

	mu     sync.Mutex
	chunks []chunk // guarded by mu
	ended  bool    // guarded by mu: no more will be written
	err    error   // guarded by mu: the connection is gone
	frozen bool    // guarded by mu: nothing moves until then
}

type chunk struct {
	at   time.Time
	data []byte
}

func newPipe(s *Server, delay time.Duration) *pipe {
	return &pipe{server: s, delay: delay, wake: make(chan struct{}, 1)}
}

func (p *pipe) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	if p.ended {
		return 0, io.ErrClosedPipe
	}
	p.chunks = append(p.chunks, chunk{time.Now().Add(p.delay), bytes.Clone(b)})
	p.signal()
	return len(b), nil
}

func (p *pipe) Read(b []byte) (int, error) {
	for {
		gate := p.server.moving()
		select {
		case <-gate:
			gate = nil
		default:
		}
		n, wait, err := p.read(b, gate != nil)
		if n > 0 || err != nil {
			return n, err
		}
		p.await(wait, gate)
	}
}

// await waits until there may be something to read: wait for a chunk under way,
// negative when there is none.
func (p *pipe) await(wait time.Duration, gate <-chan struct{}) {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-p.wake:
	case <-due:
	case <-gate:
	}
}

// read takes what has arrived, or tells how long the next is under way.
func (p *pipe) read(b []byte, stalled bool) (int, time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return 0, 0, p.err
	case p.frozen:
		return 0, -1, nil
	case len(p.chunks) == 0 && p.ended:
		return 0, 0, io.EOF
	case len(p.chunks) == 0 || stalled:
		return 0, -1, nil
	}
	first := &p.chunks[0]
	if wait := time.Until(first.at); wait > 0 {
		return 0, wait, nil
	}
	n := copy(b, first.data)
	if first.data = first.data[n:]; len(first.data) == 0 {
		p.chunks = p.chunks[1:]
	}
	return n, 0, nil
}

// arrived takes all that has arrived, without waiting.
func (p *pipe) arrived() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []byte
	for len(p.chunks) > 0 && time.Until(p.chunks[0].at) <= 0 {
		all = append(all, p.chunks[0].data...)
		p.chunks = p.chunks[1:]
	}
	return all
}

func (p *pipe) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// end lets the reader have what was written, and then io.EOF.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.signal()
}

// cut gives err to both ends, and drops what was under way.
func (p *pipe) cut(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err, p.chunks = err, nil
	}
	p.signal()
}
