package pool

import (
	"strings"
	"sync"
	"time"
)

// registry knows the open files by path, so that looks count data under way
// and renamed files can be opened again after a cut.
type registry struct {
	mu   sync.Mutex
	open map[string]map[*file]struct{} // guarded by mu
}

func (r *registry) add(f *file, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[path] == nil {
		r.open[path] = make(map[*file]struct{})
	}
	r.open[path][f] = struct{}{}
}

func (r *registry) remove(f *file, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open[path], f)
	if len(r.open[path]) == 0 {
		delete(r.open, path)
	}
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, files := range r.open {
		n += len(files)
	}
	return n
}

// on lists the files open on a path.
func (r *registry) on(path string) []*file {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := make([]*file, 0, len(r.open[path]))
	for f := range r.open[path] {
		files = append(files, f)
	}
	return files
}

// with lists a file and the others open on its path.
func (r *registry) with(f *file) []*file {
	files := []*file{f}
	for _, other := range r.on(f.name()) {
		if other != f {
			files = append(files, other)
		}
	}
	return files
}

// resizing notes that a truncation is under way, of which an answer may not
// tell.
func (r *registry) resizing(f *file, size int64) {
	for _, g := range r.with(f) {
		g.mu.Lock()
		g.out.least, g.out.most = min(g.out.least, size), max(g.out.most, size)
		g.out.lastSent = time.Now()
		g.out.seq++
		g.mu.Unlock()
	}
}

// below lists the files open on a path or in the folder of that path.
func (r *registry) below(path string) []*file {
	r.mu.Lock()
	defer r.mu.Unlock()
	var files []*file
	for at, open := range r.open {
		if at == path || path == "." || strings.HasPrefix(at, path+"/") {
			for f := range open {
				files = append(files, f)
			}
		}
	}
	return files
}

// dirty gives a file with data or times under way on a path, or nil.
func (r *registry) dirty(path string) *file {
	for _, f := range r.on(path) {
		if f.isDirty() {
			return f
		}
	}
	return nil
}

// renamed lets the files below the old path follow, and cuts off those that
// were open on what has been replaced.
func (r *registry) renamed(from, to string) {
	r.removed(to)
	for _, f := range r.below(from) {
		f.mu.Lock()
		old := f.path
		f.path = to + strings.TrimPrefix(old, from)
		now := f.path
		closed := f.closed
		f.mu.Unlock()
		r.remove(f, old)
		if !closed {
			r.add(f, now)
		}
	}
}

// removed notes that the files open on a path cannot be opened again by it.
func (r *registry) removed(path string) {
	for _, f := range r.on(path) {
		f.mu.Lock()
		f.gone = true
		f.mu.Unlock()
		r.remove(f, path)
	}
}

// truncated tells open files their new size.
func (r *registry) truncated(path string, size int64) {
	for _, f := range r.on(path) {
		f.resized(size)
	}
}

// note tells the files open on a path what the server said after a change of
// ours to a question asked at that time, so that they know it for their own after
// a cut. The answer may not count what was sent later.
func (r *registry) note(path string, a Attr, asked time.Time) {
	for _, f := range r.on(path) {
		f.mu.Lock()
		if f.out.held == 0 && !f.out.lastSent.After(asked) {
			f.seen = a
			f.out.sized(a.Size)
		}
		f.mu.Unlock()
	}
}

// written reports whether a file open on a path has been written by us.
func (r *registry) written(path string) bool {
	for _, f := range r.on(path) {
		f.mu.Lock()
		sent := !f.out.lastSent.IsZero()
		f.mu.Unlock()
		if sent {
			return true
		}
	}
	return false
}
