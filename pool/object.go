package pool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// An object is a file of the remote that is open here: what all Files opened by
// its path have in common. Above all that is the one list of changes in the order
// in which they were made (outgoing), and one gatherer in front of it, so that it
// does not matter through which File something was written or is read.
//
// mu guards the object and the Files on it. Requests are queued under it, so they
// leave in the order in which they were decided on; nothing is waited for.
type object struct {
	p       *Pool
	turn    chan struct{} // a token: one flush, or other barrier, flies at a time
	mu      sync.Mutex
	paths   map[string]struct{} // guarded by registry.mu; all that we know to lead to it
	path    string              // guarded by mu; one of them, follows renames
	gone    bool                // guarded by mu; the path does not lead to it any more
	move    *moving             // guarded by mu; a change of its names that is under way
	files   map[*file]struct{}  // guarded by mu
	seen    remote.Attr         // guarded by mu; last told by the server
	wrote   bool                // guarded by mu; made or changed since the last flush
	made    bool                // guarded by mu; by us alone, and not flushed since
	doubted time.Time           // guarded by mu; when the path first led to another file; zero while it does not
	out     outgoing            // guarded by mu
	reading []*reading          // guarded by mu; not answered: what is written meanwhile is laid over them

	wide         *widening
	acknowledged atomic.Uint64 // bytes written, ever
}

func (p *Pool) newObject(path string, a remote.Attr) *object {
	o := &object{p: p, path: path, paths: map[string]struct{}{path: {}}, seen: a, turn: make(chan struct{}, 1), files: make(map[*file]struct{}), wide: newWidening()}
	o.out.sized(a.Size)
	o.out.changed = make(chan struct{})
	return o
}

// takeTurn waits until no other barrier is under way.
func (o *object) takeTurn(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *object) giveTurn() { <-o.turn }

// name is the path that leads, or led, to the object.
func (o *object) name() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.path
}

// isDirty reports whether data or times are under way.
func (o *object) isDirty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.waits()
}

// writer is a File through which a flush can go, nil when there is none.
func (o *object) writer() *file {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writerLocked()
}

func (o *object) writerLocked() *file {
	var any *file
	for f := range o.files {
		if f.flag&remote.FlagWrite == 0 || f.closed {
			continue
		}
		if any = f; f.stale == nil {
			break
		}
	}
	return any
}

// fail tells every File of an error, each once; mu is held.
func (o *object) fail(err error) {
	for f := range o.files {
		if f.err == nil && f.stale == nil {
			f.err = err
		}
	}
}

// A barrier keeps what is written to a stretch of an object after it was taken
// behind what its owner does meanwhile.
type barrier struct {
	o *object
	c *chunk
}

// barrier waits until all that was written before is acknowledged, and keeps back
// what comes then and lies in [off, end). It has the object's turn.
func (o *object) barrier(ctx context.Context, off, end int64) (*barrier, error) {
	if err := o.takeTurn(ctx); err != nil {
		return nil, err
	}
	b := o.block(off, end)
	err := o.emptied(ctx, b.c.seq-1)
	if err == nil {
		err = b.safe(ctx)
	}
	if err != nil {
		b.end()
		o.giveTurn()
		return nil, err
	}
	return b, nil
}

// block is the barrier alone; the turn is held.
func (o *object) block(off, end int64) *barrier {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.send()
	c := &chunk{off: off, till: end}
	o.out.push(c)
	o.out.least = o.out.spared(o.out.least)
	return &barrier{o: o, c: c}
}

// safe waits until nothing that a lost connection may yet write lies over the
// barrier.
func (b *barrier) safe(ctx context.Context) error {
	for b != nil {
		b.o.mu.Lock()
		if !b.o.out.isLate(b.c) {
			b.o.mu.Unlock()
			return nil
		}
		if err := b.o.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// doubt notes that what its owner asked for was not answered, and may be done yet.
func (b *barrier) doubt() {
	if b == nil {
		return
	}
	b.o.mu.Lock()
	defer b.o.mu.Unlock()
	b.o.doubt(b.c.off, b.c.till, b.c.seq)
}

// end lets go what waited.
func (b *barrier) end() {
	o := b.o
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.remove(b.c)
	o.pump()
	o.out.wake()
}

// release is end, and gives the turn back.
func (b *barrier) release() {
	if b != nil {
		b.end()
		b.o.giveTurn()
	}
}

// endless is behind every file's end.
const endless = int64(1<<63 - 1)

// lookBound bounds how long a call waits for data that is under way: a look, and a
// change of attributes, do not wait as data does, but for the timeout, and for as long
// as within each such time some of it is acknowledged. A timeout that is shorter than
// what may come late takes is as long as that.
func (o *object) lookBound(ctx context.Context, do func(context.Context) error) error {
	if err := (&waiter{}).refuse(o.p.current()); err != nil {
		return err
	}
	had := o.acknowledged.Load()
	o.mu.Lock()
	first := max(o.p.cfg.Timeout, time.Until(o.out.lateTill)+o.p.cfg.Timeout/4)
	o.mu.Unlock()
	bounded, cancel := patience(ctx, first, func(ctx context.Context) bool {
		has := o.acknowledged.Load()
		goesOn := has != had
		had = has
		return goesOn && sleep(ctx, o.p.cfg.Timeout) == nil
	})
	defer cancel()
	err := do(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return errAway
	}
	return err
}

// statDirty tells what an object is that has data or times under way; known is
// false when it has none. It flushes to tell what the server will tell, unless the time
// is ours to say, there is much to flush, or while that is not to be had.
func (o *object) statDirty(ctx context.Context) (a remote.Attr, known bool, err error) {
	if o == nil {
		return remote.Attr{}, false, nil
	}
	joins := o.p.mayJoinFlush(o)
	says := joins && o.p.setsTimes()
	for {
		connected := o.p.connected()
		o.mu.Lock()
		if !o.out.waits() {
			o.mu.Unlock()
			return remote.Attr{}, false, nil
		}
		f := o.writerLocked()
		if o.out.held > statSettles || f == nil || !connected || says && o.saysTime() {
			a := o.tellLocked(joins)
			o.mu.Unlock()
			return a, true, nil
		}
		o.mu.Unlock()
		err = o.lookBound(ctx, func(ctx context.Context) error {
			a, err = f.flush(ctx, o.p.keep(), remote.Change{}, nothing)
			return err
		})
		switch {
		case errors.Is(err, syscall.EBADF):
			continue // that File was closed meanwhile; others may have written
		case errors.Is(err, errAway):
			return o.tell(), true, nil
		case err != nil && ctx.Err() == nil:
			return remote.Attr{}, false, nil // whoever wrote is told of it; a look tells what is there
		}
		return a, err == nil, err
	}
}

func (p *Pool) current() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *Pool) connected() bool { return p.current() == StateConnected }

// tell is what the server will say of the file once it has all that is under way.
// The time that is told is the one that the file gets: the next flush sets it, unless
// something is written before.
func (o *object) tell() remote.Attr {
	joins := o.p.mayJoinFlush(o)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tellLocked(joins)
}

func (o *object) tellLocked(joins bool) remote.Attr {
	a := o.seen
	if o.wrote {
		a.Size = max(a.Size, o.out.end)
	}
	switch now := o.p.clock.passed(); {
	case o.out.told != 0:
		a.Mtime = o.out.told
	case o.out.held > 0 && o.p.clock.after(a.Mtime, time.Now()):
		a.Mtime = now // the other was set, ahead of what was written
	case o.out.held > 0:
		a.Mtime = max(a.Mtime, now)
	}
	if o.out.told == 0 && o.out.held > 0 && joins && o.out.times.Fields&remote.SetMtime == 0 &&
		len(o.turn) == 0 { // else a flush is under way that leaves it out
		o.out.told = a.Mtime
		o.out.settle = o.later(o.out.settle, timesFor, o.setTimes)
	}
	return o.out.times.Apply(a)
}

// saysTime reports whether the mtime may be told before the file has it: nobody can have
// seen another one since we made it, for what was written is one burst, and no flush is
// under way that would leave it out. mu is held.
//
// It is a whole second, and as much as one early, which in a file that others know could
// hide a change.
func (o *object) saysTime() bool { return o.made && (o.out.told != 0 || len(o.turn) == 0) }

// setsTimes reports whether the flight of a flush can set the time of a file of ours to
// what was told, as far as is known: the server's clock is, from files made there.
func (p *Pool) setsTimes() bool {
	return p.Info().Ordered && p.clock.isKnown() && !p.quirks.inexact.Load()
}

// statSettles is how much data under way a Stat still waits for, so that it
// tells the server's own mtime.
const statSettles = 256 << 10

// note takes what the server said of the object to a question asked at that time, so
// that it is known for ours after a cut. The answer may not count what was under way
// then, or sent later: note reports whether it is all that there is to say. mu is
// held.
func (o *object) note(a remote.Attr, asked time.Time) bool {
	if o.gone || o.out.held > 0 || o.out.stirred.After(asked) {
		return false
	}
	o.seen = a
	o.out.sized(a.Size)
	return true
}

// resizing notes that a truncation is under way, of which an answer may not tell.
func (o *object) resizing(size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrote, o.made, o.out.told = true, false, 0
	o.out.least, o.out.most = min(o.out.least, size), max(o.out.most, size)
	o.out.leaves()
	o.out.seq++
}

// cut notes that a truncation was done. What has been written since comes behind it.
func (o *object) cut(size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.Size = size
	o.out.cutShort(size)
	o.out.learnedEnd()
	o.out.leaves()
}

// leads reports whether the file that h has just been opened on by the object's
// path, with these attributes, is the object's. It is taken for another only on
// proof: in doubt it is the same.
func (o *object) leads(ctx context.Context, h *handle, a remote.Attr) bool {
	o.mu.Lock()
	same := len(o.files) == 0 || o.out.dirty() || o.seen.Type() == a.Type() && o.seen.Size == a.Size && o.seen.Mtime == a.Mtime
	least, old := o.out.least, o.open()
	back := o.seen.Type() == a.Type() // no cut but their own flush has closed its Files, so others may have changed it
	for f := range o.files {
		back = back && f.isLeft()
	}
	o.mu.Unlock()
	switch {
	case same:
		return true
	case old == nil:
		return back || o.isSame(a, least)
	}
	return !o.p.apart(ctx, old, h)
}

// apart is differ within the time of a look: what is not told by then, on either session,
// is in doubt.
func (p *Pool) apart(ctx context.Context, old, h *handle) (other bool) {
	_, _ = p.within(ctx, looks, old.s, func(ctx context.Context) error {
		_, err := p.within(ctx, looks, h.s, func(ctx context.Context) error {
			other = differ(ctx, old, h)
			return nil
		})
		return err
	})
	return other
}

// open is a handle of the object's that can be asked what it is open on, on a session
// that answers if there is one; mu is held.
func (o *object) open() (h *handle) {
	now := time.Now()
	for f := range o.files {
		for _, other := range f.live() {
			if h == nil || h.s.isSlow(now) {
				h = other
			}
		}
	}
	return h
}

// differ asks both handles what they are open on, the old one before and after the
// other: a file that others are changing does not differ from itself.
func differ(ctx context.Context, old, other *handle) bool {
	if old.s == other.s && old.s.ordered {
		x, y, z := old.s.client.StartFstat(old.id), other.s.client.StartFstat(other.id), old.s.client.StartFstat(old.id)
		before, err1 := x.WaitAttrs(ctx)
		there, err2 := y.WaitAttrs(ctx)
		after, err3 := z.WaitAttrs(ctx)
		return errors.Join(err1, err2, err3) == nil && isOther(old.s.attr(before), old.s.attr(there), old.s.attr(after))
	}
	before, err := old.fstat(ctx)
	if err != nil {
		return false
	}
	there, err := other.fstat(ctx)
	if err != nil {
		return false
	}
	after, err := old.fstat(ctx)
	return err == nil && isOther(before, there, after)
}

// IsAt implements File.
func (f *file) IsAt(ctx context.Context) (bool, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	defer f.asks()()
	f.mu.Lock()
	h, path, gone, certain := f.lightest(), f.path, f.gone, f.out.dirty() || f.move != nil || f.closed
	f.mu.Unlock()
	if gone {
		return false, nil
	}
	if h == nil || certain {
		return true, nil
	}
	var other bool
	stuck, err := f.p.within(ctx, looks, h.s, func(ctx context.Context) (err error) {
		other, err = f.p.leadsElsewhere(ctx, h, path)
		return err
	})
	if stuck {
		err = errAway // the handle is on that session alone
	}
	if err != nil {
		return true, pathError("stat", path, errnoOf(err))
	}
	return !f.proven(other), nil
}

// leadsElsewhere reports whether a path leads to another file than h, as far as one
// look at both tells.
func (p *Pool) leadsElsewhere(ctx context.Context, h *handle, path string) (bool, error) {
	c := h.s.client
	if !h.s.ordered {
		before, err := h.fstat(ctx)
		if err != nil {
			return false, err
		}
		w, err := c.StartStat(p.abs(path)).WaitAttrs(ctx)
		if err != nil {
			return false, err
		}
		after, err := h.fstat(ctx)
		return err == nil && isOther(before, h.s.attr(w), after), err
	}
	x, y, z := c.StartFstat(h.id), c.StartStat(p.abs(path)), c.StartFstat(h.id)
	before, err1 := x.WaitAttrs(ctx)
	there, err2 := y.WaitAttrs(ctx)
	after, err3 := z.WaitAttrs(ctx)
	if err := errors.Join(err1, err2, err3); err != nil {
		return false, err
	}
	return isOther(h.s.attr(before), h.s.attr(there), h.s.attr(after)), nil
}

// proven takes what a look said of whether the path leads to another file, and
// reports whether that is certain now: a second look, a second later, said so too.
// Then the object has lost its path.
func (o *object) proven(other bool) bool {
	o.mu.Lock()
	path, first := o.path, o.doubted
	switch {
	case !other || o.out.dirty() || o.out.stirred.After(time.Now().Add(-doubtFor)):
		o.doubted = time.Time{}
	case first.IsZero():
		o.doubted = time.Now()
	}
	certain := !o.doubted.IsZero() && !first.IsZero() && time.Since(first) >= doubtFor
	o.mu.Unlock()
	if certain {
		o.p.files.lost(path, o)
	}
	return certain
}

// doubtFor is between two looks that prove that a path leads to another file.
const doubtFor = time.Second

func isOther(before, there, after remote.Attr) bool {
	return before.Type() == after.Type() && before.Size == after.Size && before.Mtime == after.Mtime &&
		(there.Type() != before.Type() || there.Size != before.Size || there.Mtime != before.Mtime)
}
