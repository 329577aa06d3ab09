package pool

import (
	"sync/atomic"
	"time"
)

// A depth bounds how much is asked for ahead, over all sessions, by how long answers
// take: what is asked for on a slow link is in front of everything else that comes,
// and cannot be taken back.
type depth struct {
	asked   atomic.Int64 // bytes of READs under way
	most    atomic.Int64
	reduced atomic.Int64 // when it last was, in Unix nanoseconds
}

const (
	leastDepth  = 64 << 10
	firstDepth  = 512 << 10
	mostDepth   = maxStripes * readFlight
	narrowDepth = 256 << 10 // that much is shared out in small pieces

	promptAnswer = 250 * time.Millisecond
	lateAnswer   = time.Second

	// fastLink is what nobody's link carries more than, in bytes a second.
	fastLink = 1 << 30
)

func (d *depth) init() { d.most.Store(firstDepth) }

func (d *depth) hasRoom() bool { return d.asked.Load() < d.most.Load() }

// pieces reports whether little is to be asked for at a time.
func (d *depth) pieces() bool { return d.most.Load() <= narrowDepth || !d.hasRoom() }

// took notes how long an answer of n bytes took that was asked for at that time, over
// a link of such a round trip. More is asked for only where more waits to be, and
// would be of use.
func (d *depth) took(n int, asked time.Time, rtt time.Duration, waits bool) {
	took, most := time.Since(asked), d.most.Load()
	switch {
	case took > max(lateAnswer, 4*rtt):
		// Once for all that was asked for before.
		if last := d.reduced.Load(); asked.UnixNano() > last && d.reduced.CompareAndSwap(last, time.Now().UnixNano()) {
			d.most.Store(max(most/2, leastDepth))
		}
	case waits && took < max(promptAnswer, 2*rtt) && most < int64(took.Seconds()*fastLink):
		d.most.Store(min(most+int64(n), mostDepth))
	}
}
