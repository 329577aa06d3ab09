package pool

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// A reading is one ReadAt: packets on one or several sessions. What was written
// and is not acknowledged at any moment between its beginning and its answer is laid
// over what the server gives.
type reading struct {
	f     *file
	ctx   context.Context
	w     *waiter
	left  atomic.Int32 // parts waiting or under way
	tries int          // how often parts were lost since some of it came
	had   int          // how much had come when parts were last lost
	kills kills        // of these, with their session alone
	parts []*part
	told  func(n int, err error)
	stop  func() bool // keeps the end of ctx from ending the reading, once

	p       []byte
	off     int64
	over    []byte    // guarded by object.mu; as long as p, made for the first that was written...
	covered []stretch // guarded by object.mu; ...and where it counts, in order and apart
	least   int64     // guarded by object.mu; where the file ends with what was written
}

// A stretch is a part of a reading's range.
type stretch struct{ from, to int }

// cover notes data that was written; mu is held.
func (r *reading) cover(p []byte, off int64) {
	end := off + int64(len(p))
	r.least = max(r.least, end)
	from, to := max(off, r.off), min(end, r.off+int64(len(r.p)))
	if from >= to {
		return
	}
	if r.over == nil {
		r.over = make([]byte, len(r.p))
	}
	s := stretch{int(from - r.off), int(to - r.off)}
	copy(r.over[s.from:s.to], p[from-off:])
	i, _ := slices.BinarySearchFunc(r.covered, s.from, func(c stretch, from int) int { return c.to - from })
	j := i
	for ; j < len(r.covered) && r.covered[j].from <= s.to; j++ {
		s = stretch{min(s.from, r.covered[j].from), max(s.to, r.covered[j].to)}
	}
	r.covered = slices.Replace(r.covered, i, j, s)
}

// isCovered reports whether all that is asked for was written and is not
// acknowledged, so that the server need not be asked; mu is held.
func (r *reading) isCovered() bool {
	return len(r.covered) == 1 && r.covered[0] == stretch{0, len(r.p)}
}

// A part is a packet of a reading. Only its session's reader touches it while
// it is under way, and who holds file.mu while it waits for that.
type part struct {
	r     *reading
	h     *handle
	p     []byte
	off   int64
	got   int
	asks  int64     // of what is left, what is under way...
	asked time.Time // ...and since when
	err   error
	done  func(int, error)
}

var readings = sync.Pool{New: func() any { return new(reading) }}

// ReadAt implements File.
func (f *file) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	ready := make(chan struct{})
	f.StartReadAt(ctx, p, off, true, func(got int, why error) {
		n, err = got, why
		close(ready)
	})
	<-ready
	return n, err
}

// Borrow implements File.
func (f *file) Borrow(ctx context.Context, off int64, n int) (data [][]byte, release func(), err error) {
	return remote.Lend(ctx, f, off, n)
}

// StartReadAt implements File.
func (f *file) StartReadAt(ctx context.Context, p []byte, off int64, wait bool, told func(n int, err error)) bool {
	if wait {
		f.gate.RLock()
		r := f.newReading(ctx, p, off, told)
		if err := r.issue(); err != nil {
			r.end(0, err)
		}
		return true
	}
	if !f.gate.TryRLock() {
		return false
	}
	r := f.newReading(ctx, p, off, told)
	if r.enqueue() {
		return true
	}
	r.leave()
	if !r.stop() {
		return true // ctx has ended, and told it
	}
	f.gate.RUnlock()
	return false
}

// newReading is under way from its making: the end of ctx ends it. The gate is held.
func (f *file) newReading(ctx context.Context, p []byte, off int64, told func(int, error)) *reading {
	r := readings.Get().(*reading)
	r.f, r.ctx, r.w, r.told, r.tries, r.had, r.kills = f, ctx, f.p.look(), told, 0, 0, 0
	r.split(p, off, f.most)
	r.join()
	r.stop = context.AfterFunc(ctx, func() { r.tell(0, ctx.Err()) })
	return r
}

// join has the object tell what is written from now on, beside what is under way.
func (r *reading) join() {
	o := r.f.object
	o.mu.Lock()
	defer o.mu.Unlock()
	r.over, r.covered, r.least = nil, r.covered[:0], 0
	for c := o.out.first; c != nil; c = c.next {
		if c.f != nil {
			r.cover(c.buf, c.off)
		}
	}
	if c := o.out.current; c != nil {
		r.cover(c.buf, c.off)
	}
	o.reading = append(o.reading, r)
}

// leave ends what join began.
func (r *reading) leave() {
	o := r.f.object
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.reading, r); i >= 0 {
		o.reading = slices.Delete(o.reading, i, i+1)
	}
}

// end tells the outcome, unless the end of ctx was told. Nothing is under way.
func (r *reading) end(n int, err error) {
	r.leave()
	if r.stop() {
		r.tell(n, err)
		for _, pt := range r.parts {
			pt.p = nil // a spare reading keeps no data from being given back
		}
		r.f, r.ctx, r.w, r.told, r.stop, r.p, r.over = nil, nil, nil, nil, nil, nil, nil
		readings.Put(r)
	}
}

func (r *reading) tell(n int, err error) {
	f := r.f
	if n > 0 {
		f.p.count.bytesIn.Add(uint64(n))
	}
	if err != nil && err != io.EOF {
		err = pathError("read", f.name(), errnoOf(err))
	}
	f.gate.RUnlock()
	r.told(n, err)
}

// split cuts the range into packets.
func (r *reading) split(p []byte, off int64, packet int) {
	n := 0
	r.p, r.off = p, off
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

// issue has every part asked for that was not yet, or in vain.
func (r *reading) issue() error {
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if r.enqueue() {
			return nil
		}
		if _, err := r.f.handle(r.ctx, r.w); err != nil {
			return err
		}
	}
}

// enqueue puts these parts behind those that wait to be asked for, when there is a
// handle to ask through.
func (r *reading) enqueue() bool {
	f := r.f
	f.mu.Lock()
	if r.isCovered() && f.stale == nil && !f.closed {
		for _, pt := range r.parts {
			pt.got, pt.err = len(pt.p), nil
		}
		f.mu.Unlock()
		go r.arrived() // it is all here
		return true
	}
	if len(f.live()) == 0 || f.stale != nil || f.closed {
		f.mu.Unlock()
		return false
	}
	n := int32(0)
	for _, pt := range r.parts {
		if pt.err == errUnasked || lostRequest(pt.err) {
			pt.err, pt.h = nil, nil
			f.flying += int64(len(pt.p) - pt.got)
			f.reads = append(f.reads, pt)
			n++
		}
	}
	r.left.Store(n)
	if n == 0 {
		go r.arrived() // nothing was to be read
	}
	f.feed()
	f.mu.Unlock()
	f.spread(spreadAt)
	return true
}

// readFlight bounds what is asked for through one handle: half as much again as the
// channel window that x/crypto/ssh gives the server. What waits beyond that can go
// to the next session that comes up.
const readFlight = 3 << 20

// feed asks for the parts that wait, as far as there is room under way; mu is held.
func (f *file) feed() {
	for len(f.reads) > 0 {
		h := f.roomiest(func(h *handle) bool { return h.reading < readFlight })
		if h == nil && len(f.live()) > 0 || h != nil && f.isReading() && !f.p.down.hasRoom() {
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
		if pt.settled() {
			go pt.r.arrived()
		}
	}
}

// isReading reports whether an answer is awaited after which more can be asked for; mu
// is held.
func (f *file) isReading() bool {
	return slices.ContainsFunc(f.handles, func(h *handle) bool { return h.reading > 0 })
}

// ask sends the request; mu is held. What was lost more than once is asked for in small
// pieces: a whole packet may be more than a bad link carries at a time.
func (pt *part) ask(h *handle) {
	n := len(pt.p) - pt.got
	if pt.r.tries > 1 || pt.r.f.p.down.pieces() {
		n = min(n, suspectPiece)
	}
	pt.h, pt.asks, pt.asked = h, int64(n), time.Now()
	pt.r.f.p.down.flying.Add(pt.asks)
	h.reading += pt.asks
	h.s.pending.Add(pt.asks)
	h.s.client.StartRead(h.reads, pt.p[pt.got:pt.got+n], pt.off+int64(pt.got), pt.done)
}

// completed takes the answer to a READ.
func (pt *part) completed(n int, err error) {
	if pt.answered(n, err) {
		pt.r.arrived()
	}
}

// answered notes what was answered, asks on after a short answer, and reports
// whether the reading waits for nothing more.
func (pt *part) answered(n int, err error) bool {
	f, left := pt.r.f, int64(len(pt.p)-pt.got)
	f.mu.Lock()
	defer f.mu.Unlock()
	pt.h.s.pending.Add(-pt.asks)
	pt.h.reading -= pt.asks
	f.p.down.flying.Add(-pt.asks)
	if err == nil {
		f.p.down.took(pt.h.s.conn, n, pt.asked, len(f.reads) > 0)
	}
	f.flying -= int64(n)
	pt.got += n
	if err == nil && pt.got < len(pt.p) {
		if n > 0 {
			pt.ask(pt.h)
			return false
		}
		err = syscall.EIO
	}
	f.flying -= left - int64(n)
	pt.err = err
	f.feed()
	return pt.settled()
}

// settled notes that nothing is under way for the part, and reports whether that
// was the last.
func (pt *part) settled() bool { return pt.r.left.Add(-1) == 0 }

// arrived goes on when every part is settled.
func (r *reading) arrived() {
	for _, pt := range r.parts {
		if lostRequest(pt.err) {
			go r.again()
			return
		}
	}
	if r.isCutShort() {
		go r.beyond()
		return
	}
	r.end(r.result())
}

// result puts together what the server gave and what was written meanwhile. The file
// is never shorter than that makes it, and what the server does not have yet of the
// stretch in front of it is zeros.
func (r *reading) result() (n int, err error) {
	o := r.f.object
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, pt := range r.parts {
		if pt.err == io.EOF && pt.off+int64(pt.got) < r.least {
			more := int(min(int64(len(pt.p)-pt.got), r.least-pt.off-int64(pt.got)))
			clear(pt.p[pt.got : pt.got+more])
			if pt.got += more; pt.got == len(pt.p) {
				pt.err = nil
			}
		}
		n += pt.got
		if err = pt.err; err != nil {
			break
		}
	}
	for _, c := range r.covered {
		if c.from < n {
			copy(r.p[c.from:n], r.over[c.from:c.to])
		}
	}
	return n, err
}
