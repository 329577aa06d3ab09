package pool

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// A reading is one ReadAt: packets on one or several sessions.
type reading struct {
	f       *file
	w       *waiter
	left    atomic.Int32 // parts under way
	ready   chan struct{}
	parts   []*part
	retired bool // the caller gave up; never used again
}

// A part is a packet of a reading. Only its session's reader touches it while
// it is under way, and who holds file.mu while it waits for that.
type part struct {
	r    *reading
	h    *handle
	p    []byte
	off  int64
	got  int
	err  error
	done func(int, error)
}

var readings = sync.Pool{New: func() any { return &reading{ready: make(chan struct{}, 1)} }}

// ReadAt implements File.
func (f *file) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	r, err := f.startRead(ctx, p, off)
	return f.endRead(ctx, r, err)
}

// StartReadAt begins a ReadAt: when it returns, the read is under way, behind those
// begun before. end waits for it and has to be called, once, from any goroutine.
// Who begins several before the first has ended must see to it that nobody closes
// the file meanwhile: Close waits for those begun, and what begins waits for Close.
func (f *file) StartReadAt(ctx context.Context, p []byte, off int64) (end func() (int, error)) {
	r, err := f.startRead(ctx, p, off)
	return func() (int, error) { return f.endRead(ctx, r, err) }
}

func (f *file) startRead(ctx context.Context, p []byte, off int64) (*reading, error) {
	f.gate.RLock()
	if err := f.p.beforeRead(ctx, f, off, int64(len(p))); err != nil {
		return nil, err
	}
	r := readings.Get().(*reading)
	return r, r.begin(ctx, f, p, off)
}

func (f *file) endRead(ctx context.Context, r *reading, err error) (n int, _ error) {
	defer f.gate.RUnlock()
	if err == nil {
		n, err = r.finish(ctx)
	}
	if r != nil && !r.retired {
		readings.Put(r)
	}
	if n > 0 {
		f.p.count.bytesIn.Add(uint64(n))
	}
	if err != nil && err != io.EOF {
		err = pathError("read", f.name(), errnoOf(err))
	}
	return n, err
}

// beforeRead waits for data under way that the read has to see.
func (p *Pool) beforeRead(ctx context.Context, f *file, off, n int64) error {
	if p.writeHeld.Load() == 0 {
		return nil
	}
	if err := f.drainRange(ctx, off, off+n); err != nil {
		return err
	}
	for _, other := range p.files.on(f.name()) {
		if other == f {
			continue
		}
		if err := other.drainRange(ctx, off, off+n); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) begin(ctx context.Context, f *file, p []byte, off int64) error {
	r.f, r.w = f, f.p.look()
	h, err := f.handle(ctx, r.w)
	if err != nil {
		return err
	}
	r.split(p, off, int(h.s.client.Limits().MaxRead))
	return r.issue(ctx)
}

func (r *reading) finish(ctx context.Context) (int, error) {
	for {
		select {
		case <-r.ready:
		case <-ctx.Done():
			r.retired = true
			return 0, ctx.Err()
		}
		if n, err, settled := r.result(); settled {
			return n, err
		}
		if err := r.issue(ctx); err != nil {
			return 0, err
		}
	}
}

// split cuts the range into packets.
func (r *reading) split(p []byte, off int64, packet int) {
	n := 0
	for len(p) > 0 {
		size := min(len(p), packet)
		if n == len(r.parts) {
			pt := &part{r: r}
			pt.done = pt.completed
			r.parts = append(r.parts, pt)
		}
		pt := r.parts[n]
		pt.p, pt.off, pt.got, pt.err = p[:size], off, 0, errUnasked
		p, off = p[size:], off+int64(size)
		n++
	}
	for _, pt := range r.parts[n:] {
		pt.p = nil
	}
	r.parts = r.parts[:n]
}

// errUnasked marks a part that has to be asked for.
var errUnasked = error(syscall.EAGAIN)

// issue sends every part that was not asked for yet, or in vain.
func (r *reading) issue(ctx context.Context) error {
	r.left.Store(1) // ours: nothing is ready before all are sent
	for _, pt := range r.parts {
		if pt.err != errUnasked && !lostRequest(pt.err) {
			continue
		}
		r.left.Add(1)
		if err := r.f.queue(ctx, r.w, pt); err != nil {
			if r.left.Add(-2) > 0 {
				r.retired = true // the parts sent still refer to it
			}
			return err
		}
	}
	if r.left.Add(-1) == 0 {
		r.ready <- struct{}{}
	}
	r.f.spread(spreadAt)
	return nil
}

// readFlight bounds what is asked for through one handle: half as much again as the
// channel window that x/crypto/ssh gives the server. What waits beyond that can go
// to the next session that comes up.
const readFlight = 3 << 20

// queue puts a part behind those that wait to be asked for, when there is a handle
// to ask through.
func (f *file) queue(ctx context.Context, w *waiter, pt *part) error {
	for {
		f.mu.Lock()
		if len(f.live()) > 0 && f.stale == nil && !f.closed {
			pt.err, pt.h = nil, nil
			f.flying += int64(len(pt.p) - pt.got)
			f.reads = append(f.reads, pt)
			f.feed()
			f.mu.Unlock()
			return nil
		}
		f.mu.Unlock()
		if _, err := f.handle(ctx, w); err != nil {
			return err
		}
	}
}

// feed asks for the parts that wait, as far as there is room under way; mu is held.
func (f *file) feed() {
	for len(f.reads) > 0 {
		h := f.roomiest(func(h *handle) bool { return h.reading < readFlight })
		if h == nil && len(f.live()) > 0 {
			return
		}
		pt := f.reads[0]
		f.reads = slices.Delete(f.reads, 0, 1)
		if h != nil {
			pt.ask(h)
			continue
		}
		f.flying -= int64(len(pt.p) - pt.got)
		pt.err = sftp3.ErrLost
		pt.settled()
	}
}

// ask sends the request; mu is held.
func (pt *part) ask(h *handle) {
	n := int64(len(pt.p) - pt.got)
	pt.h = h
	h.reading += n
	h.s.pending.Add(n)
	h.s.client.StartRead(h.id, pt.p[pt.got:], pt.off+int64(pt.got), pt.done)
}

// completed takes the answer to a READ. A short one is asked on.
func (pt *part) completed(n int, err error) {
	f, asked := pt.r.f, int64(len(pt.p)-pt.got)
	f.mu.Lock()
	defer f.mu.Unlock()
	pt.h.s.pending.Add(-asked)
	pt.h.reading -= asked
	f.flying -= int64(n)
	pt.got += n
	if err == nil && pt.got < len(pt.p) {
		if n > 0 {
			pt.ask(pt.h)
			return
		}
		err = syscall.EIO
	}
	f.flying -= asked - int64(n)
	pt.err = err
	pt.settled()
	f.feed()
}

// settled notes that nothing is under way for the part.
func (pt *part) settled() {
	if r := pt.r; r.left.Add(-1) == 0 {
		r.ready <- struct{}{}
	}
}

// result puts the parts together. It is not settled while parts have to be
// asked again.
func (r *reading) result() (n int, err error, settled bool) {
	for _, pt := range r.parts {
		if lostRequest(pt.err) {
			if pt.h != nil {
				r.f.p.dropSession(pt.h.s)
			}
			return 0, nil, false
		}
	}
	for _, pt := range r.parts {
		n += pt.got
		if pt.err != nil {
			return n, pt.err, true
		}
	}
	return n, nil, true
}
