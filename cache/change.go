package cache

import (
	"context"
	"errors"
	"maps"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// barTime is how long nothing is stored for a path whose change may be executed
// late: by then the pool has given up, and reset, the connection it was sent on.
const barTime = instant(time.Minute)

// A watch is a question under way. Its answer is stored only if it is not stale.
type watch struct {
	path  string
	stale bool   // guarded by tree.mu
	epoch uint64 // of the tree, when it was asked
	next  *watch
}

// watch begins to watch path.
func (t *tree) watch(path string) *watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &watch{}
	t.watchLocked(w, path)
	return w
}

func (t *tree) watchLocked(w *watch, path string) {
	w.path, w.epoch = path, t.epoch
	w.next = t.asks[path]
	t.asks[path] = w
}

// unwatch ends w. Under mu.
func (t *tree) unwatch(w *watch) {
	at := t.asks[w.path]
	if at == w {
		if w.next == nil {
			delete(t.asks, w.path)
		} else {
			t.asks[w.path] = w.next
		}
		return
	}
	for ; at != nil; at = at.next {
		if at.next == w {
			at.next = w.next
			return
		}
	}
}

// answered ends w, and stores the attributes it asked for. It reports whether
// nothing was changed meanwhile.
func (t *tree) answered(w *watch, a remote.Attr, err error) (sure bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwatch(w)
	switch {
	case w.stale:
	case err == nil:
		t.put(w.path, present, a)
		t.files.seen(w.path, a)
	case errors.Is(err, syscall.ENOENT):
		t.put(w.path, absent, remote.Attr{})
		t.links.Remove(w.path)
	}
	return !w.stale
}

// A change is one of ours under way.
type change struct {
	paths   []string
	kind    kind
	clashes bool // with another one: what is there afterwards is not known
}

// kind says how far a change reaches.
type kind uint8

const (
	inPlace   kind = iota // attributes of the path, and of other names of the file
	rights                // and of a folder, which of its names can be looked at
	names                 // the path comes or goes: also its folder's listing and times
	wholeTree             // and everything below it
)

// begin drops what a change of paths touches.
func (t *tree) begin(k kind, paths ...string) *change {
	ch := &change{paths: paths, kind: k}
	if t.off() {
		return ch
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.changes {
		if other.meets(ch) {
			other.clashes, ch.clashes = true, true
		}
	}
	t.changes = append(t.changes, ch)
	t.touch(ch)
	return ch
}

// end drops again what was stored meanwhile. After a success, done stores what is
// known now; after an error of which nobody knows what it leaves, the paths are
// barred.
func (t *tree) end(ch *change, err error, done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked(ch, err, done)
}

func (t *tree) endLocked(ch *change, err error, done func()) {
	if t.off() {
		return
	}
	for i, other := range t.changes {
		if other == ch {
			t.changes = append(t.changes[:i], t.changes[i+1:]...)
			break
		}
	}
	t.touch(ch)
	unknown := uncertain(err)
	for _, p := range ch.paths {
		if unknown {
			t.bar(p)
		}
		if unknown || ch.clashes {
			t.links.Others(p, t.touchPath)
		}
	}
	if err == nil && !ch.clashes && done != nil {
		done()
	}
}

// meets reports whether two changes have a path in common.
func (ch *change) meets(other *change) bool {
	for _, p := range ch.paths {
		for _, q := range other.paths {
			if p == q || inside(p, q) && other.kind == wholeTree || inside(q, p) && ch.kind == wholeTree {
				return true
			}
		}
	}
	return false
}

// touch drops what ch is about, and makes stale what was asked about it.
func (t *tree) touch(ch *change) {
	t.epoch++
	clear(t.followed)
	for _, p := range ch.paths {
		t.touchPath(p)
		t.files.spoil(p, ch.kind == wholeTree)
		switch ch.kind {
		case rights:
			t.folders.Remove(p)
			fallthrough
		case inPlace:
			t.touchOthers(p)
			continue
		}
		t.links.Others(p, t.doubt)
		dir, _ := remote.Split(p)
		t.touchPath(dir)
		if ch.kind == wholeTree {
			t.touchBelow(p)
		}
	}
}

// touchPath is touch for the attributes of one path.
func (t *tree) touchPath(path string) {
	t.drop(path)
	t.doubt(path)
}

// touchOthers is touch for the attributes and the content of the file at path, as far
// as they are held under other names.
func (t *tree) touchOthers(path string) {
	t.links.Others(path, func(other string) {
		t.touchPath(other)
		t.files.spoil(other, false)
	})
}

// doubt makes stale what is being asked about path, and keeps what is stored.
func (t *tree) doubt(path string) {
	for w := t.asks[path]; w != nil; w = w.next {
		w.stale = true
	}
	delete(t.looks, path)
	if len(t.lists) > 0 {
		dir, name := remote.Split(path)
		if l := t.lists[dir]; l != nil {
			l.overtaken(name)
		}
	}
}

// touchBelow is touch for everything at and below path.
func (t *tree) touchBelow(path string) {
	t.dropBelow(path)
	for p, w := range t.asks {
		for ; w != nil && inside(p, path); w = w.next {
			w.stale = true
		}
	}
	for p := range t.looks {
		if inside(p, path) {
			delete(t.looks, p)
		}
	}
	for p, l := range t.lists {
		if inside(p, path) {
			l.stale = true
			delete(t.lists, p)
		}
	}
}

// forgetTree drops what is known of path and everything below it.
func (t *tree) forgetTree(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touch(&change{paths: []string{path}, kind: wholeTree})
}

// wrote notes that path was written to, up to end. Its size and times are what the
// server says once it has that: who asks for them asks the remote.
func (t *tree) wrote(path string, end int64) {
	if t.off() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stir(path)
	t.outdate(path, end)
	t.touchOthers(path)
}

// stir notes that data of path has changed, and keeps what is stored.
func (t *tree) stir(path string) {
	t.epoch++
	if len(t.followed) > 0 {
		clear(t.followed)
	}
	t.doubt(path)
	for _, ch := range t.changes {
		for _, p := range ch.paths {
			ch.clashes = ch.clashes || p == path
		}
	}
}

// bar forbids storing anything about path for a while.
func (t *tree) bar(path string) {
	until := t.clock() + barTime
	dir, _ := remote.Split(path)
	t.bars[path], t.barsIn[dir] = until, until
	t.latest = max(t.latest, until)
	if f, ok := t.folders.Peek(dir); ok {
		f.listed = 0 // it would answer for the name
	}
}

// barred reports whether path, or a folder above it, is barred.
func (t *tree) barred(path string) bool {
	if len(t.bars) == 0 {
		return false
	}
	now := t.clock()
	for p := path; t.bars[p] <= now; p, _ = remote.Split(p) {
		if p == "." {
			return false
		}
	}
	return true
}

// barredIn reports whether a name in the folder is barred, so that a listing of it
// must not be kept.
func (t *tree) barredIn(dir string) bool {
	return t.barsIn[dir] > t.clock() || t.barred(dir)
}

// unbar drops the bars that are over.
func (t *tree) unbar(now instant) {
	over := func(_ string, until instant) bool { return until <= now }
	maps.DeleteFunc(t.bars, over)
	maps.DeleteFunc(t.barsIn, over)
}

// uncertain reports whether a change that gave err may still be executed.
func uncertain(err error) bool {
	if err == nil {
		return false
	}
	for _, e := range []error{context.Canceled, context.DeadlineExceeded, syscall.ETIMEDOUT, syscall.EIO, syscall.ENODEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
