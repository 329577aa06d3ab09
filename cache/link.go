package cache

import "time"

// A link is what was seen of the way to the server, in the last ten to twenty
// seconds. Guarded by opened.mu.
type link struct {
	rtt    extreme // least time of a question and its answer, ns
	packet extreme // least time of a fetch of a packet
	rate   extreme // most bytes a second, negative
}

// An extreme is the least value seen lately.
type extreme struct {
	current, before int64
	since           instant
}

const extremeLife = instant(10 * time.Second)

func (x *extreme) see(v int64, now instant) {
	if x.since == 0 || now-x.since > extremeLife {
		x.before = x.current
		if now-x.since > 2*extremeLife {
			x.before = 0
		}
		x.current, x.since = v, now
	}
	x.current = min(x.current, v)
}

// least is the value, or 0 when nothing was seen.
func (x *extreme) least() int64 { return min(x.current, x.before) }

func (x *extreme) positive() int64 {
	if x.before == 0 {
		return x.current
	}
	return x.least()
}

// answeredIn notes how long the answer to a small question took.
func (c *Cache) answeredIn(begun instant, err error) {
	if err != nil {
		return // perhaps it was not even sent
	}
	now := c.tree.clock()
	c.files.mu.Lock()
	defer c.files.mu.Unlock()
	c.link.rtt.see(int64(now-begun), now)
}

// patience is how long to wait for something that was asked for ahead, and so stays
// behind other requests, before asking for oneself.
func (c *Cache) patience() time.Duration {
	c.files.mu.Lock()
	defer c.files.mu.Unlock()
	if rtt := c.link.rtt.positive(); rtt > 0 {
		return 10*time.Millisecond + 4*time.Duration(rtt)
	}
	return 100 * time.Millisecond
}

// fetched notes that n bytes took so long.
func (k *link) fetched(n int, took, now instant) {
	k.rtt.see(int64(took), now)
	if n == packet {
		k.packet.see(int64(took), now)
	}
	if rtt := instant(k.rtt.positive()); n >= 64<<10 && took > rtt {
		k.rate.see(-int64(float64(n)/(took-rtt).seconds()), now)
	}
}

func (i instant) seconds() float64 { return time.Duration(i).Seconds() }

// block is how many bytes cost hardly more than one: what arrives in half of a
// round trip, in a power of two. A file that has been worth being here as a whole
// for so many blocks is read in pieces when they arrive in two round trips, and
// else in blocks that grow: what is spent on what may not be asked for stays
// comparable to what was spent already.
func (k *link) block(whole int) int64 {
	rtt := k.rtt.positive()
	if rtt == 0 {
		return 64 << 10 // nothing is known yet
	}
	if whole > 0 && int64(2*instant(rtt).seconds()*k.fastest()) >= pieceSize {
		return pieceSize
	}
	rate := max(-k.rate.least(), 20<<20)
	worth := int64(instant(rtt).seconds() / 2 * float64(rate))
	block := int64(16 << 10)
	for block < worth && block < 256<<10 {
		block *= 2
	}
	for ; whole >= persistent && block < pieceSize; whole -= persistent {
		block = min(2*block, pieceSize)
	}
	return block
}

// fastest is the highest rate seen, in bytes a second.
func (k *link) fastest() float64 { return float64(-k.rate.least()) }

// window is how far to read ahead of a reader that consumes rate bytes a second,
// in pieces of so many bytes: twice what is under way at that rate. A window that is
// too small bounds the rate, and so doubles; one that is large enough stays. Larger
// fetches than a packet tell nothing here: they wait for each other, the longer the
// larger the window is.
func (k *link) window(rate float64, piece int64) int64 {
	return int64(2*rate*instant(k.packet.positive()).seconds()) + 2*piece
}
