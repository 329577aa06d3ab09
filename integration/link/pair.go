package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const bufferSize = 256 << 10

// A pair is a client's connection and the one made for it to the server.
type pair struct {
	link   *Link
	client *net.TCPConn

	// last is the direction data went last: true when down.
	last atomic.Bool
	gone chan struct{} // closed by reset

	mu     sync.Mutex
	server *net.TCPConn // nil until connected; guarded by mu
	ended  bool         // reset was called; guarded by mu
	half   bool         // the server was taken away; guarded by mu
}

func newPair(l *Link, client *net.TCPConn) *pair {
	return &pair{link: l, client: client, gone: make(chan struct{})}
}

func (p *pair) isGone() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// run connects to the server and passes data both ways until both have ended.
func (p *pair) run() {
	defer p.end(false)
	delay, _, ok := p.link.open(p.isGone)
	if !ok || !p.sleep(time.Now().Add(2*delay)) {
		return
	}
	conn, err := net.DialTimeout("tcp", p.link.to(), 10*time.Second)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	if !p.connect(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { newFlow(p, server, p.client, &p.link.up, false).run() })
	both.Go(func() { newFlow(p, p.client, server, &p.link.down, true).run() })
	both.Wait()
}

func (p *pair) connect(server *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = server
	if p.ended || p.half {
		abort(server)
	}
	return !p.ended
}

// reset ends both sides at once, with a TCP reset where data is still under way.
func (p *pair) reset() { p.end(true) }

// end closes both sides. When it is not abrupt, the kernel still delivers what
// has been written.
func (p *pair) end(abrupt bool) {
	p.mu.Lock()
	first := !p.ended
	p.ended = true
	server := p.server
	p.mu.Unlock()
	if !first {
		return
	}
	close(p.gone)
	for _, conn := range []*net.TCPConn{p.client, server} {
		switch {
		case conn == nil:
		case abrupt:
			abort(conn)
		default:
			_ = conn.Close() // fails when it is closed already
		}
	}
	p.link.change(func() {}) // wake who waits out a stall
}

// halfOpen takes the server away. The flows notice, and stay silent.
func (p *pair) halfOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.half = true
	if p.server != nil {
		abort(p.server)
	}
}

func (p *pair) isHalf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.half
}

// abort closes with a reset. Errors mean that it is closed already.
func abort(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// sleep waits until t; false when the pair has gone.
func (p *pair) sleep(t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return !p.isGone()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.gone:
		return false
	}
}

// count notices a change of direction.
func (p *pair) count(down bool) {
	if was := p.last.Swap(down); was && !down {
		p.link.turned()
	}
}

// flowEnded is called with the error that one direction came to. The end of a
// stream is passed on; a connection that broke breaks the other; and a half-open
// one waits, silent, for the link to be cut.
func (p *pair) flowEnded(dst *net.TCPConn, err error) {
	switch {
	case p.isHalf():
		<-p.gone
	case errors.Is(err, io.EOF):
		_ = dst.CloseWrite() // fails when dst is gone, and then that is known
	default:
		p.reset()
	}
}
