package link

import (
	"net"
	"sync"
	"time"
)

// A flow passes the data of one direction of a pair. Its reader stamps what
// arrives with the time it is due; its writer waits for that time.
type flow struct {
	pair     *pair
	dst, src *net.TCPConn
	lane     *lane
	down     bool

	mu     sync.Mutex
	moved  *sync.Cond // the queue changed; with mu
	queue  []chunk    // guarded by mu
	queued int        // bytes in queue or being written; guarded by mu
	err    error      // no chunks follow those in the queue; guarded by mu
	broken bool       // the writer has ended; guarded by mu
}

type chunk struct {
	buf *[bufferSize]byte
	n   int
	due time.Time
}

func newFlow(p *pair, dst, src *net.TCPConn, lane *lane, down bool) *flow {
	f := &flow{pair: p, dst: dst, src: src, lane: lane, down: down}
	f.moved = sync.NewCond(&f.mu)
	return f
}

func (f *flow) run() {
	var writer sync.WaitGroup
	writer.Go(f.write)
	f.finish(f.read())
	writer.Wait()
}

// finish tells the writer how the stream ends, after what is in the queue.
func (f *flow) finish(err error) {
	f.mu.Lock()
	f.err = err
	f.moved.Broadcast()
	f.mu.Unlock()
}

func (f *flow) read() error {
	for {
		if _, _, ok := f.pair.link.open(f.pair.isGone); !ok {
			return net.ErrClosed
		}
		buf := f.pair.link.buffers.Get().(*[bufferSize]byte)
		n, err := f.src.Read(buf[:f.lane.piece()])
		if n > 0 {
			f.pair.count(f.down)
			// The conditions may have changed while nothing came.
			delay, trickle, ok := f.pair.link.open(f.pair.isGone)
			if !ok {
				return net.ErrClosed
			}
			if passErr := f.pass(buf, n, delay, trickle); passErr != nil {
				return passErr
			}
		}
		if err != nil {
			return err
		}
	}
}

// pass hands a chunk on: at once when nothing holds it up, else by the queue.
func (f *flow) pass(buf *[bufferSize]byte, n int, delay time.Duration, trickle bool) error {
	now := time.Now()
	due := f.lane.send(n, now).Add(delay)
	f.mu.Lock()
	if f.queued == 0 && !due.After(now) && !trickle {
		f.mu.Unlock()
		_, err := f.dst.Write(buf[:n])
		f.pair.link.buffers.Put(buf)
		return err
	}
	defer f.mu.Unlock()
	for room := f.lane.room(delay); f.queued > 0 && f.queued+n > room && !f.broken; {
		f.moved.Wait()
	}
	if f.broken {
		return net.ErrClosed
	}
	f.queue = append(f.queue, chunk{buf, n, due})
	f.queued += n
	f.moved.Broadcast()
	return nil
}

// write ends when the reader has finished, or writing fails.
func (f *flow) write() {
	for {
		c, err := f.next()
		if err == nil {
			err = f.deliver(c)
		}
		if err != nil {
			f.mu.Lock()
			f.broken = true
			f.moved.Broadcast()
			f.mu.Unlock()
			f.pair.flowEnded(f.dst, err)
			return
		}
		f.mu.Lock()
		f.queued -= c.n
		f.moved.Broadcast()
		f.mu.Unlock()
	}
}

func (f *flow) next() (chunk, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) == 0 && f.err == nil {
		f.moved.Wait()
	}
	if len(f.queue) == 0 {
		return chunk{}, f.err
	}
	c := f.queue[0]
	f.queue[0] = chunk{}
	f.queue = f.queue[1:]
	return c, nil
}

func (f *flow) deliver(c chunk) error {
	defer f.pair.link.buffers.Put(c.buf)
	if !f.pair.sleep(c.due) {
		return net.ErrClosed
	}
	_, trickle, ok := f.pair.link.open(f.pair.isGone)
	if !ok {
		return net.ErrClosed
	}
	step := c.n
	if trickle {
		step = 1
	}
	for b := c.buf[:c.n]; len(b) > 0; b = b[min(step, len(b)):] {
		if _, err := f.dst.Write(b[:min(step, len(b))]); err != nil {
			return err
		}
	}
	return nil
}
