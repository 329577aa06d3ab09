package sftp3

import (
	"encoding/binary"
	"time"
)

// A request is a packet on its way, and who is told of its answer. Calls embed
// one; those of READ and WRITE are used again.
type request struct {
	id      uint32
	kind    uint8
	ext     string   // name of an EXTENDED request
	state   state    // guarded by Client.mu
	packet  []byte   // encoded, without the payload
	payload []byte   // data of a WRITE, the caller's
	into    []byte   // where the data of a READ goes, the caller's
	next    *request // in the list of those to use again

	issued       time.Time // guarded by Client.mu, like the neighbours in the order of issue
	older, newer *request

	// The answer came while the payload was still being written; the writer
	// completes the request then. Guarded by Client.mu.
	answered  bool
	answerErr error

	owner
}

// An owner is told of the end of its request; one of the three is set.
type owner struct {
	call  *Call
	read  func(n int, err error)
	write func(err error)
}

// state says where a request is.
type state uint8

const (
	stateQueued  state = iota // nothing has left
	stateWriting              // the channel holds the payload
	stateSent                 // nothing of the caller's is referenced for sending
)

// A table finds requests by id. Ids count up and lie in a ring; an id whose
// place is taken by a request that has been waiting since the last time round is
// left out. Unlike a map it does not allocate once it has its size.
type table struct {
	slots []*request // length a power of two, at most half full
	held  int
	next  uint32

	oldest, newest *request
	unsent         *request // the oldest that is stateQueued: so are all that are newer
}

func (t *table) add(r *request) {
	if 2*(t.held+1) > len(t.slots) {
		t.grow()
	}
	for *t.slot(t.next) != nil {
		t.next++
	}
	r.id = t.next
	*t.slot(r.id) = r
	t.next++
	t.held++
	if r.older, r.newer = t.newest, nil; r.older != nil {
		r.older.newer = r
	} else {
		t.oldest = r
	}
	t.newest = r
	if t.unsent == nil {
		t.unsent = r
	}
}

func (t *table) slot(id uint32) **request {
	return &t.slots[id&uint32(len(t.slots)-1)]
}

func (t *table) get(id uint32) *request {
	if len(t.slots) == 0 {
		return nil
	}
	if r := *t.slot(id); r != nil && r.id == id {
		return r
	}
	return nil
}

// remove takes out a request that was sent.
func (t *table) remove(r *request) {
	*t.slot(r.id) = nil
	t.held--
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		t.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		t.newest = r.older
	}
	r.older, r.newer = nil, nil
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]*request, max(16, 2*len(old)))
	for _, r := range old {
		if r != nil {
			*t.slot(r.id) = r
		}
	}
}

// submit gives a request its id and queues it, or says why not: then the session
// has ended, and nobody else knows of the request. Called with mu held.
func (c *Client) submit(r *request) error {
	if c.err != nil {
		return c.errUnsent
	}
	r.state, r.issued = stateQueued, time.Now()
	c.table.add(r)
	binary.BigEndian.PutUint32(r.packet[idOffset:], r.id)
	c.unanswered++
	c.work.Signal()
	return nil
}

// finish completes a request that has left the table, unless the writer still
// has its payload. Nothing may be held.
func (c *Client) finish(r *request, n int, err error) {
	c.mu.Lock()
	c.unanswered--
	c.answered++
	if r.state == stateWriting {
		r.answered, r.answerErr = true, err
		c.mu.Unlock()
		return
	}
	owner := c.retire(r)
	c.mu.Unlock()
	owner.tell(n, err)
}

// retire gives the owner of a request that is over. A READ or WRITE is free from
// then on, so that the owner can have it for its next one. Called with mu held.
func (c *Client) retire(r *request) owner {
	o := r.owner
	if o.call == nil {
		*r = request{packet: r.packet[:0], next: c.free}
		c.free = r
	}
	return o
}

// recycled is a request to use. Called with mu held.
func (c *Client) recycled() *request {
	r := c.free
	if r == nil {
		return &request{packet: make([]byte, 0, 64)}
	}
	c.free, r.next = r.next, nil
	return r
}

// tell is called once for each request, with nothing held.
func (o owner) tell(n int, err error) {
	switch {
	case o.call != nil:
		o.call.complete(err)
	case o.read != nil:
		o.read(n, err)
	default:
		o.write(err)
	}
}
