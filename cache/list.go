package cache

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/remotemount/remotemount/pool"
)

// A list is a ReadDir under way. It runs by itself, and hands what has arrived to
// any number of readers, each at its own pace, from the first name on.
type list struct {
	path       string
	background bool
	started    instant
	limit      int // names it may hold
	cancel     context.CancelFunc

	// Guarded by tree.mu.
	stale   bool                // the folder changed: its names are not known
	skipped map[string]struct{} // names whose attributes changed

	mu      sync.Mutex
	batches [][]pool.Entry // guarded by mu, like all below
	held    int            // names in batches
	readers int
	huge    bool // it holds more than the limit, so nobody can join, and it waits for its reader
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

// ReadDir implements pool.Remote.
func (c *Cache) ReadDir(ctx context.Context, path string, emit func([]pool.Entry) error) error {
	if c.off() {
		return c.remote.ReadDir(ctx, path, emit)
	}
	if entries, known := c.tree.listing(path); known {
		c.stats.hits.Add(1)
		if len(entries) == 0 {
			return nil
		}
		return emit(entries)
	}
	c.stats.misses.Add(1)
	l := c.list(ctx, path)
	defer l.leave()
	return l.read(ctx, emit)
}

// listing gives the entries of a folder whose listing is held whole.
func (t *tree) listing(path string) ([]pool.Entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	f, ok := t.folders.Get(path)
	if !ok || f.listed <= now || t.barred(path) {
		return nil, false
	}
	entries := make([]pool.Entry, 0, len(f.order))
	for i, name := range f.order {
		r, ok := f.names[name]
		switch {
		case !ok || r.state == unknown || r.until <= now:
			return nil, false
		case r.state == present && int(r.pos) == i:
			entries = append(entries, pool.Entry{Name: name, Attr: r.attr})
		}
	}
	return entries, true
}

// list gives a listing under way, joined by the caller, who must leave it.
func (c *Cache) list(ctx context.Context, path string) *list {
	background := pool.IsBackground(ctx)
	t := c.tree
	t.mu.Lock()
	if l := t.lists[path]; l != nil && (background || !l.background) && l.join() {
		t.mu.Unlock()
		return l
	}
	l := &list{path: path, background: background, started: t.clock(), limit: t.max,
		readers: 1, moved: make(chan struct{})}
	t.lists[path] = l
	ctx, l.cancel = c.detach(ctx)
	t.mu.Unlock()
	if !c.spawn(func() { c.runList(ctx, l) }) {
		c.tree.listed(l, errClosed("readdir", path))
	}
	return l
}

func (c *Cache) runList(ctx context.Context, l *list) {
	defer l.cancel()
	err := c.remote.ReadDir(ctx, l.path, func(batch []pool.Entry) error {
		batch = slices.Clone(batch)
		c.correct(l, batch)
		return l.add(ctx, batch)
	})
	c.tree.listed(l, err)
	c.sweepLater()
}

// correct takes the data we have written and not flushed into a batch.
func (c *Cache) correct(l *list, batch []pool.Entry) {
	var doubts []string
	c.files.correct(l.path, batch, c.tree.clock(), func(name string) { doubts = append(doubts, name) })
	if len(doubts) == 0 {
		return
	}
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	for _, name := range doubts {
		l.skip(name)
	}
}

// listed stores a listing that has ended, and ends l.
func (t *tree) listed(l *list, err error) {
	t.mu.Lock()
	if t.lists[l.path] == l {
		delete(t.lists, l.path)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && !l.stale && !l.huge && !t.barredIn(l.path) {
		t.putListing(l)
	}
	t.mu.Unlock()
	l.done, l.err = true, err
	l.notify()
}

// putListing replaces what is known of a folder. Names whose attributes changed
// meanwhile stay, but what is held of them is better than the listing.
func (t *tree) putListing(l *list) {
	now := t.clock()
	until := now + instant(t.lifetime)
	old := t.folderOf(l.path)
	f := &folder{
		names:  make(map[string]record, l.held+1),
		order:  make([]string, 0, l.held),
		listed: l.started + instant(t.lifetime),
		ahead:  l.background,
	}
	for _, batch := range l.batches {
		for _, e := range batch {
			r := record{attr: e.Attr, state: present, until: until, pos: int32(len(f.order))}
			if _, skip := l.skipped[e.Name]; skip {
				was := old.names[e.Name]
				r.attr, r.state, r.until = was.attr, was.state, was.until
			}
			if _, twice := f.names[e.Name]; !twice {
				f.order = append(f.order, e.Name)
				f.names[e.Name] = r
			}
		}
	}
	if self, ok := old.names["."]; ok && l.path == "." {
		f.names["."] = self
	}
	t.folders.Remove(l.path)
	t.folders.Add(l.path, f)
	t.count += len(f.names) + 1
	t.files.listed(l.path, f)
	t.keep(f, until)
}

// join adds a reader, unless it is too late to hear everything.
func (l *list) join() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.huge {
		return false
	}
	l.readers++
	return true
}

// abandonAt is the number of names beyond which a listing that nobody reads any
// more is ended.
const abandonAt = 20_000

// leave takes a reader away.
func (l *list) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers--
	if l.readers == 0 && (l.huge || l.held > abandonAt) {
		l.cancel()
	}
}

var errHuge = errors.New("listing read ahead is too large")

// add appends a batch. When more is held than may be, it waits for the reader: the
// memory of a folder of millions of names is bounded by that.
func (l *list) add(ctx context.Context, batch []pool.Entry) error {
	if len(batch) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, batch)
	l.held += len(batch)
	l.huge = l.huge || l.held > l.limit
	l.notify()
	for l.held > l.limit && l.readers == 1 {
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
	if l.huge && l.readers == 0 {
		return errHuge
	}
	return nil
}

// notify wakes everyone in wait. Under mu.
func (l *list) notify() {
	close(l.moved)
	l.moved = make(chan struct{})
}

// wait gives up mu until something changes or ctx ends.
func (l *list) wait(ctx context.Context) error {
	moved := l.moved
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-moved:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read hands everything to emit as it arrives.
func (l *list) read(ctx context.Context, emit func([]pool.Entry) error) error {
	for i := 0; ; i++ {
		batch, err := l.batch(ctx, i)
		if err != nil || batch == nil {
			return err
		}
		if err := emit(batch); err != nil {
			return err
		}
	}
}

// batch waits for the i-th batch; nil is the end.
func (l *list) batch(ctx context.Context, i int) ([]pool.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i >= len(l.batches) {
		if l.done {
			return nil, l.err
		}
		if err := l.wait(ctx); err != nil {
			return nil, pool.PathError("readdir", l.path, err)
		}
	}
	batch := l.batches[i]
	if l.huge && l.readers == 1 {
		l.batches[i] = nil
		l.held -= len(batch)
		l.notify()
	}
	return batch, nil
}
