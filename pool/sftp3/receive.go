package sftp3

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// readBuffer is for headers and short answers. Data beyond it goes from the
// channel into the caller's buffer, so it is small on purpose.
const readBuffer = 4 << 10

// readAll is the reader: it takes answers until the channel ends or the server
// breaks the protocol, and gives the reason.
func (c *Client) readAll() error {
	if err := c.readVersion(); err != nil {
		return err
	}
	close(c.greeted)
	for {
		c.arrived.taken.Store(c.arrived.read - int64(c.in.Buffered()))
		if err := c.readAnswer(); err != nil {
			return err
		}
	}
}

// arrivals is what comes from the channel: how much, when last, and how much of it
// were whole packets.
type arrivals struct {
	ch    io.Reader
	read  int64        // owned by the reader goroutine
	total atomic.Int64 // read, for others
	taken atomic.Int64 // bytes of whole packets
	start time.Time
	last  atomic.Int64 // when, in nanoseconds since start
}

func (a *arrivals) Read(p []byte) (int, error) {
	n, err := a.ch.Read(p)
	if n > 0 {
		a.read += int64(n)
		a.total.Store(a.read)
		a.last.Store(int64(time.Since(a.start)))
	}
	return n, err
}

// Partial reports whether the server has sent a part of a packet, and when the last
// byte of that came.
func (c *Client) Partial() (last time.Time, partial bool) {
	taken := c.arrived.taken.Load()
	if c.arrived.total.Load() == taken {
		return time.Time{}, false
	}
	return c.arrived.start.Add(time.Duration(c.arrived.last.Load())), true
}

func (c *Client) readVersion() error {
	head, err := c.in.Peek(headerSize)
	if err != nil {
		if text := c.shellOutput(head); text != "" {
			return violation("the server printed %q where SFTP should begin", text)
		}
		return err
	}
	length, kind, version := splitHeader(head)
	if length < 5 || length > maxPacket {
		if text := c.shellOutput(head); text != "" {
			return violation("the server printed %q where SFTP should begin", text)
		}
		return violation("first packet of %d bytes", length)
	}
	if kind != TypeVersion || version != protocolVersion {
		return violation("packet of type %d, version %d where VERSION 3 was expected", kind, version)
	}
	c.skip(headerSize)
	body, err := c.body(int(length) - 5)
	if err != nil {
		return err
	}
	extensions, ok := parseExtensions(body)
	if !ok {
		return violation("malformed VERSION")
	}
	c.extensions = extensions
	return nil
}

// shellOutput is what came instead of a packet, or before one, when that begins as
// text: the usual sign of a start file that prints, or of a login message instead of a
// server.
func (c *Client) shellOutput(head []byte) string {
	if len(head) == 0 || head[0] < ' ' && (head[0] < '\t' || head[0] > '\r') || head[0] > '~' {
		return "" // no packet is so long that its first byte is a letter
	}
	all, _ := c.in.Peek(min(c.in.Buffered(), 80)) // no more than is buffered: no error
	return printable(all)
}

func splitHeader(b []byte) (length uint32, kind uint8, id uint32) {
	return binary.BigEndian.Uint32(b), b[lengthSize], binary.BigEndian.Uint32(b[idOffset:])
}

// readAnswer takes one packet and completes its request.
func (c *Client) readAnswer() error {
	head, err := c.in.Peek(headerSize)
	if err != nil {
		return err
	}
	length, kind, id := splitHeader(head)
	if length < 5 || length > maxPacket {
		return violation("packet of %d bytes", length)
	}
	c.skip(headerSize)
	r, err := c.claim(id, kind)
	if r == nil {
		return err
	}
	var n int
	var answer error
	if err == nil {
		n, answer, err = c.readBody(r, kind, int(length)-5)
	}
	if err != nil {
		// Claimed, it is in no table that end would find it in.
		c.end(err)
		c.finish(r, 0, c.itsOwn(err))
		return err
	}
	c.finish(r, n, answer)
	return nil
}

// itsOwn is the error of the request whose answer ended the session.
func (c *Client) itsOwn(err error) error {
	if errors.Is(err, ErrProtocol) {
		return fmt.Errorf("%w: %w", ErrMalformed, c.Err())
	}
	return c.Err()
}

// claim takes the request that an answer is for out of the table; only the reader
// knows of it then. It comes with an error when it is the wrong answer.
func (c *Client) claim(id uint32, kind uint8) (*request, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.table.get(id)
	switch {
	case r == nil:
		return nil, violation("answer to request %d, which is not outstanding", id)
	case r.state == stateQueued:
		return nil, violation("answer to request %d before it was sent", id)
	case c.InOrder && r != c.table.oldest && (kind == TypeStatus || kind == r.wants()):
		return nil, ErrOvertaken
	}
	c.table.remove(r)
	c.stats.Answers++
	if kind != TypeStatus && kind != r.wants() {
		return r, violation("answer of type %d to a request of type %d", kind, r.kind)
	}
	return r, nil
}

// wants is the type of answer that carries the result, STATUS if there is none.
func (r *request) wants() uint8 {
	switch {
	case r.call != nil:
		return r.call.want.packet
	case r.read != nil:
		return TypeData
	}
	return TypeStatus
}

// readBody reads what follows the header. It gives the request's outcome, and
// apart from that an error that ends the session.
func (c *Client) readBody(r *request, kind uint8, size int) (n int, outcome, err error) {
	if kind == TypeData {
		n, err = c.readData(r.into, size)
		return n, nil, err
	}
	body, err := c.body(size)
	if err != nil {
		return 0, nil, err
	}
	if kind == TypeStatus {
		status, ok := parseStatus(body)
		if !ok {
			return 0, nil, violation("malformed STATUS")
		}
		return 0, r.outcome(status), nil
	}
	answer := cursor{b: body}
	r.call.result = r.call.want.parse(&answer)
	if answer.bad {
		return 0, nil, violation("malformed answer of type %d to a request of type %d", kind, r.kind)
	}
	return 0, nil, nil
}

// readData reads a DATA answer into p.
func (c *Client) readData(p []byte, size int) (int, error) {
	head, err := c.in.Peek(4)
	if err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(head))
	if n > int64(len(p)) || n > int64(size)-4 {
		return 0, violation("%d bytes of data in a packet of %d for a request of %d", n, size, len(p))
	}
	c.skip(4)
	if _, err := io.ReadFull(c.in, p[:n]); err != nil {
		return 0, err
	}
	_, err = c.in.Discard(size - 4 - int(n)) // later versions of the protocol add a flag
	return int(n), err
}

// outcome is what a STATUS means for a request.
func (r *request) outcome(s *StatusError) error {
	switch {
	case s == nil && r.wants() == TypeStatus:
		return nil
	case s == nil:
		return &StatusError{Code: StatusBadMessage, Message: "the server answered OK without a result"}
	case s.Code == StatusEOF && r.read != nil:
		return io.EOF
	}
	return s
}

// body reads n bytes, which are good until the next call.
func (c *Client) body(n int) ([]byte, error) {
	if n > cap(c.scratch) {
		c.scratch = make([]byte, n)
	}
	b := c.scratch[:n]
	_, err := io.ReadFull(c.in, b)
	return b, err
}

// skip passes over what Peek has shown, so it cannot fail.
func (c *Client) skip(n int) { _, _ = c.in.Discard(n) }
