package pool

import (
	"context"
	"sync/atomic"
	"time"
)

// A depth bounds how much data is under way in one direction, over all sessions, by how
// long answers take: what is asked for, or sent, on a slow link is in front of
// everything else that comes, and cannot be taken back. Each file may have one packet
// under way whatever there is of others'.
type depth struct {
	flying  atomic.Int64 // bytes
	most    atomic.Int64
	probing atomic.Bool
}

const (
	leastDepth  = 64 << 10
	firstDepth  = 512 << 10
	mostDepth   = maxStripes * readFlight
	narrowDepth = 256 << 10 // that much is shared out in small pieces

	atOnce       = 10 * time.Millisecond
	promptAnswer = 250 * time.Millisecond
	lateAnswer   = 500 * time.Millisecond

	// fastLink is what nobody's link carries more than, in bytes a second.
	fastLink = 1 << 30
)

func (d *depth) init() { d.most.Store(firstDepth) }

func (d *depth) hasRoom() bool { return d.flying.Load() < d.most.Load() }

// pieces reports whether little is to be asked for at a time.
func (d *depth) pieces() bool { return d.most.Load() <= narrowDepth || !d.hasRoom() }

// took notes how long the answer about n bytes took that left at that time. There will
// be more under way only where more waits to be, and would be of use: four times as much
// after a round trip that little was under way in, else twice.
func (d *depth) took(c *conn, n int, left time.Time, waits bool) {
	took, most, rtt := time.Since(left), d.most.Load(), time.Duration(c.rtt.Load())
	if rtt > 0 && took < rtt+atOnce {
		n *= 3
	}
	switch {
	case took >= max(promptAnswer, 2*rtt):
		if d.probing.CompareAndSwap(false, true) {
			c.pool.spawn(func() { d.probe(c, waits) }, nil)
		}
	case waits && most < int64(took.Seconds()*fastLink):
		d.most.Store(min(most+int64(n), mostDepth))
	}
}

// probe finds out whether it is the link that is slow, or the server: the other end of
// the connection answers at once unless much is on the way. A slow server is none the
// faster for having less to do.
func (d *depth) probe(c *conn, waits bool) {
	defer d.probing.Store(false)
	ctx, cancel := context.WithTimeout(c.pool.life, c.pool.cfg.Timeout)
	defer cancel()
	began, rtt := time.Now(), time.Duration(c.rtt.Load())
	if err := c.conn.Ping(ctx); err != nil && !isEnd(err) {
		return
	}
	took, most := time.Since(began), d.most.Load()
	switch {
	case took > max(lateAnswer, 4*rtt):
		d.most.Store(max(most/2, leastDepth))
	case took < max(promptAnswer, 2*rtt) && waits:
		d.most.Store(min(2*most, mostDepth))
	}
}
