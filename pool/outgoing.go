package pool

import "time"

// outgoing is the data of a file that the server has not acknowledged. All of
// it is guarded by file.mu.
type outgoing struct {
	current  *chunk        // being gathered, not sent
	first    *chunk        // sent or to be sent, in the order written
	last     *chunk        //
	held     int64         // bytes in all of these
	seq      uint64        // of the last chunk pushed, or other change of the size begun
	times    Change        // to be set with the next flush
	err      error         // of an earlier write, to be returned once
	end      int64         // size of the file with all that was written
	least    int64         // bounds of the size that the server may have by now
	most     int64         //
	lastSent time.Time     // when a change of data last left; zero when none ever did
	lateTill time.Time     // until when data of a lost connection may yet be written
	asked    *int64        // the mtime last asked for
	mending  bool          // a goroutine sends again what a cut left unanswered
	waiting  int           // goroutines that wait for changed
	changed  chan struct{} // closed and replaced when something was acknowledged
	timer    *time.Timer   // sends what has been gathered
}

// A chunk is a piece of written data, at most one packet.
type chunk struct {
	f          *file
	off        int64
	buf        []byte
	h          *handle // under way there; nil when it has to be sent
	failed     error   // what the server said of it
	seq        uint64  // order of writing
	prev, next *chunk
	done       func(error) // completed, bound once
}

func (c *chunk) end() int64 { return c.off + int64(len(c.buf)) }

// dirty reports whether data or times have to go to the server.
func (o *outgoing) dirty() bool { return o.held > 0 || o.times.Fields != 0 }

// sized notes the size that the server has, and nothing under way can change.
func (o *outgoing) sized(size int64) { o.end, o.least, o.most = size, size, size }

// overlaps reports whether data not acknowledged lies in [off, end).
func (o *outgoing) overlaps(off, end int64) bool {
	for c := o.first; c != nil; c = c.next {
		if c.off < end && off < c.end() {
			return true
		}
	}
	return false
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

// unsentBytes is how much is not under way.
func (o *outgoing) unsentBytes() int64 {
	n := int64(0)
	if o.current != nil {
		n = int64(len(o.current.buf))
	}
	for c := o.first; c != nil; c = c.next {
		if c.h == nil {
			n += int64(len(c.buf))
		}
	}
	return n
}

// drop forgets what is not under way, because of err. The rest completes by
// itself.
func (o *outgoing) drop(f *file, err error) {
	if o.unsentBytes() > 0 && o.err == nil {
		o.err = err
	}
	if c := o.current; c != nil {
		o.current = nil
		f.free(c)
	}
	for c := o.first; c != nil; {
		next := c.next
		if c.h == nil {
			o.remove(c)
			f.free(c)
		}
		c = next
	}
	o.times = Change{}
	o.wake()
}

// newChunk is what a Pool makes chunks with.
func newChunk() any {
	c := new(chunk)
	c.done = c.completed
	return c
}

// free gives a chunk back; mu is held.
func (f *file) free(c *chunk) {
	n := int64(len(c.buf))
	f.out.held -= n
	f.p.writeHeld.Add(-n)
	giveBuffer(c.buf)
	c.f, c.buf, c.h, c.failed = nil, nil, nil, nil
	f.p.chunks.Put(c)
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
		c.buf = growBuffer(c.buf, need)
	}
	copy(c.buf[at:], p[:n])
	return n, grown
}
