package pool

import (
	"sync"
	"time"
)

// serverClock is what is known of the server's clock. The protocol has no way
// to ask for the time; files that we made or wrote tell it in their mtime.
type serverClock struct {
	mu     sync.Mutex
	known  bool          // guarded by mu
	offset time.Duration // guarded by mu; server minus local, as it seems
	least  time.Duration // guarded by mu; and at least
}

// slack covers whole-second times and the time a request is under way.
const slack = 2 * time.Second

// learn takes the mtime that a file got from a request sent and answered then.
func (c *serverClock) learn(mtime int64, sent, answered time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered.Sub(sent) > slack {
		return
	}
	offset := time.Unix(mtime, 0).Sub(sent.Round(0))
	// The time of a file on the server is cut to a whole second.
	least := time.Unix(mtime, 0).Sub(answered.Round(0))
	if !c.known || c.offset-offset > time.Second {
		c.known, c.offset, c.least = true, offset, least
	}
	c.offset, c.least = max(c.offset, offset), max(c.least, least)
}

// now is the server's time, as far as it is known.
func (c *serverClock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset).Unix()
}

// passed is a time that has passed there, and not long ago when the clock is known.
func (c *serverClock) passed() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.least).Unix()
}

func (c *serverClock) isKnown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// before reports whether mtime is certainly before the local time t.
func (c *serverClock) before(mtime int64, t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known && time.Unix(mtime, 0).Before(t.Round(0).Add(c.offset-slack))
}

// after reports whether mtime is certainly after the local time t.
func (c *serverClock) after(mtime int64, t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known && time.Unix(mtime, 0).After(t.Round(0).Add(c.offset+slack))
}
