package pool

import (
	"context"
	"syscall"
	"time"
)

// writeWindow bounds the unacknowledged data of a file. It is also the largest
// hole that a crash can leave in a file written over several sessions.
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

// gatherFor is how long a write waits for others to be sent with.
const gatherFor = 500 * time.Millisecond

// WriteAt implements File.
func (f *file) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if f.flag&FlagWrite == 0 {
		return 0, PathError("write", f.name(), syscall.EBADF)
	}
	done := 0
	for done < len(p) {
		if err := f.room(ctx); err != nil {
			return done, pathError("write", f.name(), err)
		}
		n, err := f.gather(ctx, p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, pathError("write", f.name(), err)
		}
	}
	return done, nil
}

// room waits until the bound on unacknowledged data lets one more chunk in. It
// ends: what cannot be sent within the retry time is dropped.
func (f *file) room(ctx context.Context) error {
	for {
		f.mu.Lock()
		if err := f.takeErr(); err != nil {
			f.mu.Unlock()
			return err
		}
		free := f.out.held < writeWindow && (f.p.writeHeld.Load() < f.p.cfg.WriteMemory || f.out.held == 0)
		if free {
			f.mu.Unlock()
			return nil
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
}

// takeErr gives an error of earlier writes, once, and the lasting one; mu is
// held.
func (f *file) takeErr() error {
	if f.closed {
		return syscall.EBADF
	}
	if err := f.out.err; err != nil {
		f.out.err = nil
		return err
	}
	return f.stale
}

// wait waits for the next change of the outgoing data. mu is held, and free
// when it returns. Other files' data may be what is in the way, so it looks
// again after a while.
func (f *file) wait(ctx context.Context) error {
	f.out.waiting++
	changed := f.out.changed
	f.mu.Unlock()
	again := time.NewTimer(50 * time.Millisecond)
	defer again.Stop()
	defer func() {
		f.mu.Lock()
		f.out.waiting--
		f.mu.Unlock()
	}()
	select {
	case <-changed:
	case <-again.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// gather takes up to one packet of data, and sends what is full.
func (f *file) gather(ctx context.Context, p []byte, off int64) (int, error) {
	f.sendMu.Lock()
	defer f.sendMu.Unlock()
	packet := f.packet()
	f.mu.Lock()
	if c := f.out.current; c != nil && !c.takes(off, packet) {
		f.mu.Unlock()
		f.send()
		f.mu.Lock()
	}
	f.wrote = true
	f.out.times.Fields &^= SetMtime
	if f.out.current == nil {
		n := min(len(p), packet)
		if f.out.overlaps(off, off+int64(n)) && f.inOrder() == nil {
			f.mu.Unlock()
			if err := f.emptied(ctx, f.lastSeq()); err != nil {
				return 0, err
			}
			f.mu.Lock()
		}
		c := f.p.chunks.Get().(*chunk)
		c.f, c.off, c.buf = f, off, takeBuffer(n)
		f.out.current = c
	}
	c := f.out.current
	n, grown := c.add(p, off, packet)
	f.out.held += int64(grown)
	f.p.writeHeld.Add(int64(grown))
	f.out.end = max(f.out.end, c.end())
	full := len(c.buf) == packet
	striped := full && f.out.end >= stripedFrom
	if !full {
		f.armTimer()
	}
	f.mu.Unlock()
	if full {
		f.send()
	}
	if striped {
		f.spread(writeFlight * 3 / 4)
	}
	return n, nil
}

// packet is how much one WRITE carries.
func (f *file) packet() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.handles {
		return min(int(h.s.client.Limits().MaxWrite), largestBuffer)
	}
	return 32 << 10
}

// inOrder is the handle all of whose requests are executed in the order sent, so
// that overlapping writes and what depends on them may follow each other without
// waiting: the only one, of a server that keeps order. Else it is nil; mu is held.
func (f *file) inOrder() *handle {
	live := f.live()
	if len(live) == 1 && live[0].s.ordered && !f.out.mending {
		return live[0]
	}
	return nil
}

// send issues what has been gathered; sendMu is held.
func (f *file) send() {
	f.mu.Lock()
	c := f.out.current
	if c == nil {
		f.mu.Unlock()
		return
	}
	f.out.current = nil
	f.stopTimer()
	f.out.push(c)
	f.pump()
	f.mu.Unlock()
}

// pump sends what waits, in the order of writing, as far as there is room under
// way; mu is held.
func (f *file) pump() {
	for c := f.out.unsent(); c != nil; c = f.out.unsent() {
		if f.out.mending || f.stale != nil || len(f.live()) == 0 {
			f.mend()
			return
		}
		h := f.roomiest(func(h *handle) bool { return h.writing < h.flight(len(f.handles)) })
		if h == nil {
			return
		}
		f.start(c, h)
	}
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

// start puts a chunk under way on a handle; mu is held.
func (f *file) start(c *chunk, h *handle) {
	n := int64(len(c.buf))
	c.h = h
	f.out.lastSent = time.Now()
	f.out.most = max(f.out.most, c.end())
	f.flying += n
	h.writing += n
	h.s.pending.Add(n)
	h.s.client.StartWrite(h.id, c.buf, c.off, c.done)
}

// completed is what becomes of a WRITE. It runs in the session's reader and
// must not block.
func (c *chunk) completed(err error) {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	n := int64(len(c.buf))
	c.h.s.pending.Add(-n)
	c.h.writing -= n
	f.flying -= n
	c.h = nil
	if err == nil {
		f.p.count.bytesOut.Add(uint64(n))
		f.out.least = max(f.out.least, c.end())
		f.out.remove(c)
		f.free(c)
		if !f.out.mending {
			f.pump()
		}
		f.out.wake()
		return
	}
	if lostRequest(err) {
		f.out.lateTill = time.Now().Add(lateFor)
	} else {
		c.failed = err
	}
	f.mend()
}

// mend starts the goroutine that sends again what was lost and finds out why
// the server refused what it refused; mu is held.
func (f *file) mend() {
	if f.out.mending {
		return
	}
	f.out.mending = true
	f.p.spawn(f.mendLoop, func() {
		f.out.mending = false
		f.out.drop(f, errClosed)
	})
}

// armTimer lets what has been gathered leave after a while; mu is held.
func (f *file) armTimer() {
	if f.out.timer == nil {
		f.out.timer = time.AfterFunc(gatherFor, f.idle)
		return
	}
	f.out.timer.Reset(gatherFor)
}

func (f *file) stopTimer() {
	if f.out.timer != nil {
		f.out.timer.Stop()
	}
}

// idle sends what the program has stopped adding to.
func (f *file) idle() {
	f.mu.Lock()
	times, closed := f.out.times.Fields != 0, f.closed
	f.mu.Unlock()
	if closed {
		return
	}
	if times {
		f.p.spawn(func() {
			if _, err := f.flush(f.p.life, Change{}, false); err != nil {
				f.keepErr(err)
			}
		}, nil)
		return
	}
	f.sendMu.Lock()
	defer f.sendMu.Unlock()
	f.send()
}

// keepErr keeps an error for the next write or flush.
func (f *file) keepErr(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out.err == nil && f.stale == nil {
		f.out.err = err
	}
}
