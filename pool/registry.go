package pool

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// registry knows the objects by path, so that looks count data under way and
// renamed files can be opened again after a cut.
type registry struct {
	mu    sync.Mutex
	open  remote.Index[*object] // guarded by mu
	all   map[*object]struct{}  // guarded by mu; also those to which no path leads
	count int                   // guarded by mu; Files
	links remote.Links          // guarded by mu
	known knowing

	moving remote.Index[*moving] // guarded by mu; changes of names under way, by each of these
}

// at is the object at a path, or nil.
func (r *registry) at(path string) *object {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open.At[path]
}

// join puts a File, which has just been opened on h by that path, on the object
// there. It reports whether the attributes that were told are still those of it.
func (r *registry) join(ctx context.Context, f *file, p *Pool, path string, h *handle, a remote.Attr, asked time.Time) (current bool) {
	var lates []late
	if o := r.at(path); o != nil && !o.leads(ctx, h, a) {
		lates = o.lates(false) // it may be the same file, which others have changed
		r.lost(path, o)
	}
	r.known.note(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.open.At[path]
	if o == nil {
		o = p.newObject(path, a)
		r.put(o, path)
	}
	if o.isUnused() {
		r.links.Others(path, func(also string) { r.give(o, also) })
	}
	r.expect(p, path, lates)
	r.count++
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.files) == 0 && !o.out.dirty() {
		o.seen, o.wrote, o.doubted = a, false, time.Time{}
		o.out.sized(a.Size)
	}
	f.object = o
	o.files[f] = struct{}{}
	if current = o.note(a, asked); current {
		o.out.learnedEnd()
	}
	return current && !o.out.waits()
}

// leave takes a File off its object, and the object away with its last File, unless
// what was sent through it may be executed yet.
func (r *registry) leave(f *file) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count--
	o := f.object
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.files, f)
	if o.writerLocked() == nil {
		o.out.times, o.out.told = remote.Change{}, 0 // nobody is left who could set them
	}
	if len(o.files) > 0 {
		return
	}
	o.made = false
	if o.liftNext(); o.isSettled() {
		r.dismiss(o)
	}
}

// dismiss takes an object away; mu is held.
func (r *registry) dismiss(o *object) {
	delete(r.all, o)
	for path := range o.paths {
		if r.open.At[path] == o {
			r.open.Remove(path)
		}
	}
}

// everything lists all objects.
func (r *registry) everything() []*object {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.all))
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// below lists the objects at a path or in the folder of that path.
func (r *registry) below(path string) []*object {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.belowLocked(path)
}

func (r *registry) belowLocked(path string) []*object {
	var objects []*object
	for _, at := range r.open.Below(path) {
		objects = append(objects, r.open.At[at])
	}
	return objects
}

// renamed lets the objects below the old path follow, and cuts off those that were
// open on what has been replaced.
func (r *registry) renamed(from, to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if from == to || r.links.Same(from, to) {
		return // then nothing is changed on the server
	}
	r.links.Move(from, to, true)
	r.known.move(from, to)
	r.known.note(to)
	if o := r.open.At[to]; o != nil {
		r.detach(to, o)
	}
	for _, at := range r.open.Below(from) {
		o, now := r.open.At[at], to+strings.TrimPrefix(at, from)
		r.open.Remove(at)
		delete(o.paths, at)
		r.expect(o.p, at, o.lates(true))
		r.put(o, now)
		o.mu.Lock()
		if o.path == at {
			o.path = now
		}
		o.mu.Unlock()
	}
}

// linked notes that what is open on a path has another one as well.
func (r *registry) linked(path, also string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links.Add(path, also)
	if o := r.open.At[path]; o != nil {
		r.give(o, also)
	}
}

// give lets a path lead to an object, unless it leads to another that is open; mu is
// held.
func (r *registry) give(o *object, path string) {
	if other := r.open.At[path]; other == nil || other.isUnused() {
		r.put(o, path)
	}
}

// put lets a path lead to an object, which takes over what may come late there; mu is
// held.
func (r *registry) put(o *object, path string) {
	other := r.open.At[path]
	r.all[o] = struct{}{}
	r.open.Put(path, o)
	o.paths[path] = struct{}{}
	if other != nil && other != o {
		r.expect(o.p, path, other.lates(false))
	}
}

// removed notes that what is open on a path cannot be opened again by it.
func (r *registry) removed(path string) {
	r.known.forget(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links.Remove(path)
	if o := r.open.At[path]; o != nil {
		r.detach(path, o)
	}
}

// lost notes that another file is where an object was.
func (r *registry) lost(path string, o *object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links.Remove(path)
	r.detach(path, o)
}

// detach takes a path away from an object. It goes on by another one, if it has one
// that we gave it; mu is held.
func (r *registry) detach(path string, o *object) {
	if r.open.At[path] == o {
		r.open.Remove(path)
	}
	delete(o.paths, path)
	r.expect(o.p, path, o.lates(true))
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.path != path {
		return
	}
	o.gone = true
	for other := range o.paths {
		o.path, o.gone = other, false
		return
	}
}

// written reports whether the file open at a path has been written by us.
func (r *registry) written(path string) bool {
	o := r.at(path)
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.out.lastSent.IsZero()
}
