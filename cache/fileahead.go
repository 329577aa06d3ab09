package cache

import (
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

const (
	smallFile   = 256 << 10       // up to this size a file is read ahead as a whole
	contentLife = 2 * time.Second // for so long its content serves an open
	mostContent = 16 << 20        // bytes of files not opened yet
)

// opens learns that somebody opened the file at path for reading, and reads the
// small files ahead that come next. Whether it was served from content is told by
// paid.
func (c *Cache) opens(path string, paid bool) {
	t := c.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	g := &t.reads
	t.expire()
	if paid {
		c.stats.used.Add(1)
		g.paid()
	}
	dir, name := remote.Split(path)
	f, ok := t.folders.Get(dir)
	if !ok || len(f.order) == 0 {
		return
	}
	m := t.visit(g, dir, f, name)
	if m == onward && !paid && c.farAhead() {
		c.files.spoilOutside(dir)
	}
	switch {
	case m == onward || paid:
		g.step()
		t.reading = path
	case m == around || !g.wants(f.names[name]):
		// a large file in between: whoever reads it may go on in order
	default:
		t.reading = ""
	}
	c.readOn()
}

// expire drops the contents that are too old, and takes note of those that were of no
// use. Under mu.
func (t *tree) expire() {
	for range t.files.takeWasted(t.clock()) {
		t.reads.failed()
	}
	t.reads.judge(t.clock(), instant(contentLife))
}

// readOn reads the small files ahead that come after the one opened last. Under
// tree.mu.
func (c *Cache) readOn() {
	t := c.tree
	if t.reading == "" || c.farAhead() {
		return
	}
	for _, next := range t.filesAfter(t.reading, t.reads.credit) {
		c.readAhead(next.Name, next.Attr.Size)
	}
}

// farAhead reports whether most of what may be read ahead is. Files are looked for a
// few at a time: that takes longer than one is worth. Under tree.mu.
func (c *Cache) farAhead() bool { return c.files.ahead() > c.tree.reads.credit*3/4 }

// filesAfter gives up to n small files, by their paths, that come after the one at path:
// in its folder, and then in the folders that come next.
func (t *tree) filesAfter(path string, n int) []remote.Entry {
	dir, name := remote.Split(path)
	var next []remote.Entry
	add := func(dir string, after string) {
		f, ok := t.folders.Peek(dir)
		if !ok {
			return
		}
		o := t.reads.best()
		steps := t.sequence(&t.reads, dir, f, o)
		if after != "" {
			steps = steps[place(steps, t.step(dir, f, o, after)):]
		}
		for _, s := range steps {
			if len(next) >= n {
				return
			}
			r := f.names[s.name]
			if s.name != after && r.state == present && t.reads.wants(r) {
				next = append(next, remote.Entry{Name: remote.Join(dir, s.name), Attr: r.attr})
			}
		}
	}
	add(dir, name)
	if len(next) < n {
		for _, d := range t.after(dir, firstCredit) {
			add(d, "")
		}
	}
	return next
}

// readAhead gets a small file. Under tree.mu.
func (c *Cache) readAhead(path string, size int64) {
	if c.tree.barred(path) {
		return
	}
	named, single := c.tree.ownName(path, remote.FlagRead)
	o := c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.contents[path] != nil || o.hasDirty(path) || o.contentSize+int(size) > mostContent {
		return
	}
	t := &content{c: c, path: path, size: int(size), named: named, single: single,
		done: make(chan struct{}), since: c.tree.clock(), held: true}
	o.contents[path] = t
	o.contentSize += t.size
	if !c.spawn(t.fetch) {
		t.forget()
		close(t.done)
	}
}
