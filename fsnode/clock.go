package fsnode

import (
	"sync"
	"time"
)

// racy is how old an mtime must be before another change of the file would show
// in it: SFTP's times are whole seconds.
const racy = 2

// A clock knows how late it is on the server at least. Files that we wrote tell
// it: their mtime is a moment that has passed there.
type clock struct {
	now func() time.Time

	mu    sync.Mutex
	known bool      // guarded by mu
	sec   int64     // guarded by mu: the server's time...
	at    time.Time // guarded by mu: ...at this moment here
}

// learn takes the mtime of a file by a change that was begun here at that moment. A value
// far behind that means that the server's clock was set back.
func (c *clock) learn(mtime int64, begun time.Time) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && mtime <= c.shown(now) && mtime > c.shown(begun)-60 {
		return
	}
	c.known, c.sec, c.at = true, mtime, now
}

// shown is what the clock shows at a moment here. The caller holds mu.
func (c *clock) shown(now time.Time) int64 {
	return c.sec + int64(now.Sub(c.at)/time.Second)
}

// settled reports whether a file of that mtime cannot change any more without
// getting another one. Our own clock says nothing of that: known is false as long as
// the server's is not.
func (c *clock) settled(mtime int64) (over, known bool) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known && mtime <= c.shown(now)-racy, c.known
}

// stamp is the time for files touched now: the server's where the clocks differ
// by more than they may, so that touched and written files compare well.
func (c *clock) stamp() int64 {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return now.Unix()
	}
	sec := c.shown(now)
	if off := sec - now.Unix(); off < -racy || off > racy {
		return sec
	}
	return now.Unix()
}
