package cache

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/remotemount/remotemount/pool/remote"
)

// A list is a ReadDir under way. It runs by itself, and hands what has arrived to
// any number of readers, each at its own pace, from the first name on. One that is too
// large to be held is passed on to one reader, at that one's pace; the others go on
// with a listing of their own.
type list struct {
	path       string
	background bool
	started    instant
	limit      int           // names it may hold
	all        *atomic.Int64 // names that all listings hold, and may hold as many
	cancel     context.CancelFunc

	// Guarded by tree.mu.
	ahead   bool                // nobody asked for it yet
	stale   bool                // it is not this folder's any more
	changed bool                // by us since it was begun: who asks now must not get it
	skipped map[string]struct{} // names that we changed meanwhile

	mu      sync.Mutex
	batches [][]remote.Entry // guarded by mu, like all below
	arrived []instant        // when each of them did
	passed  int              // batches that were before those
	early   [][]remote.Entry // from the first on, for readers that have to go on by themselves
	held    int              // names in batches
	readers int
	huge    bool    // it is too large to be held, or given up: nobody can join it
	only    *sharer // gets the rest of a huge one; nil until one asks
	done    bool
	err     error
	moved   chan struct{} // closed, and made anew, when any of these changes
}

// skip notes that what the listing says of name is not to be kept. Under tree.mu.
func (l *list) skip(name string) {
	if l.skipped == nil {
		l.skipped = make(map[string]struct{})
	}
	l.skipped[name] = struct{}{}
}

// overtaken notes that we changed name, or are about to. Under tree.mu.
func (l *list) overtaken(name string) {
	l.changed = true
	l.skip(name)
}

// ReadDir implements remote.Remote.
func (c *Cache) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	if c.off() {
		return c.remote.ReadDir(ctx, path, emit)
	}
	if err := ended(ctx, "readdir", path); err != nil {
		return err
	}
	held := c.tree.wasListed(ctx, path)
	if held && c.isAway() {
		c.stats.hits.Add(1)
		c.tellOld(ctx)
		return emitAll(c.tree.heldEntries(path), emit)
	}
	entries, until, l := c.listing(ctx, path)
	if l == nil {
		c.stats.hits.Add(1)
		remote.Aged(ctx, c.tree.age(until))
		return emitAll(entries, emit)
	}
	c.stats.misses.Add(1)
	if l.background && !remote.IsBackground(ctx) && !l.stirs(ctx, c.patience()) {
		l = c.overtake(ctx, l)
	}
	if held && !c.stirsOrAway(ctx, l) {
		l.leave()
		c.tellOld(ctx)
		return emitAll(c.tree.heldEntries(path), emit)
	}
	seen, err := l.read(ctx, c.tree.clock, emit)
	l.leave()
	if err == errAlone {
		return c.listAlone(ctx, l, seen, emit)
	}
	return err
}

// listAlone passes a folder on as it comes, without the names that were seen.
func (c *Cache) listAlone(ctx context.Context, l *list, seen map[string]struct{}, emit func([]remote.Entry) error) error {
	unflushed := c.unflushed(l)
	return c.remote.ReadDir(ctx, l.path, func(batch []remote.Entry) error {
		batch = slices.DeleteFunc(slices.Clone(batch), func(e remote.Entry) bool {
			_, again := seen[e.Name]
			delete(seen, e.Name)
			return again
		})
		c.correct(ctx, l, unflushed, batch)
		return emitAll(batch, emit)
	})
}

func emitAll(entries []remote.Entry, emit func([]remote.Entry) error) error {
	if len(entries) == 0 {
		return nil
	}
	return emit(entries)
}

// listing gives the entries of a folder whose listing is held whole, and until when, or
// a listing under way, joined by the caller, who must leave it.
func (c *Cache) listing(ctx context.Context, path string) ([]remote.Entry, instant, *list) {
	t := c.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	foreground := !remote.IsBackground(ctx)
	if entries, until, known := t.entries(path); known {
		if f, ok := t.folders.Peek(path); ok && foreground {
			ahead := f.ahead
			f.ahead = false
			c.enter(path, ahead)
		}
		return entries, until, nil
	}
	if l := t.lists[path]; l.join(t) {
		if foreground && l.ahead {
			l.ahead = false
			c.enter(path, true)
		}
		return nil, 0, l
	}
	l := c.newList(ctx, path, 1)
	if foreground {
		c.enter(path, false)
	}
	return nil, 0, l
}

// overtake gives a listing of one's own, joined, for one that does not move.
func (c *Cache) overtake(ctx context.Context, l *list) *list {
	l.leave()
	t := c.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lists[l.path] == l {
		l.stale = true // changes will be told to the new one only
		delete(t.lists, l.path)
	}
	own := t.lists[l.path]
	if !own.join(t) {
		own = c.newList(ctx, l.path, 1)
	}
	return own
}

// entries gives what is in a folder whose listing is held whole, and until when that is.
func (t *tree) entries(path string) ([]remote.Entry, instant, bool) {
	now := t.clock()
	f, ok := t.folders.Get(path)
	if !ok || f.listed <= now || t.barred(path) {
		return nil, 0, false
	}
	entries, until := make([]remote.Entry, 0, len(f.order)), f.listed
	for i, name := range f.order {
		r, ok := f.names[name]
		switch {
		case !ok || r.state == unknown || r.until <= now:
			return nil, 0, false
		case r.state == present && int(r.pos) == i:
			entries, until = append(entries, remote.Entry{Name: name, Attr: r.attr}), min(until, r.until)
		}
	}
	return entries, until, true
}

// newList begins a listing with so many readers, who must leave it. Under tree.mu.
func (c *Cache) newList(ctx context.Context, path string, readers int) *list {
	t := c.tree
	background := remote.IsBackground(ctx)
	l := &list{path: path, background: background, ahead: readers == 0, started: t.clock(),
		limit: t.max, all: &t.listing, readers: readers, moved: make(chan struct{})}
	if old := t.lists[path]; old != nil {
		old.stale = true // it cannot be joined any more
	}
	t.lists[path] = l
	ctx, l.cancel = c.detach(ctx)
	if !c.spawn(func() { c.runList(ctx, l) }) {
		l.cancel()
		delete(t.lists, path)
		l.done, l.err = true, errClosed("readdir", path)
	}
	return l
}

func (c *Cache) runList(ctx context.Context, l *list) {
	defer l.cancel()
	begun := c.tree.clock()
	user := c.remote.Info()
	unflushed := c.unflushed(l)
	err := c.remote.ReadDir(ctx, l.path, func(batch []remote.Entry) error {
		arrived := c.tree.clock()
		batch = slices.Clone(batch)
		c.correct(ctx, l, unflushed, batch)
		return l.add(ctx, batch, arrived)
	})
	c.answeredIn(begun, err)
	c.tree.listed(l, user, err)
	c.tree.mu.Lock()
	c.listOn()
	c.tree.mu.Unlock()
	c.sweepLater()
}

// unflushed gives the names in l's folder of files with data that is not flushed yet: the
// remote counts that, a listing does not. What it tells of them is not to be kept.
func (c *Cache) unflushed(l *list) map[string]struct{} {
	names := make(map[string]struct{})
	paths := c.files.unflushed()
	if len(paths) == 0 {
		return names
	}
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	add := func(path string) {
		if dir, name := remote.Split(path); dir == l.path {
			names[name] = struct{}{}
			l.skip(name)
		}
	}
	for _, path := range paths {
		add(path)
		c.tree.links.Others(path, add)
	}
	return names
}

// correct asks for what a batch says of files with data that is not flushed yet, or was
// not at some time since the listing was begun: flushed by now, it may have been told before.
func (c *Cache) correct(ctx context.Context, l *list, unflushed map[string]struct{}, batch []remote.Entry) {
	maps.Copy(unflushed, c.unflushed(l))
	for i, e := range batch {
		if _, ask := unflushed[e.Name]; !ask {
			continue
		}
		if a, err := c.remote.Lstat(ctx, remote.Join(l.path, e.Name)); err == nil {
			batch[i].Attr = a
			batch[i].Attr.Nlink = e.Attr.Nlink
		}
	}
}

// listed stores a listing that has ended, and ends l.
func (t *tree) listed(l *list, user remote.Info, err error) {
	t.mu.Lock()
	if t.lists[l.path] == l {
		delete(t.lists, l.path)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && !l.stale && !l.huge && !t.barredIn(l.path):
		t.putListing(l, user)
	case errors.Is(err, errHuge):
		t.folderOf(l.path).big = true
	}
	t.mu.Unlock()
	l.done, l.err = true, err
	l.release()
	l.notify()
}

// putListing replaces what is known of a folder. Of the names that we changed
// meanwhile, what we know is better than the listing.
func (t *tree) putListing(l *list, user remote.Info) {
	life, now := instant(t.lifetime), t.clock()
	least := instant(0)
	if now-l.started >= life { // its first names would be over before its last are there
		least = now + life/2
	}
	old := t.folderOf(l.path)
	f := &folder{
		names:  make(map[string]record, l.held+1),
		order:  make([]string, 0, l.held),
		listed: l.started + life,
		proves: t.proves(l, user),
		ahead:  l.ahead,

		targets: old.targets,
	}
	for i, batch := range l.batches {
		for _, e := range batch {
			r := record{attr: e.Attr, state: present, until: max(l.arrived[i]+life, least)}
			if _, skip := l.skipped[e.Name]; skip {
				r = old.names[e.Name]
			}
			f.append(e.Name, r)
		}
	}
	for name := range l.skipped {
		if name != "." {
			f.append(name, old.names[name])
		}
	}
	if self, ok := old.names["."]; ok && l.path == "." {
		f.names["."] = self
	}
	t.folders.Remove(l.path)
	t.folders.Add(l.path, f)
	t.grow(l.path)
	t.count += f.size()
	t.files.listed(l.path, f)
	t.keep(f, now+life)
}

// append puts a name into a listing, unless it is there.
func (f *folder) append(name string, r record) {
	if _, twice := f.names[name]; twice {
		return
	}
	r.pos = int32(len(f.order))
	f.order = append(f.order, name)
	f.names[name] = r
}
