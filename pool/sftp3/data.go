package sftp3

// ReadDone is told once of the end of a READ: n bytes are in the buffer. n is
// short also in the middle of a file; only io.EOF says that the file ends.
type ReadDone interface{ ReadDone(n int, err error) }

// WriteDone is told once of the end of a WRITE: all of it was executed, or err
// says why not.
type WriteDone interface{ WriteDone(err error) }

type readFunc func(n int, err error)

func (f readFunc) ReadDone(n int, err error) { f(n, err) }

type writeFunc func(err error)

func (f writeFunc) WriteDone(err error) { f(err) }

// StartRead is StartReadTo with a function. One that is kept and used again
// costs no allocation.
func (c *Client) StartRead(h Handle, p []byte, off int64, done func(n int, err error)) {
	c.StartReadTo(h, p, off, readFunc(done))
}

// StartReadTo asks for len(p) bytes at off in one packet, for Limits.MaxRead at
// most: what is above that is not asked for, and the answer is short. The data
// goes into p, which belongs to the session until done is told.
func (c *Client) StartReadTo(h Handle, p []byte, off int64, done ReadDone) {
	p = p[:min(len(p), c.limits.MaxRead)]
	c.mu.Lock()
	r := c.recycled()
	r.kind, r.into, r.read = TypeRead, p, done
	b := appendString(beginPacket(r.packet, TypeRead), h)
	r.packet = endPacket(appendUint32(appendUint64(b, uint64(off)), uint32(len(p))), 0)
	err := c.submit(r)
	c.mu.Unlock()
	if err != nil {
		go done.ReadDone(0, err) // never from here: the caller may hold a lock
	}
}

// StartWrite is StartWriteFrom with a function. One that is kept and used again
// costs no allocation.
func (c *Client) StartWrite(h Handle, p []byte, off int64, done func(err error)) {
	c.StartWriteFrom(h, p, off, writeFunc(done))
}

// StartWriteFrom writes p at off in one packet. p must not change until done is
// told, and is not referenced after that. Above Limits.MaxWrite the error is
// ErrTooLong.
func (c *Client) StartWriteFrom(h Handle, p []byte, off int64, done WriteDone) {
	if len(p) > c.limits.MaxWrite {
		go done.WriteDone(ErrTooLong)
		return
	}
	c.mu.Lock()
	r := c.recycled()
	r.kind, r.payload, r.write = TypeWrite, p, done
	b := appendUint64(appendString(beginPacket(r.packet, TypeWrite), h), uint64(off))
	r.packet = endPacket(appendUint32(b, uint32(len(p))), len(p))
	err := c.submit(r)
	c.mu.Unlock()
	if err != nil {
		go done.WriteDone(err) // never from here: the caller may hold a lock
	}
}
