package cache

import (
	"context"

	"github.com/remotemount/remotemount/pool/remote"
)

// enter learns that somebody looks into the folder at path, and lists the folders
// that come next. Whether the listing had been read ahead is told by paid. Under
// tree.mu.
func (c *Cache) enter(path string, paid bool) {
	t := c.tree
	g := &t.walks
	if paid {
		c.stats.used.Add(1)
		g.paid()
	}
	dir, name := remote.Split(path)
	m := away
	if f, ok := t.folders.Peek(dir); ok && path != "." {
		m = t.visit(g, dir, f, name)
	}
	switch {
	case m == onward || paid:
		g.step()
		t.walking = path
	case m == away:
		t.walking = ""
	}
	c.listOn()
}

// listOn lists what comes after the folder that a program was seen in last, when
// it goes through the tree in order. Under tree.mu.
func (c *Cache) listOn() {
	t := c.tree
	if t.walking == "" {
		return
	}
	for _, path := range t.after(t.walking, t.walks.credit) {
		f, ok := t.folders.Peek(path)
		if t.lists[path] == nil && (!ok || !f.big && f.listed <= t.clock()) && !t.barred(path) {
			c.newList(remote.Background(context.Background()), path, 0)
		}
	}
}

// mostMisses is the number of looks into a folder that had to be asked after which
// it is listed: git looks at every file it knows, and never lists.
const mostMisses = 3

// missed notes a look that has to be asked. Under tree.mu.
func (c *Cache) missed(path string) {
	t := c.tree
	dir, _ := remote.Split(path)
	if path == "." || t.lists[dir] != nil || c.files.isWritten(path) {
		return // or it is asked for each time, and a listing would not tell it
	}
	f := t.folderOf(dir)
	if f.misses++; f.misses < mostMisses || f.big || t.barred(dir) {
		return
	}
	f.misses = 0
	// It is no guess of where a program goes, and so no step when it is used: a desktop
	// looks in the root of each new mount for what is not there, and goes nowhere.
	c.newList(remote.Background(context.Background()), dir, 0).ahead = false
	c.enter(dir, false)
}
