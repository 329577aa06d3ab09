package cache

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/remotemount/remotemount/pool/remote"
)

// A tree holds what is known of names, by folder: a listing arrives as a folder,
// is answered as one, and what is below a renamed folder is found by its path.
type tree struct {
	lifetime time.Duration
	max      int
	mostKept int // names kept when they are over
	now      func() time.Time
	start    time.Time // instants are nanoseconds since, on the monotonic clock
	files    *opened   // are told what is seen of them

	mu      sync.Mutex
	folders *simplelru.LRU[string, *folder] // by path; guarded by mu, like all below
	count   int                             // records and folders held
	latest  instant                         // when the last of them is over

	asks    map[string]*watch  // questions under way, by path
	looks   map[string]*look   // those of them that can be joined
	lists   map[string]*list   // listings under way
	listing atomic.Int64       // names that they hold
	changes []*change          // changes under way
	links   remote.Links       // names of one file
	bars    map[string]instant // paths of which nothing is stored until then
	barsIn  map[string]instant // folders with such a path in them

	root remote.Attr // as last seen; Mode is 0 before

	// below tells of each folder which in it are held, or are on the way to one.
	below    map[string]map[string]struct{}
	followed map[string]answer // what links lead to
	epoch    uint64            // counts changes of any kind

	walks   guess  // which folders will be listed
	walking string // the folder that a program going through the tree is in, or ""
	reads   guess  // which small files will be read
	reading string // the file that a program reading one after the other is at, or ""
	inode   func(path string) uint64
	entered func(path string) // is told when a listing got ahead is used
	wasted  func()            // or was not
}

// An instant counts nanoseconds since the tree was made.
type instant int64

// A folder is what is known of the names in it.
type folder struct {
	names  map[string]record
	order  []string // names as listed, and those that changed since
	listed instant  // until then, order has all names
	proves bool     // and a name that it does not have is not there
	last   instant  // when the last record is over

	targets map[string]target // of symbolic links, by name

	ahead  bool // the listing was read ahead, and not used yet
	big    bool // it is too large to be listed ahead
	misses int  // looks into it that had to be asked

	walks map[*guess]*sequences
}

// A record is what is known of a name.
type record struct {
	attr  remote.Attr
	until instant
	pos   int32 // index in the folder's order, or -1
	state state
}

type state uint8

const (
	unknown state = iota // the server has to be asked, whatever the listing says
	present
	absent
)

func newTree(lifetime time.Duration, limit int, now func() time.Time, files *opened) *tree {
	t := &tree{lifetime: lifetime, max: limit, now: now, start: now(), files: files}
	t.mostKept = mostKept
	t.asks = make(map[string]*watch)
	t.looks = make(map[string]*look)
	t.lists = make(map[string]*list)
	t.links = make(remote.Links)
	t.bars, t.barsIn = make(map[string]instant), make(map[string]instant)
	t.walks = newGuess(func(r record) bool { return r.attr.IsDir() })
	t.reads = newGuess(func(r record) bool { return r.attr.IsRegular() && r.attr.Size <= smallFile })
	t.entered, t.wasted = func(string) {}, func() {}
	t.reset()
	return t
}

// reset drops everything that is remembered. Under mu, or before use.
func (t *tree) reset() {
	t.folders, _ = simplelru.NewLRU(math.MaxInt32, t.dropped)
	t.count, t.latest = 0, 0
	t.below = make(map[string]map[string]struct{})
	t.followed = make(map[string]answer)
}

// dropped is told of every folder that is let go of.
func (t *tree) dropped(dir string, f *folder) {
	t.count -= f.size()
	t.prune(dir)
	if f.ahead {
		t.walks.failed()
		t.wasted()
	}
}

func (t *tree) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reset()
}

func (t *tree) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

func (t *tree) off() bool { return t.lifetime <= 0 }

func (t *tree) clock() instant { return instant(t.now().Sub(t.start)) }

// find tells what is known of path: its attributes, or ENOENT or ENOTDIR, or
// false.
func (t *tree) find(path string) (answer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.findLocked(path)
}

func (t *tree) findLocked(path string) (answer, bool) {
	if t.off() || t.barred(path) {
		return answer{}, false
	}
	now := t.clock()
	switch r, known := t.record(path, now); {
	case known && r.state == present:
		return answer{attr: r.attr, until: r.until}, true
	case known && r.state == absent:
		return answer{errno: syscall.ENOENT, until: r.until}, true
	}
	return t.findAbove(path, now)
}

// found is find for the record of what is there.
func (t *tree) found(path string) (record, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.off() || t.barred(path) {
		return record{}, false
	}
	r, known := t.record(path, t.clock())
	return r, known && r.state == present
}

// record gives a fresh record of path: one that is held, or the absence that a
// complete listing implies.
func (t *tree) record(path string, now instant) (record, bool) {
	dir, name := remote.Split(path)
	f, ok := t.folders.Get(dir)
	if !ok {
		return record{}, false
	}
	if f.ahead && f.listed > now {
		f.ahead = false
		t.entered(dir)
	}
	r, ok := f.names[name]
	if ok {
		return r, r.state != unknown && r.until > now
	}
	return record{state: absent, until: f.listed}, f.listed > now && f.proves && path != "."
}

// findAbove looks whether a folder above path is known not to be one: nothing is
// below it then.
func (t *tree) findAbove(path string, now instant) (answer, bool) {
	for dir, _ := remote.Split(path); dir != "."; dir, _ = remote.Split(dir) {
		r, known := t.record(dir, now)
		switch {
		case !known:
			continue
		case r.state == absent:
			return answer{errno: syscall.ENOENT, until: r.until}, true
		case r.attr.IsRegular():
			return answer{errno: syscall.ENOTDIR, until: r.until}, true
		}
		break // a folder, or a link that may lead to one
	}
	return answer{}, false
}

// age is how long ago what lives until then was the server's.
func (t *tree) age(until instant) time.Duration {
	return t.lifetime - time.Duration(until-t.clock())
}

// put stores what is known of path now.
func (t *tree) put(path string, s state, a remote.Attr) {
	t.putUntil(path, s, a, t.clock()+instant(t.lifetime))
}

// putUntil is put for what was known before.
func (t *tree) putUntil(path string, s state, a remote.Attr, until instant) {
	if t.off() || t.barred(path) {
		return
	}
	dir, name := remote.Split(path)
	now := t.clock()
	f := t.folderOf(dir)
	r, held := f.names[name]
	if !held {
		r.pos = -1
		t.count++
	}
	if a.Nlink == 0 && r.state == present && r.until > now && r.attr.Type() == a.Type() {
		a.Nlink = r.attr.Nlink // only listings tell it
	}
	r.attr, r.state, r.until = a, s, until
	if s == present && r.pos < 0 && f.listed > now && path != "." {
		r.pos = int32(len(f.order))
		f.order = append(f.order, name)
	}
	f.names[name] = r
	t.keep(f, r.until)
}

// outdate keeps what is known of path, which was written to up to end, but for its
// attributes. Where these are told nevertheless, as the remote is away, the file is as
// long as that: one told shorter ends there for the kernel, and so for programs.
func (t *tree) outdate(path string, end int64) {
	dir, name := remote.Split(path)
	if f, ok := t.folders.Peek(dir); ok {
		if r, held := f.names[name]; held && r.state == present {
			r.until, r.attr.Size = 0, max(r.attr.Size, end)
			f.names[name] = r
		}
	}
}

// update changes the attributes held for path, if there are any.
func (t *tree) update(path string, edit func(*remote.Attr)) {
	dir, name := remote.Split(path)
	if f, ok := t.folders.Peek(dir); ok {
		if r, held := f.names[name]; held && r.state == present {
			edit(&r.attr)
			f.names[name] = r
		}
	}
}

// drop forgets the attributes held for path. The record stays where a listing
// would otherwise say that the name is not there.
func (t *tree) drop(path string) {
	dir, name := remote.Split(path)
	f, ok := t.folders.Peek(dir)
	if !ok {
		return
	}
	if _, held := f.targets[name]; held {
		delete(f.targets, name)
		t.count--
	}
	listed := f.listed > t.clock()
	r, held := f.names[name]
	if !held {
		if !listed {
			return
		}
		r.pos = -1
		t.count++
	}
	if r.pos < 0 && listed && path != "." { // the listing is not whole any more
		r.pos = int32(len(f.order))
		f.order = append(f.order, name)
	}
	r.state, r.attr = unknown, remote.Attr{}
	f.names[name] = r
}

// dropBelow forgets every folder at and below path.
func (t *tree) dropBelow(path string) {
	for _, dir := range t.foldersBelow(path, nil) {
		t.folders.Remove(dir)
	}
}

// foldersBelow adds the folders at and below path, also those that are only on the
// way to one that is held.
func (t *tree) foldersBelow(path string, found []string) []string {
	found = append(found, path)
	for name := range t.below[path] {
		found = t.foldersBelow(remote.Join(path, name), found)
	}
	return found
}

// grow notes the way to a folder that is held now.
func (t *tree) grow(dir string) {
	for dir != "." {
		above, name := remote.Split(dir)
		in := t.below[above]
		if _, known := in[name]; known {
			return
		}
		if in == nil {
			in = make(map[string]struct{})
			t.below[above] = in
		}
		in[name] = struct{}{}
		dir = above
	}
}

// prune forgets the way to a folder that is not held any more, as far as it leads to
// no other.
func (t *tree) prune(dir string) {
	for dir != "." && len(t.below[dir]) == 0 && !t.folders.Contains(dir) {
		above, name := remote.Split(dir)
		delete(t.below[above], name)
		if len(t.below[above]) == 0 {
			delete(t.below, above)
		}
		dir = above
	}
}

// size is how many names the folder counts as.
func (f *folder) size() int { return len(f.names) + len(f.targets) + 1 }

// folderOf gives the folder at dir, made if need be.
func (t *tree) folderOf(dir string) *folder {
	f, ok := t.folders.Get(dir)
	if !ok {
		f = &folder{names: make(map[string]record)}
		t.folders.Add(dir, f)
		t.grow(dir)
		t.count++
	}
	return f
}

// keep notes the life of what was put into f, and makes room.
func (t *tree) keep(f *folder, until instant) {
	f.last = max(f.last, until)
	t.latest = max(t.latest, until)
	for t.count > t.max && t.folders.Len() > 1 {
		t.folders.RemoveOldest()
	}
	if t.count > t.max {
		t.reset()
	}
}

// inside reports whether path is root or below it.
func inside(path, root string) bool {
	if root == "." {
		return true
	}
	return strings.HasPrefix(path, root) && (len(path) == len(root) || path[len(root)] == '/')
}
