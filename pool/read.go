package pool

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
)

// A reading is one ReadAt: packets on one or several sessions.
type reading struct {
	f       *file
	left    atomic.Int32 // parts under way
	ready   chan struct{}
	parts   []*part
	retired bool // the caller gave up; never used again
}

// A part is a packet of a reading. Only its session's reader touches it while
// it is under way.
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
	f.gate.RLock()
	defer f.gate.RUnlock()
	if err := f.p.beforeRead(ctx, f, off, int64(len(p))); err != nil {
		return 0, pathError("read", f.name(), err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	r := readings.Get().(*reading)
	n, err := r.run(ctx, f, p, off)
	if !r.retired {
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

func (r *reading) run(ctx context.Context, f *file, p []byte, off int64) (int, error) {
	r.f = f
	w := f.p.look()
	h, err := f.handle(ctx, w)
	if err != nil {
		return 0, err
	}
	r.split(p, off, int(h.s.client.Limits().MaxRead))
	for {
		if err := r.issue(ctx, w); err != nil {
			return 0, err
		}
		f.spread(spreadAt)
		select {
		case <-r.ready:
		case <-ctx.Done():
			r.retired = true
			return 0, ctx.Err()
		}
		if n, err, settled := r.result(); settled {
			return n, err
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
func (r *reading) issue(ctx context.Context, w *waiter) error {
	r.left.Store(1) // ours: nothing is ready before all are sent
	for _, pt := range r.parts {
		if pt.err != errUnasked && !lostRequest(pt.err) {
			continue
		}
		h, err := r.f.handle(ctx, w)
		if err != nil {
			if r.left.Add(-1) > 0 {
				r.retired = true // the parts sent still refer to it
			}
			return err
		}
		r.left.Add(1)
		pt.err = nil
		pt.ask(h)
	}
	if r.left.Add(-1) == 0 {
		r.ready <- struct{}{}
	}
	return nil
}

func (pt *part) ask(h *handle) {
	n := int64(len(pt.p) - pt.got)
	pt.h = h
	h.s.pending.Add(n)
	pt.r.f.fly(n)
	h.s.client.StartRead(h.id, pt.p[pt.got:], pt.off+int64(pt.got), pt.done)
}

func (f *file) fly(n int64) {
	f.mu.Lock()
	f.flying += n
	f.mu.Unlock()
}

// completed takes the answer to a READ. A short one is asked on.
func (pt *part) completed(n int, err error) {
	asked := int64(len(pt.p) - pt.got)
	pt.h.s.pending.Add(-asked)
	pt.r.f.fly(-asked)
	pt.got += n
	if err == nil && pt.got < len(pt.p) {
		if n == 0 {
			err = syscall.EIO
		} else {
			pt.ask(pt.h)
			return
		}
	}
	pt.err = err
	if r := pt.r; r.left.Add(-1) == 0 {
		r.ready <- struct{}{}
	}
}

// result puts the parts together. It is not settled while parts have to be
// asked again.
func (r *reading) result() (n int, err error, settled bool) {
	for _, pt := range r.parts {
		if lostRequest(pt.err) {
			r.f.p.dropSession(pt.h.s)
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
