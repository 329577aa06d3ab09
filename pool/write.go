package pool

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// writeWindow bounds the unacknowledged data of a file. With FlagInOrder a crash leaves
// no hole further before the end than that; else one may lie anywhere, as the data of one
// session waits while that of others is acknowledged.
const writeWindow = 16 << 20

// writeFlight bounds what is under way of a file on one session of OpenSSH when
// the link is short. Its sshd takes a new, larger buffer for each packet that waits
// in a channel: with the whole window of 2 MiB under way, a write of 1 GiB cost the
// server 10 s of CPU and went at 90 MB/s; with this, 4 s and 250 MB/s. More
// sessions make up for it, and what is written meanwhile waits here.
const writeFlight = 512 << 10

// longFlight is the same when the link is long: all of the channel's window, but
// for what frames the data.
const longFlight = 15 << 17

// linkRate is what the sessions of a file together should be able to carry, in
// bytes a second.
const linkRate = 300 << 20

// flight is what may be under way on h, of n sessions; mu is held.
func (h *handle) flight(n int) int64 {
	if !h.s.ordered {
		return writeWindow
	}
	rtt := time.Duration(h.s.conn.rtt.Load())
	return min(max(int64(rtt.Seconds()*linkRate)/int64(n), writeFlight), longFlight)
}

// stripedFrom is the size from which a written file is worth several sessions.
const stripedFrom = 2 << 20

// gatherFor is how long a write waits for others to be sent with: longer than a program
// takes to fill a packet 4 KiB at a time, or from its last write to its close, with which
// the data then leaves, as with whatever else is to come behind it.
const gatherFor = 5 * time.Millisecond

// timesFor is how long times wait for a flush to go with.
const timesFor = 500 * time.Millisecond

// WriteAt implements File.
func (f *file) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if f.flag&remote.FlagWrite == 0 {
		return 0, remote.PathError("write", f.name(), syscall.EBADF)
	}
	done := 0
	for done < len(p) {
		most, err := f.room(ctx, off+int64(done))
		if err != nil {
			return done, pathError("write", f.name(), err)
		}
		done += f.gather(p[done:min(len(p), done+most)], off+int64(done))
	}
	return done, nil
}

// room waits until the bounds on unacknowledged data let one more chunk in, of so many
// bytes at most. It ends: what cannot be sent within the retry time is dropped. A file
// that has none is not kept waiting by others: it gets a packet, and where there are too
// many such files, a small one.
func (f *file) room(ctx context.Context, off int64) (most int, err error) {
	for {
		f.mu.Lock()
		if err := f.takeErr(); err != nil {
			f.mu.Unlock()
			return 0, err
		}
		beyond := f.p.writeTaken.Load() - f.p.cfg.WriteMemory
		if !f.ahead(off) && f.out.held < writeWindow && f.out.count < mostChunks && (beyond < 0 || f.out.held == 0) {
			f.mu.Unlock()
			if beyond > writeWindow {
				return smallBuffer, nil
			}
			return largestBuffer, nil
		}
		if f.out.first == nil {
			f.send() // its own may be what is in the way
		}
		if err := f.wait(ctx); err != nil {
			return 0, err
		}
	}
}

// ahead reports that data at off would lie too far behind what is not acknowledged; mu is
// held.
func (f *file) ahead(off int64) bool {
	if f.flag&remote.FlagInOrder == 0 {
		return false
	}
	c := f.out.first
	if c == nil {
		c = f.out.current
	}
	return c != nil && c.f != nil && off+largestBuffer-c.off > writeWindow
}

// takeErr gives an error of earlier writes, once, and the lasting one; mu is
// held.
func (f *file) takeErr() error {
	if f.closed {
		return syscall.EBADF
	}
	if err := f.err; err != nil {
		f.err = nil
		return err
	}
	return f.stale
}

// wait waits for the next change of the outgoing data. mu is held, and free
// when it returns. Other files' data may be what is in the way, so it looks
// again after a while.
func (o *object) wait(ctx context.Context) error {
	o.out.waiting++
	changed := o.out.changed
	o.mu.Unlock()
	again := time.NewTimer(50 * time.Millisecond)
	defer again.Stop()
	defer func() {
		o.mu.Lock()
		o.out.waiting--
		o.mu.Unlock()
	}()
	select {
	case <-changed:
	case <-again.C:
	case <-o.p.life.Done():
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// gather takes up to one packet of data, and sends what is full.
func (f *file) gather(p []byte, off int64) int {
	f.mu.Lock()
	packet := f.packet()
	if c := f.out.current; c != nil && (c.f != f || !c.takes(off, packet)) {
		f.send()
	}
	f.wrote, f.written, f.filled = true, true, true
	f.made = f.made && f.acknowledged.Load() == 0
	f.out.endKnown = f.out.knowsEnd(f.rtt())
	f.out.changes()
	if f.out.current == nil {
		c := f.p.chunks.Get().(*chunk)
		c.f, c.off, c.buf = f, off, takeBuffer(min(len(p), packet))
		f.out.current = c
		f.out.count++
		f.out.gather = f.later(f.out.gather, gatherFor, f.object.gathered)
	}
	c := f.out.current
	n, grown := c.add(p, off, packet)
	f.out.held += int64(grown)
	f.held += int64(grown)
	f.p.writeHeld.Add(int64(grown))
	f.p.counts(c)
	f.out.end = max(f.out.end, off+int64(n))
	for _, r := range f.reading {
		r.cover(p[:n], off)
	}
	full := len(c.buf) == packet
	if full {
		f.send()
	}
	striped := full && f.out.end >= stripedFrom
	f.mu.Unlock()
	if striped {
		f.spread(writeFlight * 3 / 4)
	}
	return n
}

// later arms a timer of the object's; mu is held.
func (o *object) later(t *time.Timer, d time.Duration, do func()) *time.Timer {
	if t == nil {
		return time.AfterFunc(d, do)
	}
	t.Reset(d)
	return t
}

// rtt is the round-trip time to the server, as far as it is known; mu is held.
func (f *file) rtt() time.Duration {
	for _, h := range f.handles {
		return time.Duration(h.s.conn.rtt.Load())
	}
	return 0
}

// packet is how much one WRITE carries; mu is held.
func (f *file) packet() int {
	s := f.left // where it was closed with a flush
	if len(f.handles) > 0 {
		s = f.handles[0].s
	}
	if s == nil || len(f.handles) == 0 && !s.alive() {
		return 32 << 10
	}
	return min(int(s.client.Limits().MaxWrite), largestBuffer)
}

// gathered sends what has waited for more for long enough.
func (o *object) gathered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.send()
}

// send puts what has been gathered into the list, and sends what can go; mu is held.
func (o *object) send() {
	if c := o.out.current; c != nil {
		o.out.current = nil
		o.out.push(c)
	}
	o.pump()
}

// mostPassed is how many chunks that must wait are passed by to look for some that
// need not.
const mostPassed = 16

// pump sends what waits, in the order of writing but for what has to wait for
// something else; mu is held.
func (o *object) pump() {
	passed := 0
	suspect := o.firstSuspect()
	if suspect != nil && suspect.h != nil {
		return // nothing goes beside it
	}
	for c := o.out.first; c != nil && passed < mostPassed; c = c.next {
		if c.h != nil || c.f == nil || c.failed != nil {
			continue
		}
		if c == suspect && o.isFlying() {
			return
		}
		if !c.f.canSend() {
			if passed++; c == suspect {
				return
			}
			continue
		}
		h, clear := o.way(c)
		switch {
		case !clear:
			passed++
		case h == nil:
			if len(c.f.handles) == 0 { // their sessions have ended since canSend looked
				c.f.mend()
			}
			return // there is no room
		default:
			o.split(c, o.p.piece(h))
			o.start(c, h)
		}
		if c == suspect {
			return // nothing goes beside it
		}
	}
}

// piece is how much one WRITE carries through h. What was gathered for one session may go
// on another, of a server that takes less.
func (p *Pool) piece(h *handle) int {
	most := h.s.client.Limits().MaxWrite
	if p.up.pieces() {
		most = min(most, suspectPiece)
	}
	return most
}

// canSend reports whether the File can be written to just now; else it has what
// waits brought under way again. mu is held.
func (f *file) canSend() bool {
	if f.mending {
		return false
	}
	if f.stale != nil || len(f.live()) == 0 {
		f.mend()
		return false
	}
	return true
}

// way finds the handle for a chunk. It is clear when nothing that was written
// before and is unanswered overlaps it, or only on one session that keeps order:
// then it goes there. The handle is nil when there is no room on it. mu is held.
func (o *object) way(c *chunk) (h *handle, clear bool) {
	var s *session
	for e := o.out.first; e != c; e = e.next {
		if !e.meets(c.off, c.end()) {
			continue
		}
		if e.h == nil || !e.h.s.ordered || s != nil && e.h.s != s {
			return nil, false
		}
		s = e.h.s
	}
	if o.out.isLate(c) {
		return nil, false
	}
	n := c.f.carriers()
	if s == nil {
		if c.f.isWriting() && !o.p.up.hasRoom() {
			return nil, true
		}
		return c.f.roomiest(func(h *handle) bool { return h.writing < h.flight(n) }), true
	}
	for _, h := range c.f.handles {
		if h.s == s {
			if h.writing >= h.flight(n) {
				h = nil
			}
			return h, true
		}
	}
	return nil, false
}

// isWriting reports whether an acknowledgement is awaited after which more can leave; mu
// is held.
func (f *file) isWriting() bool {
	return slices.ContainsFunc(f.handles, func(h *handle) bool { return h.writing > 0 })
}

// roomiest is the handle with room on which more data goes, or nil when all are
// full. The interactive connection is not used beside others; mu is held.
func (f *file) roomiest(room func(*handle) bool) *handle {
	var best *handle
	beside := false
	for _, h := range f.live() {
		beside = beside || !h.s.conn.interactive.Load()
		if room(h) && (best == nil || h.load() < best.load()) {
			best = h
		}
	}
	if best != nil && beside && best.s.conn.interactive.Load() {
		return nil
	}
	return best
}

// carriers is on how many handles data goes, as roomiest has it; mu is held.
func (f *file) carriers() int {
	if n := bulkHandles(f.handles); n > 0 {
		return n
	}
	return len(f.handles)
}

// bulkHandles is how many of these are not on the interactive connection.
func bulkHandles(of []*handle) (n int) {
	for _, h := range of {
		if !h.s.conn.interactive.Load() {
			n++
		}
	}
	return n
}

// start puts a chunk under way on a handle; mu is held.
func (o *object) start(c *chunk, h *handle) {
	n := int64(len(c.buf))
	c.h = h
	o.out.leaves()
	o.out.most = max(o.out.most, c.end())
	c.f.flying += n
	h.writing += n
	h.s.pending.Add(n)
	o.p.up.flying.Add(n)
	c.left = time.Now()
	h.s.client.StartWrite(h.id, c.buf, c.off, c.done)
}

// completed is what becomes of a WRITE. It runs in the session's reader and
// must not block.
func (c *chunk) completed(err error) {
	f := c.f
	o := f.object
	o.mu.Lock()
	defer o.mu.Unlock()
	n := int64(len(c.buf))
	c.h.s.pending.Add(-n)
	c.h.writing -= n
	o.p.up.flying.Add(-n)
	if err == nil {
		o.p.up.took(c.h.s.conn, len(c.buf), c.left, o.out.held > n)
	}
	f.flying -= n
	lostOn := c.h.s.conn
	c.h = nil
	switch {
	case err == nil:
		f.p.count.bytesOut.Add(uint64(n))
		o.acknowledged.Add(uint64(n))
		f.losses = losses{}
		o.out.stirred = time.Now()
		if c.end() == o.out.end {
			o.out.endAt = o.out.stirred
		}
		o.out.least = max(o.out.least, o.out.spared(c.end()))
		o.out.remove(c)
		o.free(c)
		o.pump()
		o.out.wake()
	case lostRequest(err):
		if !errors.Is(err, sftp3.ErrUnsent) {
			o.doubt(c.off, c.end(), c.seq)
		}
		f.lostHandles(c, lostOn, errors.Is(err, sftp3.ErrOldest))
		f.mend()
	default:
		c.failed = err
		o.explain()
	}
}

// doubt notes that the server may yet make a change of [off, end) whose answer was
// lost, that of the chunk with that number; mu is held.
func (o *object) doubt(off, end int64, seq uint64) {
	o.comesLate(late{off: off, end: end, seq: seq, till: time.Now().Add(lateFor)})
}

// mend starts the goroutine that brings a File's data under way again when a cut
// took its handles; mu is held.
func (f *file) mend() {
	if f.mending {
		return
	}
	f.mending = true
	f.p.spawn(f.mendLoop, func() { f.mending = false }) // the end of the Pool drops it
}
