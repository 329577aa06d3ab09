package pool

import (
	"slices"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// What a lost connection has left at the server may be executed for a while (lateFor).
// The objects remember where, also those that nobody has open any more: they are kept
// until that time is over, and follow renames as the others do. What goes by a handle
// stays with its file. What goes by a path, a truncation, stays with the path, whichever
// file gets that.

// comesLate notes such a stretch. That a chunk was lost once more takes the place of that
// it was lost before. mu is held.
func (o *object) comesLate(l late) {
	o.out.late = slices.DeleteFunc(o.out.late, func(e late) bool {
		return e.off == l.off && e.end == l.end && e.seq == l.seq && e.named == l.named && !e.till.After(l.till)
	})
	o.out.late = append(o.out.late, l)
	if l.till.After(o.out.lateTill) {
		o.out.lateTill = l.till
	}
	o.liftNext()
}

// liftNext forgets what is late no more, and has lifted called when the next is; mu is
// held.
func (o *object) liftNext() {
	now := time.Now()
	o.out.late = slices.DeleteFunc(o.out.late, func(l late) bool { return !l.till.After(now) })
	next := now.Add(lateFor)
	for _, l := range o.out.late {
		if l.till.Before(next) {
			next = l.till
		}
	}
	if len(o.out.late) > 0 || len(o.files) == 0 && !o.isSettled() && o.p.life.Err() == nil {
		o.out.lift = o.later(o.out.lift, next.Sub(now), o.lifted)
	}
}

// lifted sends what has waited until nothing is late any more.
func (o *object) lifted() {
	o.mu.Lock()
	o.liftNext()
	o.pump()
	over := len(o.files) == 0 && o.isSettled()
	o.mu.Unlock()
	if over {
		o.p.files.sweep(o)
	}
}

// sweep takes an object away if it still is that nobody has it open.
func (r *registry) sweep(o *object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.files) == 0 && o.isSettled() {
		r.dismiss(o)
	}
}

// isSettled reports whether nothing that was sent can change the file any more; mu is
// held.
func (o *object) isSettled() bool {
	return len(o.out.late) == 0 && o.out.first == nil && o.out.current == nil
}

// isUnused reports whether nobody has the file open.
func (o *object) isUnused() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.files) == 0
}

// lates are what may come late, or of these those that go by a path.
func (o *object) lates(named bool) (all []late) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.out.late {
		if l.named || !named {
			l.seq = 0 // its chunk is none of another object's
			all = append(all, l)
		}
	}
	return all
}

// doubt notes that a truncation by path, down to a size, may be executed yet.
func (r *registry) doubt(p *Pool, path string, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expect(p, path, []late{{off: size, end: endless, till: time.Now().Add(lateFor), named: true}})
}

// expect notes what may come late at a path, on an object made for it if there is none;
// mu is held.
func (r *registry) expect(p *Pool, path string, lates []late) {
	if len(lates) == 0 {
		return
	}
	if r.open.At[path] == nil {
		r.put(p.newObject(path, remote.Attr{}), path)
	}
	o := r.open.At[path]
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range lates {
		o.comesLate(l)
	}
}
