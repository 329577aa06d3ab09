package pool

import (
	"slices"
	"syscall"
	"time"
)

// losses are those of what a File sent since the server last acknowledged some of
// it.
type losses struct {
	tries  int     // how often all handles were lost in a row
	conn   *conn   // that of the last
	oldest *chunk  // what had waited longest on the session that was last lost, if that is the File's
	w      *waiter // bounds all of it
}

// lostHandles notes that a chunk was lost with its session, oldest if it was the request
// that the session ended under; mu is held.
func (f *file) lostHandles(c *chunk, on *conn, oldest bool) {
	if !f.mending {
		f.losses.tries++
		f.losses.conn = on
	}
	if oldest {
		f.losses.oldest, f.losses.conn = c, on
	}
}

// mendLoop gets a File with unsent data a handle again, or gives the data up.
func (f *file) mendLoop() {
	f.mu.Lock()
	l := &f.losses
	if l.w == nil {
		l.w = f.p.keep()
	}
	w, tries := l.w, l.tries
	f.mu.Unlock()
	err := sleep(f.p.life, pause(tries))
	if err == nil && tries > 1 {
		err = f.accuse(w)
	}
	if err == nil {
		_, err = f.handle(f.p.life, w)
	}
	if err != nil {
		f.lose(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mending = false
	f.pump()
	f.out.wake()
}

// accuse gives data up that was lost for longer than data is kept, or under which each
// time the session ended while the connection went on, so that it is the data that the
// server cannot stand. Such a chunk goes alone from the second time on, in small
// pieces: what the server can take of it, it gets.
func (f *file) accuse(w *waiter) error {
	f.mu.Lock()
	c, on := f.losses.oldest, f.losses.conn
	f.losses.oldest = nil
	f.mu.Unlock()
	lives := f.p.has(on)
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(w.start) > w.limit {
		return syscall.EIO
	}
	if c == nil || !f.waits(c) {
		return nil
	}
	if !lives { // the link may be too bad for as much at a time
		f.split(c, suspectPiece)
		return nil
	}
	if c.killed == 0 {
		f.out.suspects++
	}
	if c.killed++; c.killed >= maxKills-1 { // the first was not counted
		return syscall.EIO
	}
	f.split(c, suspectPiece)
	return nil
}

// waits reports whether a chunk of the File's waits to be sent again; mu is held.
func (f *file) waits(c *chunk) bool {
	for e := f.out.first; e != nil; e = e.next {
		if e == c {
			return c.f == f && c.h == nil && c.failed == nil
		}
	}
	return false
}

// suspectPiece is how much goes at a time of what was lost again and again.
const suspectPiece = mediumBuffer

// split cuts a chunk that is larger into pieces of that size, which are suspects if it
// is, and has none take more than twice the memory of its data, beyond the smallest; mu
// is held.
func (o *object) split(c *chunk, piece int) {
	for len(c.buf) > piece {
		at := (len(c.buf) - 1) / piece * piece
		tail := o.p.chunks.Get().(*chunk)
		tail.f, tail.off, tail.seq, tail.killed = c.f, c.off+int64(at), c.seq, c.killed
		tail.buf = append(takeBuffer(len(c.buf)-at), c.buf[at:]...)
		c.buf = c.buf[:at]
		o.p.counts(tail)
		o.out.insert(tail, c)
		o.out.count++
		if c.killed > 0 {
			o.out.suspects++
		}
	}
	if loose := c.buf; cap(loose) > max(2*len(loose), smallBuffer) {
		c.buf = append(takeBuffer(len(loose)), loose...)
		giveBuffer(loose)
		o.p.counts(c)
	}
}

// firstSuspect is the suspect that goes next, or nil; mu is held.
func (o *object) firstSuspect() *chunk {
	if o.out.suspects == 0 {
		return nil
	}
	for c := o.out.first; c != nil; c = c.next {
		if c.killed > 0 {
			return c
		}
	}
	return nil
}

// isFlying reports whether any data is under way; mu is held.
func (o *object) isFlying() bool {
	for c := o.out.first; c != nil; c = c.next {
		if c.h != nil {
			return true
		}
	}
	return false
}

// has reports whether a connection is in use.
func (p *Pool) has(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.conns, c)
}

// again asks for the parts that were lost.
func (r *reading) again() {
	killed := false
	r.tries++
	had := 0
	for _, pt := range r.parts {
		had += pt.got
	}
	if had > r.had {
		r.had, r.tries = had, min(r.tries, 2)
	}
	for _, pt := range r.parts {
		if lostRequest(pt.err) && pt.h != nil {
			r.f.p.dropSession(pt.h.s)
			killed = r.kills.another(r.f.p, pt.h.s, pt.err) || killed
		}
		if v := broken(pt.err, r.tries); v != nil {
			r.end(0, v)
			return
		}
	}
	if killed {
		r.end(0, syscall.EIO)
		return
	}
	err := sleep(r.ctx, pause(r.tries))
	if r.tries >= maxTries && time.Since(r.w.start) > r.f.p.cfg.Timeout {
		err = errAway
	}
	if err == nil {
		err = r.issue()
	}
	if err != nil {
		r.end(0, err)
	}
}
