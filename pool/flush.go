package pool

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// Flush implements File.
func (f *file) Flush(ctx context.Context) (Attr, error) { return f.flushed(ctx, "flush", false) }

// Sync implements File.
func (f *file) Sync(ctx context.Context) (Attr, error) { return f.flushed(ctx, "fsync", true) }

func (f *file) flushed(ctx context.Context, op string, sync bool) (Attr, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	f.mu.Lock()
	a, idle := f.seen, !f.wrote && !f.out.dirty()
	f.mu.Unlock()
	var err error
	if !idle || sync {
		a, err = f.flush(ctx, Change{}, sync)
	}
	f.mu.Lock()
	if earlier := f.takeErr(); earlier != nil {
		err = earlier
	}
	f.mu.Unlock()
	return a, pathError(op, f.name(), err)
}

// A flight is what leaves together behind the last data of a file.
type flight struct {
	calls []*sftp3.Call
	sync  *sftp3.Call
	fstat *sftp3.Call
}

// flush brings all data to the server, then makes a change together with the
// times that were put off, and describes the file.
func (f *file) flush(ctx context.Context, c Change, sync bool) (Attr, error) {
	w := f.p.keep()
	for {
		a, err := f.flushOnce(ctx, w, c, sync)
		switch {
		case lostRequest(err):
			continue
		case errors.Is(err, errAway) && ctx.Err() == nil:
			err = syscall.EIO // the retry time is over
			f.settled()
		}
		return a, errnoOf(err)
	}
}

func (f *file) flushOnce(ctx context.Context, w *waiter, c Change, sync bool) (Attr, error) {
	if err := f.started(ctx); err != nil {
		return Attr{}, err
	}
	asked := time.Now()
	f.sendMu.Lock()
	f.send()
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		f.sendMu.Unlock()
		return Attr{}, syscall.EBADF
	}
	times := f.out.times
	f.out.times = Change{}
	change := times.merge(c)
	seq, have, wrote, sent := f.out.seq, f.seen, f.wrote, f.out.lastSent
	if change.Fields&SetMtime != 0 {
		f.out.asked = &change.Mtime
	}
	look := change.needsPair() && !(wrote && change.isMtime())
	var h *handle
	if f.stale == nil && f.out.unsent() == nil && !look {
		h = f.inOrder()
	}
	f.mu.Unlock()
	var fl *flight
	if h != nil {
		fl = f.startFlight(h, change, have, sync)
	}
	f.sendMu.Unlock()

	err := f.emptied(ctx, seq)
	var a Attr
	switch {
	case fl == nil && err == nil:
		a, err = f.flushApart(ctx, w, change, have, look, sync)
	case fl != nil && err == nil:
		a, err = fl.wait(ctx)
	case fl != nil:
		fl.forget()
	}
	if err == nil {
		f.flushedAs(a, seq, asked, wrote && !sent.IsZero() && change.Fields&SetMtime == 0)
		return a, nil
	}
	if lostRequest(err) || ctx.Err() != nil {
		f.mu.Lock()
		f.out.times = times.merge(f.out.times)
		f.mu.Unlock()
	}
	return a, err
}

// flushedAs notes how the file is on the server after a flush of all up to seq,
// begun at that time. Its mtime tells the server's clock when it is that of our
// last write.
func (f *file) flushedAs(a Attr, seq uint64, asked time.Time, timed bool) {
	f.mu.Lock()
	if f.out.held == 0 && f.out.seq == seq {
		f.wrote = false
		f.seen = a
		f.out.sized(a.Size)
		if timed {
			f.p.clock.learn(a.Mtime, f.out.lastSent, time.Now())
		}
	}
	path := f.path
	f.mu.Unlock()
	f.p.files.note(path, a, asked)
}

// startFlight issues what follows the data, in the order in which it must be
// executed.
func (f *file) startFlight(h *handle, change Change, have Attr, sync bool) *flight {
	fl := new(flight)
	for _, part := range change.parts() {
		fl.calls = append(fl.calls, h.s.client.StartFsetstat(h.id, part.toWire(have)))
	}
	if _, ok := h.s.client.Extension("fsync@openssh.com"); ok && sync {
		fl.sync = h.s.client.StartFsync(h.id)
	}
	fl.fstat = h.s.client.StartFstat(h.id)
	return fl
}

func (fl *flight) wait(ctx context.Context) (Attr, error) {
	var failed error
	keep := func(err error) {
		if err != nil && (failed == nil || lostRequest(err)) {
			failed = err
		}
	}
	for _, call := range fl.calls {
		keep(call.WaitStatus(ctx))
	}
	if fl.sync != nil {
		keep(fl.sync.WaitStatus(ctx))
	}
	w, err := fl.fstat.WaitAttrs(ctx)
	keep(err)
	return fromWire(w), failed
}

func (fl *flight) forget() {
	for _, call := range fl.calls {
		call.Forget()
	}
	if fl.sync != nil {
		fl.sync.Forget()
	}
	fl.fstat.Forget()
}

// flushApart is the flight on a server of which no order is known, or with data
// that went over several sessions: one request after the other.
func (f *file) flushApart(ctx context.Context, w *waiter, change Change, have Attr, look, sync bool) (a Attr, err error) {
	err = f.ask(ctx, w, func(h *handle) error {
		have := have
		if look {
			if have, err = h.fstat(ctx); err != nil {
				return err
			}
		}
		if h.s.ordered && !look {
			a, err = f.startFlight(h, change, have, sync).wait(ctx)
			return err
		}
		for _, part := range change.parts() {
			if err := h.s.client.StartFsetstat(h.id, part.toWire(have)).WaitStatus(ctx); err != nil {
				return err
			}
		}
		if _, ok := h.s.client.Extension("fsync@openssh.com"); ok && sync {
			if err := h.s.client.StartFsync(h.id).WaitStatus(ctx); err != nil {
				return err
			}
		}
		a, err = h.fstat(ctx)
		return err
	})
	return a, err
}

func (f *file) lastSeq() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.seq
}

// emptied waits until all chunks up to seq are acknowledged or given up.
func (f *file) emptied(ctx context.Context, seq uint64) error {
	for {
		f.mu.Lock()
		if f.out.first == nil || f.out.first.seq > seq {
			f.mu.Unlock()
			return nil
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
}

// started waits until all that was written so far is under way.
func (f *file) started(ctx context.Context) error {
	seq := f.sendAll()
	for {
		f.mu.Lock()
		if c := f.out.unsent(); f.out.mending || c == nil || c.seq > seq {
			f.mu.Unlock()
			return nil
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
}

// drain brings the data to the server, without what flush does besides.
func (f *file) drain(ctx context.Context) error {
	return f.emptied(ctx, f.sendAll())
}

// sendAll issues what has been gathered, and tells up to which chunk that is.
func (f *file) sendAll() uint64 {
	f.sendMu.Lock()
	defer f.sendMu.Unlock()
	f.send()
	return f.lastSeq()
}

// drainRange is drain when data in [off, end) is under way.
func (f *file) drainRange(ctx context.Context, off, end int64) error {
	f.mu.Lock()
	c := f.out.current
	touches := f.out.overlaps(off, end) || c != nil && c.off < end && off < c.end()
	f.mu.Unlock()
	if !touches {
		return nil
	}
	return f.drain(ctx)
}

// mendLoop sends again what a cut left unanswered, in the order of writing, and
// explains what the server refused. While it runs, new chunks only queue up
// behind, so that order holds.
func (f *file) mendLoop() {
	w := f.p.keep()
	for {
		f.mu.Lock()
		c := f.out.unsent()
		if c == nil {
			f.out.mending = false
			f.out.wake()
			f.mu.Unlock()
			return
		}
		failed := c.failed
		f.mu.Unlock()
		if failed != nil {
			f.explain(failed)
			continue
		}
		h, err := f.handle(f.p.life, w)
		if err != nil {
			f.lose(err)
			continue
		}
		f.resend(h)
	}
}

// unsent is the first chunk that is not under way.
func (o *outgoing) unsent() *chunk {
	for c := o.first; c != nil; c = c.next {
		if c.h == nil {
			return c
		}
	}
	return nil
}

func (f *file) resend(h *handle) {
	f.mu.Lock()
	c := f.out.unsent()
	if c == nil || c.failed != nil {
		f.mu.Unlock()
		return
	}
	f.start(c, h)
	f.mu.Unlock()
}

// explain finds the errno of a refused write and drops what was refused.
func (f *file) explain(failed error) {
	err := why{f.p, f.p.life}.change(failed, f.name(), largestBuffer)
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := f.out.first; c != nil; {
		next := c.next
		if c.failed != nil {
			f.out.remove(c)
			f.free(c)
		}
		c = next
	}
	if f.out.err == nil {
		f.out.err = err
	}
	f.out.wake()
}

// lose gives up data that could not be brought to the server in time.
func (f *file) lose(err error) {
	if errors.Is(err, errAway) || errors.Is(err, errDisabled) || errors.Is(err, errClosed) {
		err = syscall.EIO
	}
	f.p.reportLost(f, err)
	f.mu.Lock()
	f.out.drop(f, err)
	f.mu.Unlock()
	f.settled()
}

// settled notes that there is nothing left to flush.
func (f *file) settled() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrote = f.wrote && f.out.held > 0
}

// flushAll flushes every open file, until ctx ends.
func (p *Pool) flushAll(ctx context.Context) error {
	var errs []error
	for _, f := range p.files.below(".") {
		if f.isDirty() {
			if _, err := f.Flush(ctx); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
