package cache

import (
	"strings"
	"sync"

	"github.com/remotemount/remotemount/pool/remote"
)

// opened knows the open files by path, so that a change through one is seen by the
// others, and so that a file keeps its path when it is renamed.
type opened struct {
	mu    sync.Mutex
	paths map[string]*object
	// aliases are the open files that may be open under another path as well.
	aliases map[*File]struct{}
	// dirty are the Files through which data, or times, were written and not flushed.
	dirty map[*File]struct{}
	// rights counts changes of ours of modes, owners and links, of any file, when
	// they are begun and when they are over.
	rights uint64

	contents    map[string]*content // small files read ahead, by path
	contentSize int                 // bytes in contents, had or under way
	wasted      int                 // contents that were of no use

	left *leftovers
}

// An object is what the Files open under one path have in common.
type object struct {
	path   string // guarded by opened.mu, like all here
	gone   bool   // the path leads to it no longer
	files  map[*File]struct{}
	writes uint64 // changes by us, begun or done
}

func newOpened() *opened {
	return &opened{
		paths:   make(map[string]*object),
		aliases: make(map[*File]struct{}),
		dirty:   make(map[*File]struct{}),

		contents: make(map[string]*content),
		left:     newLeftovers(),
	}
}

// add registers a File under path; one that is alone shares no data. Under mu.
func (o *opened) add(f *File, path string, alone bool) {
	obj := o.paths[path]
	if obj == nil {
		obj = &object{path: path, files: make(map[*File]struct{})}
		o.paths[path] = obj
	}
	f.obj = obj
	f.shelve(alone || f.c.off())
	obj.files[f] = struct{}{}
	if f.alias {
		o.aliases[f] = struct{}{}
	}
}

// remove ends what add began.
func (o *opened) remove(f *File) {
	o.mu.Lock()
	defer o.mu.Unlock()
	obj := f.obj
	delete(obj.files, f)
	delete(o.aliases, f)
	delete(o.dirty, f)
	if len(obj.files) > 0 {
		return
	}
	if !obj.gone {
		delete(o.paths, obj.path)
		obj.gone = true
	}
}

// place is the path that leads to f, or "" when none does any more.
func (o *opened) place(f *File) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return f.placeLocked()
}

func (f *File) placeLocked() string {
	if f.obj.gone {
		return ""
	}
	return f.obj.path
}

// each calls do for every File that a change through f, or of the path of obj when
// f is nil, may concern: those open under the same path, and those that may be the
// same file under another one. Under mu.
func (o *opened) each(obj *object, f *File, do func(*File)) {
	if obj != nil {
		for g := range obj.files {
			do(g)
		}
	}
	if f != nil && !f.named {
		for _, other := range o.paths {
			for g := range other.files {
				do(g)
			}
		}
		return
	}
	for g := range o.aliases {
		if g.obj != obj && (!g.named || f == nil || !f.single) {
			do(g)
		}
	}
}

// changeRights notes that a change of rights is begun, or over.
func (o *opened) changeRights() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rights++
}

// removed notes that nothing is at path any more: what is open goes on by another
// name of the file, or, if that is "", without one.
func (o *opened) removed(path, another string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detach(path, another)
}

func (o *opened) detach(path, another string) {
	obj := o.paths[path]
	if obj == nil {
		return
	}
	obj.uncount()
	delete(o.paths, path)
	there := o.paths[another]
	switch {
	case another == "":
		obj.gone = true
	case there == nil:
		obj.path = another
		o.paths[another] = obj
	default:
		o.merge(obj, there)
	}
}

// merge lets what is open on one object go on on another, which is the same file.
func (o *opened) merge(obj, into *object) {
	obj.gone = true
	into.writes += obj.writes + 1
	for f := range obj.files {
		f.obj = into
		into.files[f] = struct{}{}
	}
	clear(obj.files)
}

// uncount forgets how many links the file at path has.
func (o *opened) uncount(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if obj := o.paths[path]; obj != nil {
		obj.uncount()
	}
}

func (obj *object) uncount() {
	for f := range obj.files {
		f.attr.Nlink, f.until = 0, 0
	}
}

// linked notes that the file at path has another name now.
func (o *opened) linked(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if obj := o.paths[path]; obj != nil {
		obj.uncount()
		for f := range obj.files {
			f.single, f.alias = false, true
			o.aliases[f] = struct{}{}
		}
	}
}

// forget drops what is held of the files at and below path.
func (o *opened) forget(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left.spoil(path, true)
	for p, obj := range o.paths {
		if !inside(p, path) {
			continue
		}
		for f := range obj.files {
			f.until = 0
			f.shelf.discardAll()
		}
	}
}

// renamed lets the files at and below from go on at to. What was there goes on by
// another name, as in removed.
func (o *opened) renamed(from, to, another string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detach(to, another)
	var moved []*object
	for p, obj := range o.paths {
		if inside(p, from) {
			delete(o.paths, p)
			obj.path = to + strings.TrimPrefix(p, from)
			moved = append(moved, obj)
		}
	}
	for _, obj := range moved {
		o.paths[obj.path] = obj
	}
}

// isWritten is hasDirty for who does not hold mu.
func (o *opened) isWritten(path string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hasDirty(path)
}

// hasDirty reports whether data written to path is not flushed yet. Under mu.
func (o *opened) hasDirty(path string) bool { return o.isDirty(o.paths[path]) }

// isDirty is hasDirty for an object, which may be nil. Under mu.
func (o *opened) isDirty(obj *object) bool {
	if obj == nil || len(o.dirty) == 0 {
		return false
	}
	for f := range obj.files {
		if _, dirty := o.dirty[f]; dirty {
			return true
		}
	}
	return false
}

// soil notes that something of f is not flushed any more. Under opened.mu.
func (f *File) soil() {
	if !f.closed {
		f.c.files.dirty[f] = struct{}{}
	}
}

// unflushed gives the paths of files with data that a listing does not count.
func (o *opened) unflushed() (paths []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for f := range o.dirty {
		if path := f.placeLocked(); path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// seen compares what is open at path with attributes that a look or a listing gave:
// when others have changed the file, or put another in its place, the data read
// ahead is dropped, and the File asks for its own attributes again.
func (o *opened) seen(path string, a remote.Attr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if obj := o.paths[path]; obj != nil {
		o.compare(obj, a)
	}
	if t := o.contents[path]; t != nil {
		t.compare(a)
	}
	o.left.seen(path, a)
}

func (t *content) compare(a remote.Attr) {
	if t.ready && t.attr.Stamp() != a.Stamp() {
		t.forget()
	}
}

func (o *opened) compare(obj *object, a remote.Attr) {
	if o.isDirty(obj) {
		return
	}
	for f := range obj.files {
		if !f.named && a.IsSymlink() {
			continue // which says nothing of the file that it led to
		}
		if f.attr.Stamp() != a.Stamp() {
			f.attr.Size, f.attr.Mtime, f.until = a.Size, a.Mtime, 0
			if f.shelf.stamp != a.Stamp() {
				f.shelf.doubt()
			}
		}
	}
}

// listed is seen for all of a folder.
func (o *opened) listed(dir string, held *folder) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, obj := range o.paths {
		if in, name := remote.Split(path); in == dir {
			if r := held.names[name]; r.state == present {
				o.compare(obj, r.attr)
			}
		}
	}
	for path, t := range o.contents {
		if in, name := remote.Split(path); in == dir {
			t.compare(held.names[name].attr)
		}
	}
}
