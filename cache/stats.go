package cache

import "sync/atomic"

// Stats counts what the cache was good for since it was made.
type Stats struct {
	Hits   int64 // looks, listings and reads answered from memory
	Misses int64 // looks, listings and reads that waited for the server

	PrefetchUsed   int64 // things read ahead that were asked for later
	PrefetchWasted int64 // things read ahead that were dropped unused

	Entries int64 // names held
	Bytes   int64 // file data held
}

type counters struct {
	hits, misses, used, wasted atomic.Int64
}

// Stats gives the counts as they are now.
func (c *Cache) Stats() Stats {
	c.files.mu.Lock()
	held := c.mem.used
	c.files.mu.Unlock()
	return Stats{
		Hits:           c.stats.hits.Load(),
		Misses:         c.stats.misses.Load(),
		PrefetchUsed:   c.stats.used.Load(),
		PrefetchWasted: c.stats.wasted.Load(),
		Entries:        int64(c.tree.size()),
		Bytes:          held,
	}
}
