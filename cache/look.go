package cache

import (
	"context"
	"errors"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// A look is an Lstat under way. It runs by itself: who asks the same joins it, and
// when they have all given up it still fills the cache.
type look struct {
	watch
	background bool
	done       chan struct{} // closed when attr and err are there
	attr       remote.Attr
	err        error
}

// Lstat implements remote.Remote.
func (c *Cache) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	if remote.MustBeFresh(ctx) || c.off() && (path != "." || !remote.MayBeStale(ctx)) {
		return c.remote.Lstat(ctx, path)
	}
	if err := ended(ctx, "lstat", path); err != nil {
		return remote.Attr{}, err
	}
	if a, known := c.tree.find(path); known {
		c.stats.hits.Add(1)
		remote.Aged(ctx, c.tree.age(a.until))
		return a.attr, failed("lstat", path, a.errno)
	}
	held, isHeld := c.tree.held(ctx, path)
	if isHeld && c.isAway() {
		c.stats.hits.Add(1)
		return c.old(ctx, held), nil
	}
	c.stats.misses.Add(1)
	l, first := c.look(path, remote.IsBackground(ctx))
	if first && !c.spawn(func() { c.run(ctx, l) }) {
		c.finish(l, remote.Attr{}, errClosed("lstat", path))
	}
	if isHeld {
		return c.lookOrHeld(ctx, l, held)
	}
	if err := remote.Await(ctx, l.done); err != nil {
		return remote.Attr{}, remote.PathError("lstat", path, err)
	}
	return l.attr, l.err
}

// look gives the look to wait for, and whether the caller has to run it. One that
// nobody waits for stays behind other requests, so nobody who waits joins it.
func (c *Cache) look(path string, background bool) (l *look, first bool) {
	t := c.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if !background {
		c.missed(path)
	}
	if l := t.looks[path]; l != nil && (background || !l.background) {
		return l, false
	}
	l = &look{background: background, done: make(chan struct{})}
	t.watchLocked(&l.watch, path)
	t.looks[path] = l
	return l, true
}

func (c *Cache) run(ctx context.Context, l *look) {
	ctx, cancel := c.detach(ctx)
	defer cancel()
	begun := c.tree.clock()
	attr, err := c.remote.Lstat(ctx, l.path)
	c.answeredIn(begun, err)
	c.finish(l, attr, err)
}

func (c *Cache) finish(l *look, attr remote.Attr, err error) {
	c.tree.answered(&l.watch, attr, err)
	c.tree.mu.Lock()
	if c.tree.looks[l.path] == l {
		delete(c.tree.looks, l.path)
	}
	c.tree.mu.Unlock()
	if l.path == "." && err == nil {
		c.tree.sawRoot(attr)
	}
	l.attr, l.err = attr, err
	close(l.done)
	c.sweepLater()
}

// ended gives the error of a context that is over, before anything is answered.
func ended(ctx context.Context, op, path string) error {
	if err := ctx.Err(); err != nil {
		return remote.PathError(op, path, err)
	}
	return nil
}

// failed is the error for an errno, or nil for none.
func failed(op, path string, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return remote.PathError(op, path, errno)
}

// An answer is what a look gives: attributes, or an errno.
type answer struct {
	attr  remote.Attr
	errno syscall.Errno
	until instant
}

// Stat implements remote.Remote. What a link leads to may be changed under another
// path, so any change of ours drops all that is held of links.
func (c *Cache) Stat(ctx context.Context, path string) (remote.Attr, error) {
	if c.off() || remote.MustBeFresh(ctx) {
		return c.remote.Stat(ctx, path)
	}
	if err := ended(ctx, "stat", path); err != nil {
		return remote.Attr{}, err
	}
	f, epoch, known := c.tree.findFollowed(path)
	if known {
		c.stats.hits.Add(1)
		remote.Aged(ctx, c.tree.age(f.until))
		return f.attr, failed("stat", path, f.errno)
	}
	held, isHeld := c.tree.heldFollowed(ctx, path)
	if isHeld && c.isAway() {
		c.stats.hits.Add(1)
		return c.old(ctx, held), nil
	}
	c.stats.misses.Add(1)
	attr, err := c.remote.Stat(ctx, path)
	c.tree.putFollowed(path, epoch, attr, err)
	if isHeld && errors.Is(err, syscall.ETIMEDOUT) && c.isAway() {
		return c.old(ctx, held), nil
	}
	return attr, err
}

func (t *tree) findFollowed(path string) (f answer, epoch uint64, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.findLocked(path)
	if ok && !f.attr.IsSymlink() {
		return f, t.epoch, true
	}
	f, ok = t.followed[path]
	return f, t.epoch, ok && f.until > t.clock()
}

func (t *tree) putFollowed(path string, epoch uint64, a remote.Attr, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putFollowedLocked(path, epoch, a, err)
	if err == nil && t.epoch == epoch { // else something of ours may be newer
		t.files.seen(path, a)
	}
}

func (t *tree) putFollowedLocked(path string, epoch uint64, a remote.Attr, err error) {
	f := answer{attr: a}
	switch {
	case errors.Is(err, syscall.ENOENT):
		f.errno = syscall.ENOENT
	case err != nil:
		return
	}
	if t.off() || t.epoch != epoch || len(t.changes) > 0 || t.barred(path) {
		return
	}
	if len(t.followed) >= t.max {
		clear(t.followed)
	}
	f.until = t.clock() + instant(t.lifetime)
	t.followed[path] = f
	t.latest = max(t.latest, f.until)
}

// forgetFollowed drops what is held of where links lead.
func (t *tree) forgetFollowed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	clear(t.followed)
}

// A target is what a symbolic link says.
type target struct {
	to    string
	until instant
}

// ReadLink implements remote.Remote.
func (c *Cache) ReadLink(ctx context.Context, path string) (string, error) {
	if c.off() || remote.MustBeFresh(ctx) {
		return c.remote.ReadLink(ctx, path)
	}
	if err := ended(ctx, "readlink", path); err != nil {
		return "", err
	}
	to, known := c.tree.findTarget(path)
	if known || to != "" && remote.MayBeStale(ctx) && c.isAway() {
		c.stats.hits.Add(1)
		return to, nil
	}
	c.stats.misses.Add(1)
	w := c.tree.watch(path)
	to, err := c.remote.ReadLink(ctx, path)
	c.tree.putTarget(w, to, err)
	c.sweepLater()
	return to, err
}

func (t *tree) findTarget(path string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dir, name := remote.Split(path)
	f, ok := t.folders.Get(dir)
	if !ok || t.barred(path) {
		return "", false
	}
	l, ok := f.targets[name]
	return l.to, ok && l.until > t.clock()
}

func (t *tree) putTarget(w *watch, to string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwatch(w)
	if err != nil || w.stale || t.barred(w.path) {
		return
	}
	until := t.clock() + instant(t.lifetime)
	dir, name := remote.Split(w.path)
	f := t.folderOf(dir)
	if _, held := f.targets[name]; !held {
		t.count++
	}
	if f.targets == nil {
		f.targets = make(map[string]target)
	}
	f.targets[name] = target{to: to, until: until}
	t.keep(f, until)
}
