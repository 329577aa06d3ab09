package cache

import (
	"slices"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A shelf has the data that is held of a file, for all who opened it as it is: the
// size and mtime that they were told are the same. Guarded by opened.mu.
type shelf struct {
	c     *Cache
	files map[*File]struct{}
	data  extents
	luck  luck

	stamp  remote.Stamp
	since  instant // when a File was first told the stamp
	writes uint64  // object.writes then
	shared bool    // a File that is told the stamp when it is opened may use it
	left   string  // where it is in leftovers, or ""
}

// racy is how long a file may change after its stamp was seen without getting another
// one: times are whole seconds. What was read meanwhile is not for a File opened later.
const racy = instant(2 * time.Second)

// shelve gives f, which has just been opened, the data of who was told the same then,
// or a shelf of its own. One that is to do all its reading itself stays alone.
func (f *File) shelve(alone bool) {
	if f.shelf != nil { // opened from memory
		f.shelf.files[f] = struct{}{}
		return
	}
	for g := range f.obj.files {
		if s := g.shelf; s.shared && !alone && s.stamp == f.attr.Stamp() {
			s.dropRacy()
			f.shelf = s
			s.files[f] = struct{}{}
			return
		}
	}
	f.shelf = &shelf{
		c: f.c, files: map[*File]struct{}{f: {}},
		stamp: f.attr.Stamp(), since: f.c.tree.clock(), writes: f.obj.writes, shared: !alone,
	}
}

// leave ends what shelve began.
func (s *shelf) leave(f *File) {
	delete(s.files, f)
	if len(s.files) > 0 {
		return
	}
	o, path := s.c.files, f.placeLocked()
	if path == "" || s.c.life.Err() != nil || !s.shared || !f.named || o.hasDirty(path) || !o.left.add(path, s) {
		s.discardAll()
	}
}

// told compares the shelf with what one of its open files told: another stamp, that no
// write of ours explains, is that of other data.
func (s *shelf) told(a remote.Attr, writes uint64) {
	if s.stamp == a.Stamp() {
		return
	}
	if s.writes == writes {
		s.discardAll()
	}
	s.stamp, s.since, s.writes = a.Stamp(), s.c.tree.clock(), writes
}

// doubt drops the data, since the path tells another stamp: the file has changed, or
// is another. Until one of the open files tells which, nobody joins.
func (s *shelf) doubt() {
	s.discardAll()
	s.shared = false
}

// dropRacy drops what may be older than the stamp is.
func (s *shelf) dropRacy() {
	settled := s.since + racy
	kept := s.data[:0:0]
	for _, e := range s.data {
		if e.asked < settled {
			e.letGo()
		} else {
			kept = append(kept, e)
		}
	}
	if len(kept) < len(s.data) {
		s.data = kept
		s.restart()
	}
}

// newExtent puts an extent that f is to fetch into the i-th gap.
func (s *shelf) newExtent(f *File, i int, from, to int64, by *loan) *extent {
	e := &extent{
		off: from, size: int(to - from), by: by, owner: s, asked: s.c.tree.clock(),
		refs: 2, kept: true, done: make(chan struct{}),
	}
	e.buf = s.c.mem.take(e.size)
	s.data = slices.Insert(s.data, i, e)
	f.fetches.Add(1)
	return e
}

func (s *shelf) cache() *Cache { return s.c }

// discard implements keeper.
func (s *shelf) discard(e *extent) {
	if i, ok := s.data.find(e.off); ok && s.data[i] == e {
		s.data = slices.Delete(s.data, i, i+1)
		e.letGo()
	}
	if s.left != "" {
		s.c.files.left.forget(s.left) // of no use in part
	}
}

// discardRange drops what is held of n bytes at off. Reads that wait for it already
// are answered by it; later ones ask again.
func (s *shelf) discardRange(off, n int64) {
	if len(s.data) == 0 {
		return
	}
	i, _ := s.data.find(off)
	j := i
	for j < len(s.data) && s.data[j].off < off+n {
		j++
	}
	s.discardSpan(i, j)
}

func (s *shelf) discardAll() { s.discardSpan(0, len(s.data)) }

func (s *shelf) discardSpan(i, j int) {
	if i >= j {
		return
	}
	gone := slices.Clone(s.data[i:j])
	s.data = slices.Delete(s.data, i, j)
	for _, e := range gone {
		e.letGo()
	}
	s.restart()
}

// restart makes the readers ask anew for what was dropped ahead of them.
func (s *shelf) restart() {
	for f := range s.files {
		for i := range f.streams {
			f.streams[i].head = f.streams[i].next
		}
	}
}

// isReadBy reports whether f alone reads from the shelf, of late.
func (s *shelf) isReadBy(f *File, now instant) bool {
	for g := range s.files {
		if g != f && g.reads(now) > 0 {
			return false
		}
	}
	return true
}
