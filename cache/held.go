package cache

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// While the remote is away, what is still held is told to whoever prefers that to
// nothing (remote.Stale): attributes, complete listings, targets of links and what these
// lead to, however old. An absence is not: that something was not there once says little.
// Nor is what a change of ours left in doubt.

// isAway reports whether no connection to the remote can be had.
func (c *Cache) isAway() bool { return !c.remote.Info().Away.IsZero() }

const (
	// heldPoll is how often a look that has something old to fall back on checks
	// whether the remote is away, and its caller still there.
	heldPoll = 50 * time.Millisecond

	// rootPatience is how long the mount's own root is waited for: the listing of the
	// folder above, and everyone who asks what is mounted here, hang on it.
	rootPatience = 150 * time.Millisecond
)

// sawRoot keeps what the root was, whatever becomes of the rest.
func (t *tree) sawRoot(a remote.Attr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.root = a
}

// held gives the attributes last known of path, for a look that may have them.
func (t *tree) held(ctx context.Context, path string) (remote.Attr, bool) {
	if !remote.MayBeStale(ctx) || remote.IsBackground(ctx) {
		return remote.Attr{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.barred(path) {
		dir, name := remote.Split(path)
		if f, ok := t.folders.Peek(dir); ok {
			if r, ok := f.names[name]; ok && r.state == present {
				return r.attr, true
			}
		}
	}
	return t.root, path == "." && t.root.Mode != 0
}

// heldFollowed is held for what path leads to.
func (t *tree) heldFollowed(ctx context.Context, path string) (remote.Attr, bool) {
	a, isHeld := t.held(ctx, path)
	if !isHeld || !a.IsSymlink() {
		return a, isHeld
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.followed[path] // what is over stays until a change of ours: it may be of that file
	return f.attr, f.attr.Mode != 0
}

// wasListed reports whether a complete listing of a folder is held, for a look that
// may have an old one.
func (t *tree) wasListed(ctx context.Context, path string) bool {
	if !remote.MayBeStale(ctx) || remote.IsBackground(ctx) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.folders.Peek(path)
	return ok && f.listed > 0 && !t.barred(path)
}

// heldEntries gives the last complete listing of a folder, with what is known of its
// names since.
func (t *tree) heldEntries(path string) []remote.Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.folders.Peek(path)
	if !ok {
		return nil
	}
	entries := make([]remote.Entry, 0, len(f.names))
	for i, name := range f.order {
		if r := f.names[name]; r.state == present && int(r.pos) == i {
			entries = append(entries, remote.Entry{Name: name, Attr: r.attr})
		}
	}
	for name, r := range f.names {
		if r.state == present && r.pos < 0 && name != "." {
			entries = append(entries, remote.Entry{Name: name, Attr: r.attr})
		}
	}
	return entries
}

// lookOrHeld waits for a look, and gives what is held when the remote turns out to be
// away; of the root at once, when it takes longer than a person should notice.
func (c *Cache) lookOrHeld(ctx context.Context, l *look, held remote.Attr) (remote.Attr, error) {
	begun := time.Now()
	come := comes(ctx, l.done, func() bool {
		return c.isAway() || l.path == "." && time.Since(begun) >= rootPatience
	})
	err := ctx.Err()
	switch {
	case come && !(errors.Is(l.err, syscall.ETIMEDOUT) && (c.isAway() || l.path == ".")):
		return l.attr, l.err
	case !come && err != nil:
		return remote.Attr{}, remote.PathError("lstat", l.path, err)
	}
	return c.old(ctx, held), nil
}

// comes waits for done, and reports false when ctx ended before, or there was something
// instead.
func comes(ctx context.Context, done <-chan struct{}, instead func() bool) bool {
	poll := time.NewTicker(heldPoll)
	defer poll.Stop()
	for {
		select {
		case <-done:
			return true
		case <-poll.C:
		}
		if ctx.Err() != nil || instead() {
			return false
		}
	}
}

// oldLife is for how long what is held may be believed: a path is walked in that.
const oldLife = time.Second

// old gives what is held, and tells that it is over.
func (c *Cache) old(ctx context.Context, held remote.Attr) remote.Attr {
	c.tellOld(ctx)
	return held
}

func (c *Cache) tellOld(ctx context.Context) { remote.Aged(ctx, max(0, c.tree.lifetime-oldLife)) }

// stirsOrAway waits for the first names of a listing, and reports false when the
// remote is away first.
func (c *Cache) stirsOrAway(ctx context.Context, l *list) bool {
	for !l.stirs(ctx, heldPoll) {
		if c.isAway() {
			return false
		}
		if ctx.Err() != nil {
			return true
		}
	}
	l.mu.Lock()
	failed := l.done && l.passed+len(l.batches) == 0 && errors.Is(l.err, syscall.ETIMEDOUT)
	l.mu.Unlock()
	return !failed || !c.isAway()
}
