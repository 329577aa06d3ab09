package cache

import "sort"

// An extent is a stretch of a file that is held, or is being fetched. The extents
// of a shelf do not overlap.
type extent struct {
	off  int64
	done chan struct{} // closed when buf[:n] and err are there, which then stay

	buf *buffer
	n   int
	err error
	by  *loan // the read that waits for it; nil when it was read ahead

	// Guarded by opened.mu.
	owner  keeper
	asked  instant
	size   int  // what is asked for, and later what there is
	refs   int  // the owner, the fetch under way, and every loan
	ready  bool // done is closed
	kept   bool // the owner has it
	spoilt bool // the buffer may still be written to
	used   bool
	once   bool // nobody will come for it again

	next, prev *extent // in memory.idle
}

// A keeper is what an extent belongs to.
type keeper interface {
	discard(*extent) // lets go of it
	cache() *Cache
}

func (e *extent) end() int64 { return e.off + int64(e.size) }

// hold keeps e from being dropped. Under opened.mu, like all here.
func (e *extent) hold() {
	e.refs++
	if e.refs == 2 {
		e.owner.cache().mem.wake(e)
	}
}

// drop ends a hold.
func (e *extent) drop() {
	e.refs--
	m := e.owner.cache().mem
	switch {
	case e.refs == 0:
		m.give(e.buf, !e.spoilt)
		e.buf = nil
	case e.refs == 1 && e.kept && e.once:
		e.discard()
	case e.refs == 1 && e.kept:
		m.rest(e)
	}
}

// discard takes e away from its owner.
func (e *extent) discard() { e.owner.discard(e) }

// letGo is what the owner does with an extent that it has taken out.
func (e *extent) letGo() {
	c := e.owner.cache()
	c.mem.wake(e)
	e.kept = false
	if e.by == nil && !e.used {
		c.stats.wasted.Add(1)
	}
	e.drop()
}

// extents are those of a shelf, by offset. Guarded by opened.mu.
type extents []*extent

// find gives the first extent that ends behind off, and whether off is in it.
func (x extents) find(off int64) (int, bool) {
	i := sort.Search(len(x), func(i int) bool { return x[i].end() > off })
	return i, i < len(x) && x[i].off <= off
}

// around gives the gap in front of the i-th extent.
func (x extents) around(i int) (from, to int64) {
	from, to = 0, int64(1)<<62
	if i > 0 {
		from = x[i-1].end()
	}
	if i < len(x) {
		to = x[i].off
	}
	return from, to
}

// A loan is what a read holds while it looks at the data.
type loan struct {
	extents []*extent
	start   []*extent // those of them, and ahead of them, that are to be fetched
	data    [][]byte
	waits   bool   // one of extents was not ready
	back    func() // gives the loan back
}

func (c *Cache) newLoan() *loan {
	if l, ok := c.loans.Get().(*loan); ok {
		return l
	}
	l := &loan{}
	l.back = func() { c.endLoan(l) }
	return l
}

func (c *Cache) endLoan(l *loan) {
	again := true
	c.files.mu.Lock()
	for _, e := range l.extents {
		again = again && e.ready // what it has begun may yet fail, which nobody else must take for his own
		e.drop()
	}
	c.files.mu.Unlock()
	if !again {
		return
	}
	clear(l.extents)
	clear(l.start)
	clear(l.data)
	l.extents, l.start, l.data, l.waits = l.extents[:0], l.start[:0], l.data[:0], false
	c.loans.Put(l)
}

// add holds e for the read. Under opened.mu.
func (l *loan) add(e *extent) {
	e.hold()
	l.extents = append(l.extents, e)
	l.waits = l.waits || !e.ready
}
