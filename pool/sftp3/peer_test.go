package sftp3

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A peer plays the server by hand. Its pipe holds nothing: the client's writer
// stands until the peer has read.
type peer struct {
	t    testing.TB
	conn net.Conn
}

// received is a packet from the client.
type received struct {
	kind uint8
	id   uint32
	body cursor
}

// startPeer is a session with a peer that advertises extensions, which are names
// and versions in turn.
func startPeer(t testing.TB, extensions ...string) (*Client, *peer) {
	t.Helper()
	here, there := net.Pipe()
	p := &peer{t: t, conn: there}
	ok(t, there.SetDeadline(time.Now().Add(timeout)))
	t.Cleanup(func() { _ = there.Close() })
	greeted := make(chan error, 1)
	go func() { greeted <- p.greet(extensions) }()
	c := newSession(t, here)
	ok(t, <-greeted)
	return c, p
}

func (p *peer) greet(extensions []string) error {
	init := make([]byte, 9)
	if _, err := io.ReadFull(p.conn, init); err != nil {
		return err
	}
	if init[4] != TypeInit || init[8] != 3 {
		return errors.New("the session does not begin with INIT 3")
	}
	var body []byte
	for _, s := range extensions {
		body = appendString(body, s)
	}
	_, err := p.conn.Write(rawPacket(TypeVersion, 3, body))
	return err
}

// rawPacket is a packet of a server.
func rawPacket(kind uint8, id uint32, body []byte) []byte {
	b := beginPacket(nil, kind)
	binary.BigEndian.PutUint32(b[idOffset:], id)
	return endPacket(append(b, body...), 0)
}

// next is the next packet of the client.
func (p *peer) next() received {
	p.t.Helper()
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(p.conn, head); err != nil {
		p.t.Fatalf("waiting for a packet: %v", err)
	}
	length, kind, id := splitHeader(head)
	body := make([]byte, length-5)
	if _, err := io.ReadFull(p.conn, body); err != nil {
		p.t.Fatalf("waiting for the rest of a packet: %v", err)
	}
	return received{kind: kind, id: id, body: cursor{b: body}}
}

// expect is the next packet, which must be of a kind.
func (p *peer) expect(kind uint8) received {
	p.t.Helper()
	r := p.next()
	if r.kind != kind {
		p.t.Fatalf("got a packet of type %d, want %d", r.kind, kind)
	}
	return r
}

func (p *peer) raw(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("answering: %v", err)
	}
}

func (p *peer) answer(kind uint8, id uint32, body []byte) {
	p.t.Helper()
	p.raw(rawPacket(kind, id, body))
}

func (p *peer) status(id uint32, code uint32) {
	p.t.Helper()
	p.answer(TypeStatus, id, statusBody(code, "message"))
}

func (p *peer) handle(id uint32, h string) {
	p.t.Helper()
	p.answer(TypeHandle, id, appendString(nil, h))
}

func (p *peer) names(id uint32, names ...string) {
	p.t.Helper()
	p.answer(TypeName, id, namesBody(names...))
}

func statusBody(code uint32, message string) []byte {
	return appendString(appendString(appendUint32(nil, code), message), "en")
}

func namesBody(names ...string) []byte {
	b := appendUint32(nil, uint32(len(names)))
	for _, name := range names {
		b = appendString(appendString(b, name), "long "+name)
		b = appendAttrs(b, Attrs{Flags: AttrSize, Size: 1})
	}
	return b
}

// wantLost checks that a session ended, for a reason or any if that is nil, that
// nothing is outstanding, and that nothing can be started any more.
func wantLost(t testing.TB, c *Client, reason error) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(timeout):
		t.Fatal("the session does not end")
	}
	if err := c.Err(); !errors.Is(err, ErrLost) || reason != nil && !errors.Is(err, reason) {
		t.Errorf("the session ended with %v, want %v", err, reason)
	}
	if n := c.Outstanding(); n != 0 {
		t.Errorf("%d requests outstanding after the end", n)
	}
	_, err := c.StartStat("p").WaitAttrs(testContext(t))
	if !errors.Is(err, ErrLost) || !errors.Is(err, ErrUnsent) || errors.Is(err, io.EOF) {
		t.Errorf("a request after the end gives %v", err)
	}
}
