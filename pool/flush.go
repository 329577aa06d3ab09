package pool

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// Flush implements File.
func (f *file) Flush(ctx context.Context) (remote.Attr, error) {
	return f.flushed(ctx, "flush", thenClose)
}

// Sync implements File.
func (f *file) Sync(ctx context.Context) (remote.Attr, error) {
	return f.flushed(ctx, "fsync", thenSync)
}

// A sequel is what a flush brings behind the data.
type sequel int

const (
	nothing   sequel = iota
	thenSync         // the server's fsync
	thenClose        // its CLOSE behind data, where that may be
	thenEnd          // the same behind any change, as nothing comes after it
)

func (f *file) flushed(ctx context.Context, op string, then sequel) (remote.Attr, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	a, err := f.flush(ctx, f.p.keep(), remote.Change{}, then)
	f.mu.Lock()
	if then == thenSync || f.flag&remote.FlagWrite != 0 {
		if earlier := f.takeErr(); earlier != nil {
			err = earlier
		}
	}
	f.mu.Unlock()
	return a, pathError(op, f.name(), err)
}

// A flight is what leaves together behind the last data of a file.
type flight struct {
	times *sftp3.Call // sets the times that waited: that they are refused takes no data along
	calls []*sftp3.Call
	sync  *sftp3.Call
	fstat *sftp3.Call
	close []*sftp3.Call

	f       *file
	s       *session
	refused error // the times were
}

// flush brings all data of the object to the server, whichever File wrote it, then
// makes a change together with the times that were put off, and describes the file.
// One flush flies at a time; who comes meanwhile waits for it.
func (f *file) flush(ctx context.Context, w *waiter, c remote.Change, then sequel) (remote.Attr, error) {
	if err := f.takeTurn(ctx); err != nil {
		return remote.Attr{}, err
	}
	defer f.giveTurn()
	f.mu.Lock()
	a, idle := f.seen, !f.wrote && !f.out.dirty() && c.Fields == 0 && then != thenSync && (then != thenClose || !f.mayClose(then, 0))
	unclosed := idle && then == thenClose && f.filled && !f.keeps && f.isCutOff()
	f.mu.Unlock()
	if unclosed {
		return a, f.unclosed(ctx)
	}
	if idle {
		return a, nil
	}
	var b *barrier
	if c.Fields&remote.SetSize != 0 {
		b = f.block(c.Size, endless)
		defer b.end()
	}
	for tries := 1; ; tries++ {
		a, err := f.flushOnce(ctx, w, c, then, b)
		if lostRequest(err) || err != nil && ctx.Err() != nil {
			b.doubt()
		}
		if lostRequest(err) {
			if err = hopeless(err, tries, w); err == nil {
				continue
			}
		}
		switch {
		case errors.Is(err, errAway) && ctx.Err() == nil && w.patient:
			err = syscall.EIO // the retry time is over
			f.settled()
		case err == nil && c.Fields&remote.SetSize != 0:
			f.cut(c.Size)
		}
		return a, errnoOf(err)
	}
}

// flushOnce flushes what was written, as far as it lies before a barrier, if there is
// one.
func (f *file) flushOnce(ctx context.Context, w *waiter, c remote.Change, then sequel, b *barrier) (remote.Attr, error) {
	upTo := uint64(endless)
	if b != nil {
		upTo = b.c.seq - 1
	}
	err := f.started(ctx, upTo)
	if err == nil {
		err = b.safe(ctx)
	}
	if err != nil {
		return remote.Attr{}, err
	}
	asked := time.Now()
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return remote.Attr{}, syscall.EBADF
	}
	f.send()
	waited, times := f.out.times, f.out.times
	f.out.times = remote.Change{}
	if c.Fields&(remote.SetMtime|remote.SetSize) != 0 {
		f.out.told = 0
	}
	told := f.out.told // it stays there for who asks meanwhile
	if told != 0 {
		times = times.Merge(remote.Change{Fields: remote.SetMtime, Mtime: told})
	}
	if c.Fields&(remote.SetAtime|remote.SetMtime) != 0 {
		waited.Fields &^= c.Fields
		c, times = times.Merge(c), remote.Change{}
	}
	set := times.Merge(c)
	seq, have, wrote, sent := f.out.seq, f.seen, f.wrote, f.out.lastSent
	if set.Fields&remote.SetMtime != 0 {
		f.out.asked = &set.Mtime
	}
	lacks := func(c remote.Change) bool { return needsPair(c) && !(wrote && isMtime(c)) }
	look := lacks(times) || lacks(c)
	var fl *flight
	if f.stale == nil && !look {
		if h := f.inOrder(min(seq, upTo)); h != nil {
			fl = f.startFlight(h, times, c, have, then, 0)
		}
	}
	f.mu.Unlock()

	err = f.emptied(ctx, min(seq, upTo))
	if fl == nil && err == nil {
		err = b.safe(ctx)
	}
	var a remote.Attr
	var refused error // of times that waited
	switch {
	case fl == nil && err == nil && c.Fields == 0 && f.failed() != nil:
		err = f.failed() // the data was given up: no more is waited for
	case fl == nil && err == nil:
		a, refused, err = f.flushApart(ctx, w, b, times, c, have, look, then)
	case fl != nil && err == nil:
		a, err = fl.wait(ctx)
		refused = fl.refused
	case fl != nil:
		fl.forget()
	}
	if err == nil {
		switch {
		case waited.Fields != 0 && refused != nil:
			f.p.timesRefused(f.name(), refused)
		case waited.Fields != 0:
			f.p.sawTime(waited, a)
		}
		f.flushedAs(a, seq, asked, wrote && !sent.IsZero() && set.Fields&remote.SetMtime == 0)
		return a, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case lostRequest(err) || ctx.Err() != nil:
		if f.out.seq != seq || f.out.current != nil {
			waited.Fields &^= remote.SetMtime // what was written since changes that
		}
		f.out.times = waited.Merge(f.out.times)
	case waited.Fields != 0 && c.Fields == 0:
		f.fail(errnoOf(err)) // whoever set them is told, also when somebody else flushes
	}
	return a, err
}

// failed is what the next flush will tell.
func (f *file) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// flushedAs notes how the file is on the server after a flush of all up to seq,
// begun at that time. Its mtime tells the server's clock when it is that of our
// last write.
func (o *object) flushedAs(a remote.Attr, seq uint64, asked time.Time, timed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.endKnown = false // others may append now
	o.made = false
	if o.out.held == 0 && o.out.seq == seq {
		timed = timed && a.Mtime != o.seen.Mtime // else it was set, or a change has left it as it was
		if o.out.told != 0 && o.out.told != a.Mtime {
			o.p.quirks.inexact.Store(true)
		}
		o.wrote, o.out.told = false, 0
		o.seen = a
		o.out.sized(a.Size)
		if timed {
			o.p.clock.learn(a.Mtime, o.out.lastSent, time.Now())
		}
	}
	o.note(a, asked)
}

// inOrder is the handle all of whose requests are executed in order behind the data
// up to seq: all of that is under way, and on the session of that handle. Else it is
// nil; mu is held.
func (f *file) inOrder(seq uint64) *handle {
	var s *session
	for c := f.out.first; c != nil && c.seq <= seq; c = c.next {
		if c.h == nil || !c.h.s.ordered || s != nil && c.h.s != s {
			return nil
		}
		s = c.h.s
	}
	if s == nil {
		if h := f.lightest(); h != nil && h.s.ordered {
			return h
		}
		return nil
	}
	for _, h := range f.live() {
		if h.s == s {
			return h
		}
	}
	return nil
}

// startFlight issues what follows the data, in the order in which it must be
// executed; mu is held.
func (f *file) startFlight(h *handle, times, change remote.Change, have remote.Attr, then sequel, asking int) *flight {
	fl := &flight{f: f, s: h.s}
	if times.Fields != 0 {
		fl.times = h.s.client.StartFsetstat(h.id, toWire(times, have))
	}
	for _, part := range partsOf(change) {
		fl.calls = append(fl.calls, h.s.client.StartFsetstat(h.id, toWire(part, have)))
	}
	if _, ok := h.s.client.Extension("fsync@openssh.com"); ok && then == thenSync {
		fl.sync = h.s.client.StartFsync(h.id)
	}
	fl.fstat = h.s.client.StartFstat(h.id)
	fl.close = f.closing(then, asking)
	return fl
}

func (fl *flight) wait(ctx context.Context) (remote.Attr, error) {
	var failed error
	keep := func(err error) {
		if err != nil && (failed == nil || lostRequest(err) && !lostRequest(failed)) {
			failed = err
		}
	}
	if fl.times != nil {
		var err error
		fl.refused, err = declined(fl.times.WaitStatus(ctx))
		keep(err)
	}
	for _, call := range fl.calls {
		keep(call.WaitStatus(ctx))
	}
	if fl.sync != nil {
		keep(fl.sync.WaitStatus(ctx))
	}
	w, err := fl.fstat.WaitAttrs(ctx)
	keep(err)
	switch {
	case failed != nil:
		fl.notClosed()
	case len(fl.close) > 0:
		failed = fl.f.answered(ctx, fl.close)
	}
	return fl.s.attr(w), failed
}

// notClosed is for a flight that failed before its CLOSE.
func (fl *flight) notClosed() {
	for _, call := range fl.close {
		call.Forget()
	}
	if len(fl.close) > 0 {
		fl.f.stays()
	}
}

func (fl *flight) forget() {
	if fl.times != nil {
		fl.times.Forget()
	}
	for _, call := range fl.calls {
		call.Forget()
	}
	if fl.sync != nil {
		fl.sync.Forget()
	}
	fl.fstat.Forget()
	fl.notClosed()
}

// flushApart is the flight on a server of which no order is known, or with data
// that went over several sessions: one request after the other.
func (f *file) flushApart(ctx context.Context, w *waiter, b *barrier, times, change remote.Change, have remote.Attr, look bool, then sequel) (a remote.Attr, refused, err error) {
	tries := 0
	err = f.ask(ctx, w, func(h *handle) error {
		if tries++; tries > 1 {
			b.doubt()
		}
		have := have
		if look {
			if have, err = f.fstat(ctx, h); err != nil {
				return err
			}
		}
		if h.s.ordered {
			f.mu.Lock()
			fl := f.startFlight(h, times, change, have, then, 1)
			f.mu.Unlock()
			a, err = fl.wait(ctx)
			refused = fl.refused
			return err
		}
		if times.Fields != 0 {
			if refused, err = declined(f.fsetstat(ctx, h, toWire(times, have))); err != nil {
				return err
			}
		}
		for _, part := range partsOf(change) {
			if err := f.fsetstat(ctx, h, toWire(part, have)); err != nil {
				return err
			}
		}
		if _, ok := h.s.client.Extension("fsync@openssh.com"); ok && then == thenSync {
			if err := h.s.client.StartFsync(h.id).WaitStatus(ctx); err != nil {
				return err
			}
		}
		f.mu.Lock()
		var calls []*sftp3.Call
		if f.held == 0 {
			calls = f.closing(then, 1)
		}
		f.mu.Unlock()
		if len(calls) == 0 {
			a, err = f.fstat(ctx, h)
			return err
		}
		if err = f.answered(ctx, calls); err == nil {
			a = f.afterClose(ctx, h.s)
		}
		return err
	})
	return a, refused, err
}

// emptied waits until all chunks up to seq are acknowledged or given up.
func (o *object) emptied(ctx context.Context, seq uint64) error {
	for {
		o.mu.Lock()
		if o.out.first == nil || o.out.first.seq > seq {
			o.mu.Unlock()
			return nil
		}
		if err := o.wait(ctx); err != nil {
			return err
		}
	}
}

// started waits until all that was written so far, or up to a chunk, is under way.
func (o *object) started(ctx context.Context, upTo uint64) error {
	o.mu.Lock()
	o.send()
	upTo = min(upTo, o.out.seq)
	o.mu.Unlock()
	for {
		o.mu.Lock()
		c := o.out.unsent(upTo)
		if c == nil || c.f.mending || c.failed != nil {
			o.mu.Unlock()
			return nil
		}
		if err := o.wait(ctx); err != nil {
			return err
		}
	}
}

// drain brings the data to the server, without what flush does besides.
func (o *object) drain(ctx context.Context) error {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	o.send()
	seq := o.out.seq
	o.mu.Unlock()
	return o.emptied(ctx, seq)
}

// lose gives up data that could not be brought to the server in time.
func (f *file) lose(err error) {
	if errors.Is(err, errAway) || errors.Is(err, errDisabled) || errors.Is(err, errClosed) || errors.Is(err, context.Canceled) {
		err = syscall.EIO
	}
	f.reportLost(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.losses = losses{}
	if f.drop(f) > 0 || f.out.times.Fields != 0 {
		f.fail(err)
		f.written, f.filled = false, false // CLOSE has nothing to add to that
	}
	f.out.times = remote.Change{}
	f.wrote = f.wrote && f.out.held > 0
}

// settled notes that there is nothing left to flush.
func (o *object) settled() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrote = o.wrote && o.out.held > 0
}

// flushAll flushes every open file, until ctx ends.
func (p *Pool) flushAll(ctx context.Context) error {
	var errs []error
	for _, o := range p.files.everything() {
		if f := o.writer(); f != nil && o.isDirty() {
			if _, err := f.Flush(ctx); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
