package sftp3

// StartRead asks for len(p) bytes at off in one packet, for Limits.MaxRead at
// most: what is above that is not asked for, and the answer is short. The data
// goes into p, which belongs to the session until done is called, once: n bytes are
// in p. n is short also in the middle of a file; only io.EOF says that the file
// ends. A function that is kept and used again costs no allocation.
func (c *Client) StartRead(h Handle, p []byte, off int64, done func(n int, err error)) {
	p = p[:min(len(p), c.limits.MaxRead)]
	c.mu.Lock()
	r := c.recycled()
	r.kind, r.into, r.read = TypeRead, p, done
	b := appendString(beginPacket(r.packet, TypeRead), h)
	r.packet = endPacket(appendUint32(appendUint64(b, uint64(off)), uint32(len(p))), 0)
	err := c.submit(r)
	c.mu.Unlock()
	if err != nil {
		go done(0, err) // never from here: the caller may hold a lock
	}
}

// StartWrite writes p at off in one packet. p must not change until done is called,
// once, and is not referenced after that: all of it was executed, or err says why
// not. Above Limits.MaxWrite that is ErrTooLong. A function that is kept and used
// again costs no allocation.
func (c *Client) StartWrite(h Handle, p []byte, off int64, done func(err error)) {
	if len(p) > c.limits.MaxWrite {
		go done(ErrTooLong)
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
		go done(err) // never from here: the caller may hold a lock
	}
}
