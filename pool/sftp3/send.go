package sftp3

import (
	"io"
	"runtime"
)

const (
	// joined is how much of waiting packets goes into one write on the channel:
	// what one SSH packet holds.
	joined = 32 << 10

	// small is the payload of a WRITE up to which copying it costs less than a
	// write on the channel of its own, which on SSH is a packet to encrypt and a
	// system call.
	small = 16 << 10
)

// writeAll is the writer: it sends what is queued until the session ends, or
// gives the error of the channel.
func (c *Client) writeAll() error {
	out := appendInit(make([]byte, 0, joined))
	var large *request
	for {
		if err := c.send(out, large); err != nil {
			return err
		}
		if out, large = c.gather(out[:0]); len(out) == 0 {
			return c.Err()
		}
	}
}

func appendInit(b []byte) []byte {
	b = append(b, 0, 0, 0, 5, TypeInit)
	return appendUint32(b, protocolVersion)
}

// send writes the packets in out, and the payload that follows the last of them.
func (c *Client) send(out []byte, large *request) error {
	err := c.put(out)
	if large != nil {
		if err == nil {
			err = c.put(large.payload)
		}
		c.release(large)
	}
	return err
}

// put is a write on the channel, held against one that does not keep io.Writer's
// contract.
func (c *Client) put(b []byte) error {
	n, err := c.ch.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// gather waits for something to send and appends to out as many queued packets
// as fit; nothing means that the session has ended. When the last of them is a
// WRITE with a large payload, that is left to the caller.
func (c *Client) gather(out []byte) (_ []byte, large *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.table.unsent == nil && c.err == nil {
		c.work.Wait()
		c.mu.Unlock()
		runtime.Gosched() // who is about to ask for something gets into the same packet
		c.mu.Lock()
	}
	for r := c.table.unsent; r != nil && c.err == nil; r = c.table.unsent {
		isLarge := len(r.payload) > small
		size := len(r.packet)
		if !isLarge {
			size += len(r.payload)
		}
		if len(out) > 0 && len(out)+size > joined {
			break
		}
		c.table.unsent = r.newer
		c.stats.sent(r)
		out = append(out, r.packet...)
		if isLarge {
			r.state = stateWriting
			return out, r
		}
		out = append(out, r.payload...)
		r.state = stateSent
	}
	return out, nil
}

// release marks that the channel has let go of a payload, and completes the
// request if its answer, or the end of the session, came first: from here on
// its owner may change the buffer.
func (c *Client) release(r *request) {
	c.mu.Lock()
	r.state = stateSent
	if !r.answered {
		c.mu.Unlock()
		return
	}
	err := r.answerErr
	owner := c.retire(r)
	c.mu.Unlock()
	owner.tell(0, err)
}
