package pool

import (
	"slices"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// outgoing is the data of an object that the server has not acknowledged, as one
// list in the order in which it was written. All of it is guarded by object.mu.
//
// A chunk is sent when no earlier unanswered one overlaps it, or when that one is
// on the same session of a server that keeps order. That is the only rule of order:
// it holds for what is sent for the first time and for what is sent again. A barrier
// is an entry of that list without data.
type outgoing struct {
	current  *chunk        // being gathered, not in the list
	first    *chunk        // sent or to be sent, in the order written
	last     *chunk        //
	held     int64         // bytes in all of these
	count    int           // chunks in all of these
	suspects int           // of them, those under which sessions have ended
	seq      uint64        // of the last chunk pushed, or other change of the size begun
	times    remote.Change // asked for, to be set with the next flush
	told     int64         // the mtime that was told of what is under way, to be set likewise; 0 when none was
	end      int64         // size of the file with all that was written
	endKnown bool          // the server told where it ends, and that was not flushed since...
	endAt    time.Time     // ...when that was, or data up to it was last acknowledged
	least    int64         // bounds of the size that the server may have by now
	most     int64         //
	lastSent time.Time     // when a change of data last left; zero when none ever did
	stirred  time.Time     // when data last left, or was acknowledged: an answer to an earlier question may not tell of it
	lateTill time.Time     // until when data of a lost connection may yet be written
	late     []late        // where that may be
	asked    *int64        // the mtime last asked for
	waiting  int           // goroutines that wait for changed
	changed  chan struct{} // closed and replaced when something was acknowledged
	gather   *time.Timer   // sends what has been gathered
	lift     *time.Timer   // sends what waited for late data
	settle   *time.Timer   // sets the times
	explains bool          // a goroutine finds out why the server refused data
}

// A late is a stretch of a chunk that was unanswered when its connection was lost:
// the server may still write it, for a while.
type late struct {
	off, end int64
	seq      uint64
	till     time.Time
	named    bool // it goes by a path, to whatever has that by then
}

// mostChunks bounds how many pieces of a file are kept: each takes 4 KiB at least,
// however short it is.
const mostChunks = 1024

// A chunk is a piece of written data, at most one packet, or a barrier.
type chunk struct {
	f          *file // nil for a barrier
	off        int64
	till       int64 // where a barrier ends
	buf        []byte
	taken      int64   // its memory, as it was counted last
	h          *handle // under way there; nil when it has to be sent
	left       time.Time
	failed     error  // what the server said of it
	killed     int    // sessions that ended under it while their connection went on
	seq        uint64 // order of writing
	prev, next *chunk
	done       func(error) // completed, bound once
}

func (c *chunk) end() int64 {
	if c.f == nil {
		return c.till
	}
	return c.off + int64(len(c.buf))
}

// meets reports whether a chunk lies over [off, end).
func (c *chunk) meets(off, end int64) bool { return c.off < end && off < c.end() }

// dirty reports whether data or times have to go to the server.
func (o *outgoing) dirty() bool { return o.held > 0 || o.times.Fields != 0 }

// waits reports whether a flush would change anything there.
func (o *outgoing) waits() bool { return o.dirty() || o.told != 0 }

// sized notes the size that the server has, and nothing under way can change.
func (o *outgoing) sized(size int64) { o.end, o.least, o.most = size, size, size }

// cutShort is sized for a file of which data is under way, or waits.
func (o *outgoing) cutShort(size int64) {
	o.end = size
	for c := o.first; c != nil; c = c.next {
		if c.f != nil {
			o.end = max(o.end, c.end())
		}
	}
	if o.current != nil {
		o.end = max(o.end, o.current.end())
	}
	o.least, o.most = size, o.end
}

// changes makes void what was to be the mtime.
func (o *outgoing) changes() { o.times.Fields, o.told = o.times.Fields&^remote.SetMtime, 0 }

// leaves notes that a change of data is sent.
func (o *outgoing) leaves() {
	now := time.Now()
	o.lastSent, o.stirred = now, now
}

func (o *outgoing) push(c *chunk) {
	o.seq++
	c.seq = o.seq
	c.prev, c.next = o.last, nil
	if o.last != nil {
		o.last.next = c
	} else {
		o.first = c
	}
	o.last = c
}

// insert puts a chunk behind another.
func (o *outgoing) insert(c, behind *chunk) {
	c.prev, c.next = behind, behind.next
	if c.next != nil {
		c.next.prev = c
	} else {
		o.last = c
	}
	behind.next = c
}

func (o *outgoing) remove(c *chunk) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		o.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		o.last = c.prev
	}
	c.prev, c.next = nil, nil
}

func (o *outgoing) wake() {
	if o.waiting > 0 {
		close(o.changed)
		o.changed = make(chan struct{})
	}
}

// unsent is the first chunk up to seq that is not under way.
func (o *outgoing) unsent(seq uint64) *chunk {
	for c := o.first; c != nil && c.seq <= seq; c = c.next {
		if c.h == nil && c.f != nil {
			return c
		}
	}
	return nil
}

// isLate reports whether a lost connection may still write something else over the
// chunk.
func (o *outgoing) isLate(c *chunk) bool {
	now := time.Now()
	return slices.ContainsFunc(o.late, func(l late) bool {
		return l.till.After(now) && l.seq != c.seq && c.meets(l.off, l.end)
	})
}

// spared is how much of a file that reaches to end a truncation under way leaves.
func (o *outgoing) spared(end int64) int64 {
	for c := o.first; c != nil; c = c.next {
		if c.f == nil && c.till == endless {
			end = min(end, c.off)
		}
	}
	return end
}

// newest is until when a change of ours may have been made; zero when none was.
func (o *outgoing) newest() time.Time {
	if o.lateTill.After(o.lastSent) {
		return o.lateTill
	}
	return o.lastSent
}

// endTrusted is how long the end that came with an OPEN is taken for the end, at most:
// a program that opens a file to append a line does so at once. One that waits may wait
// for its turn.
const endTrusted = 2 * time.Millisecond

// knowsEnd reports whether the file still ends where it is noted to: for as long as
// a question would take, in which others may append anyway. The time that one took on a
// busy machine says little of that.
func (o *outgoing) knowsEnd(rtt time.Duration) bool {
	return o.endKnown && (o.holdsEnd() || time.Since(o.endAt) < min(rtt, endTrusted))
}

// holdsEnd reports whether the end is that of data that is not acknowledged.
func (o *outgoing) holdsEnd() bool {
	if o.current != nil && o.current.end() == o.end {
		return true
	}
	for c := o.last; c != nil; c = c.prev {
		if c.f != nil && c.end() == o.end {
			return true
		}
	}
	return false
}

// learnedEnd notes that end is what the server told just now.
func (o *outgoing) learnedEnd() { o.endKnown, o.endAt = true, time.Now() }

// newChunk is what a Pool makes chunks with.
func newChunk() any {
	c := new(chunk)
	c.done = c.completed
	return c
}

// takes reports whether data at off goes into the chunk: behind its end or over
// what it holds.
func (c *chunk) takes(off int64, packet int) bool {
	return off >= c.off && off <= c.end() && off < c.off+int64(packet)
}

// add copies data in and tells how much of it, and by how much the chunk grew.
func (c *chunk) add(p []byte, off int64, packet int) (n, grown int) {
	at := int(off - c.off)
	n = min(len(p), packet-at)
	if need := at + n; need > len(c.buf) {
		grown = need - len(c.buf)
		c.buf = growBuffer(c.buf, need, packet)
	}
	copy(c.buf[at:], p[:n])
	return n, grown
}

// counts notes the memory that a chunk takes, when that has changed.
func (p *Pool) counts(c *chunk) {
	now := int64(cap(c.buf))
	p.writeTaken.Add(now - c.taken)
	c.taken = now
}

// free gives a chunk back; mu is held.
func (o *object) free(c *chunk) {
	n := int64(len(c.buf))
	o.out.held -= n
	o.out.count--
	if c.killed > 0 {
		o.out.suspects--
	}
	c.f.held -= n
	o.p.writeHeld.Add(-n)
	giveBuffer(c.buf)
	c.f, c.buf, c.h, c.failed, c.killed = nil, nil, nil, nil, 0
	o.p.counts(c)
	o.p.chunks.Put(c)
}

// drop forgets what a File has written and is not under way, and gives how many
// bytes that was; the rest completes by itself. mu is held.
func (o *object) drop(f *file) (bytes int64) {
	if c := o.out.current; c != nil && c.f == f {
		o.out.current = nil
		bytes += int64(len(c.buf))
		o.free(c)
	}
	for c := o.out.first; c != nil; {
		next := c.next
		if c.f == f && c.h == nil {
			bytes += int64(len(c.buf))
			o.out.remove(c)
			o.free(c)
		}
		c = next
	}
	o.pump()
	o.out.wake()
	return bytes
}
