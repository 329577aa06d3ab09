package cache

import "time"

// sweepLater sees to it that what is over is dropped, so that the memory of a tree
// walked falls back: a goroutine runs while anything is held.
func (c *Cache) sweepLater() {
	if c.off() || !c.sweeping.CompareAndSwap(false, true) {
		return
	}
	if !c.spawn(c.sweep) {
		c.sweeping.Store(false)
	}
}

func (c *Cache) sweep() {
	pause := c.cfg.AttrTimeout
	for pause > 0 {
		select {
		case <-c.life.Done():
			return
		case <-time.After(pause):
		}
		if !c.isAway() { // what is held is all there is
			pause = c.tree.sweep()
		}
	}
	c.files.mu.Lock()
	c.files.left.spoil(".", true) // nothing says any more what they are
	c.files.mu.Unlock()
	c.sweeping.Store(false)
	if c.tree.size() > 0 {
		c.sweepLater() // it came after the look, and before the store
	}
}

// hintLife is how long a listing that is over stays: a program that goes through a
// folder for longer than that listing lives still has its next steps guessed by it.
const hintLife = instant(20 * time.Second)

// For keepFor what is over is kept, as long as it is no more than mostKept names: it
// is what there is to show when the remote goes away.
const (
	keepFor  = instant(time.Hour)
	mostKept = 20_000
)

// sweep drops the folders in which nothing is of use, and reports how long it is
// until there will be something to drop again, or 0.
func (t *tree) sweep() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	now := t.clock()
	t.unbar(now)
	for _, dir := range t.folders.Keys() {
		f, _ := t.folders.Peek(dir)
		if f.ahead && f.listed <= now {
			f.ahead = false
			t.walks.failed()
			t.wasted()
		}
		if f.last+keepFor <= now || f.last+hintLife <= now && t.count > t.mostKept {
			t.folders.Remove(dir)
		}
	}
	t.walks.judge(now, instant(t.lifetime))
	if t.latest+keepFor <= now {
		t.reset() // maps keep their size when they are emptied
		return 0
	}
	if t.latest+hintLife <= now {
		return max(t.lifetime, time.Minute)
	}
	return t.lifetime
}
