// Package link is a bad network on loopback: a TCP proxy with latency, a limit
// of rate, and all the ways in which a link goes away. Tests put it between a
// client and a server, and so does the benchmark.
//
// Latency is right for pipelined traffic: every piece of data carries the time
// at which it is due at the other end, so any amount may be under way, and the
// bandwidth stays what the machine gives. With neither latency nor rate data is
// passed on at once, without a queue.
//
// It is a proxy, and not the kernel's netem, so that tests need no privileges
// and disturb nobody else. What it cannot do is lose or reorder packets: TCP on
// both sides of it would only ever see that as a change of latency and rate.
//
// A process that holds a Link must not start a child in a mount behind it
// (exec.Cmd's Dir): until the child has changed its folder, the Go runtime may
// have to wait for it, with the Link, and nothing moves.
package link

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Link passes connections on to a target. The zero Link is not usable. Its
// methods may be called at any time from any goroutine.
type Link struct {
	addr *net.TCPAddr
	up   lane // client to server
	down lane // server to client
	wg   sync.WaitGroup

	buffers sync.Pool // of *[bufferSize]byte

	mu       sync.Mutex
	target   string             // guarded by mu
	changed  *sync.Cond         // a condition of the link changed, or it closed; with mu
	listener *net.TCPListener   // nil while refusing; guarded by mu
	pairs    map[*pair]struct{} // guarded by mu
	delay    time.Duration      // one way; guarded by mu
	stalled  bool               // guarded by mu
	trickle  bool               // guarded by mu
	closed   bool               // guarded by mu
	stats    Stats              // guarded by mu; Up and Down are in the lanes
}

// Stats counts what a Link has carried.
type Stats struct {
	Connections int   // accepted since the start
	Open        int   // connections now
	MaxOpen     int   // most at one time
	Up, Down    int64 // bytes to the server and to the client

	// Turns is how often data went up after data had come down: the round trips
	// of a conversation, and a lower bound of its requests when it is pipelined.
	Turns int64
}

// New starts a Link to target, "host:port", without latency or limit.
func New(target string) (*Link, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{
		target:   target,
		addr:     listener.Addr().(*net.TCPAddr),
		listener: listener,
		pairs:    make(map[*pair]struct{}),
		buffers:  sync.Pool{New: func() any { return new([bufferSize]byte) }},
	}
	l.changed = sync.NewCond(&l.mu)
	l.wg.Go(func() { l.accept(listener) })
	return l, nil
}

// Addr is where clients connect, "host:port".
func (l *Link) Addr() string { return l.addr.String() }

// Port is the port of Addr.
func (l *Link) Port() int { return l.addr.Port }

// SetDelay sets the latency of each direction: half the round-trip time. A new
// connection pays a round trip before its data passes, as for TCP's handshake.
func (l *Link) SetDelay(oneWay time.Duration) {
	l.change(func() { l.delay = oneWay })
}

// SetRate limits each direction, all connections together, to so many bytes a
// second; 0 is no limit.
func (l *Link) SetRate(bytesPerSecond int64) {
	l.up.setRate(bytesPerSecond)
	l.down.setRate(bytesPerSecond)
	l.change(func() {})
}

// SetTrickle hands data on one byte at a time, in as many segments.
func (l *Link) SetTrickle(on bool) {
	l.change(func() { l.trickle = on })
}

// Stall stops all data, in both directions, without a word to either side.
// Connections are accepted, and stall too.
func (l *Link) Stall() { l.change(func() { l.stalled = true }) }

// Resume ends a Stall: what was held back goes on.
func (l *Link) Resume() { l.change(func() { l.stalled = false }) }

// Cut resets every connection on both sides. New ones are accepted.
func (l *Link) Cut() {
	for _, p := range l.snapshot() {
		p.reset()
	}
}

// CutEvery cuts now and then until stop is called, which waits for the last cut. What
// was carried since the one before is at least so many bytes: on a busy machine a
// connection could otherwise be cut before it is any use, each time.
func (l *Link) CutEvery(d time.Duration, bytes int64) (stop func()) {
	ticker, quit, ended := time.NewTicker(d), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for before := l.carried(); ; {
			select {
			case <-ticker.C:
				if now := l.carried(); now >= before+bytes {
					before = now
					l.Cut()
				}
			case <-quit:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		ticker.Stop()
		close(quit)
		<-ended
	})
}

func (l *Link) carried() int64 { return l.up.total() + l.down.total() }

// HalfOpen takes the server away from every connection while its client hears
// nothing, as when a NAT forgets or a machine dies. New ones are whole.
func (l *Link) HalfOpen() {
	for _, p := range l.snapshot() {
		p.halfOpen()
	}
}

// Refuse lets no new connections in; the client's are refused by the kernel.
func (l *Link) Refuse() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return nil
	}
	err := l.listener.Close()
	l.listener = nil
	return err
}

// Accept ends Refuse, on the same port.
func (l *Link) Accept() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil || l.closed {
		return nil
	}
	listener, err := net.ListenTCP("tcp", l.addr)
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	l.listener = listener
	l.wg.Go(func() { l.accept(listener) })
	return nil
}

// Redirect sends new connections to another target, as when somebody takes over
// the server's address.
func (l *Link) Redirect(target string) {
	l.change(func() { l.target = target })
}

// Stats says what was carried so far.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Open = len(l.pairs)
	s.Up, s.Down = l.up.total(), l.down.total()
	return s
}

// Close resets what is open and waits until nothing of the Link runs.
func (l *Link) Close() error {
	err := l.Refuse()
	l.change(func() { l.closed = true })
	l.Cut()
	l.wg.Wait()
	return err
}

func (l *Link) change(set func()) {
	l.mu.Lock()
	set()
	l.changed.Broadcast()
	l.mu.Unlock()
}

func (l *Link) snapshot() []*pair {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*pair, 0, len(l.pairs))
	for p := range l.pairs {
		all = append(all, p)
	}
	return all
}

func (l *Link) accept(listener *net.TCPListener) {
	for {
		client, err := listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors, or the like
			continue
		}
		p := newPair(l, client)
		if !l.add(p) {
			p.reset()
			return
		}
		l.wg.Go(func() {
			defer l.remove(p)
			p.run()
		})
	}
}

// to is where connections go now.
func (l *Link) to() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.target
}

func (l *Link) add(p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.pairs[p] = struct{}{}
	l.stats.Connections++
	l.stats.MaxOpen = max(l.stats.MaxOpen, len(l.pairs))
	return true
}

func (l *Link) remove(p *pair) {
	l.mu.Lock()
	delete(l.pairs, p)
	l.mu.Unlock()
}

// open waits while the link is stalled, and gives its present conditions. gone
// ends the waiting.
func (l *Link) open(gone func() bool) (delay time.Duration, trickle, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.stalled && !l.closed && !gone() {
		l.changed.Wait()
	}
	return l.delay, l.trickle, !l.closed && !gone()
}

// turned counts a change of direction.
func (l *Link) turned() {
	l.mu.Lock()
	l.stats.Turns++
	l.mu.Unlock()
}
