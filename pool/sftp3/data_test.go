package sftp3

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// expectRead is the next packet, a READ of n bytes at off.
func (p *peer) expectRead(off uint64, n uint32) (id uint32) {
	p.t.Helper()
	r := p.expect(TypeRead)
	h, gotOff, gotLen := string(r.body.bytes()), r.body.uint64(), r.body.uint32()
	if h != "h" || gotOff != off || gotLen != n || r.body.bad || len(r.body.b) > 0 {
		p.t.Fatalf("READ of %d at %d on %q, want %d at %d", gotLen, gotOff, h, n, off)
	}
	return r.id
}

type readResult struct {
	n   int
	err error
}

// readAt reads p at off in packets that are all in flight at once. What a short answer
// has left is asked for again.
func readAt(ctx context.Context, c *Client, h Handle, p []byte, off int64) (n int, err error) {
	var answers []chan readResult
	for part := range slices.Chunk(p, c.Limits().MaxRead) {
		answer := make(chan readResult, 1)
		c.StartRead(h, part, off+int64(n), func(n int, err error) { answer <- readResult{n, err} })
		answers = append(answers, answer)
		n += len(part)
	}
	n = 0
	for part := range slices.Chunk(p, c.Limits().MaxRead) {
		select {
		case r := <-answers[0]:
			answers = answers[1:]
			if n, err = n+r.n, r.err; err == nil && r.n < len(part) {
				r.n, err = readAt(ctx, c, h, part[r.n:], off+int64(n))
				n += r.n
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Answers to a READ that would write where nobody asked for.
func TestReadViolations(t *testing.T) {
	for name, body := range map[string][]byte{
		"longer than asked":  appendString(nil, "01234567890"),
		"longer than packet": appendUint32(nil, 5),
		"huge":               append(appendUint32(nil, 1<<32-1), "0123"...),
		"no length":          {1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := startPeer(t)
			buf, read := make([]byte, 20), make(chan error, 1)
			c.StartRead("h", buf[:10], 0, func(n int, err error) { read <- err })
			p.answer(TypeData, p.expectRead(0, 10), body)
			if name == "no length" {
				_, _ = p.conn.Write([]byte("xxxxxxxxx"))
			}
			wantLost(t, c, ErrProtocol)
			if err := <-read; !errors.Is(err, ErrProtocol) {
				t.Errorf("got %v", err)
			}
			if string(buf) != string(make([]byte, 20)) {
				t.Errorf("wrote %q", buf)
			}
		})
	}
}

// A cut in the middle of the data is no short answer.
func TestCutInData(t *testing.T) {
	c, p := startPeer(t)
	read := make(chan readResult, 2)
	c.StartRead("h", make([]byte, 100), 0, func(n int, err error) { read <- readResult{n, err} })
	whole := rawPacket(TypeData, p.expectRead(0, 100), appendString(nil, strings.Repeat("x", 100)))
	p.raw(whole[:50])
	if n := c.Outstanding(); n != 1 {
		t.Errorf("%d outstanding in the middle of an answer", n)
	}
	ok(t, p.conn.Close())
	wantLost(t, c, nil)
	if r := <-read; r.n != 0 || !errors.Is(r.err, ErrLost) || len(read) > 0 {
		t.Errorf("got %d, %v", r.n, r.err)
	}
}

// A WRITE that is answered before the channel has taken its payload is not done:
// its owner would change the buffer under the channel.
func TestEarlyAnswerWaitsForPayload(t *testing.T) {
	c, p := startPeer(t)
	payload, done := make([]byte, 2*small), make(chan error, 1)
	c.StartWrite("h", payload, 0, func(err error) { done <- err })
	head := make([]byte, headerSize+5+12)
	_, err := io.ReadFull(p.conn, head)
	ok(t, err)
	_, _, id := splitHeader(head)
	p.status(id, StatusOK)
	for c.Outstanding() > 0 { // the reader has it
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-done:
		t.Fatalf("done before the payload has left: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	_, err = io.ReadFull(p.conn, payload)
	ok(t, err)
	ok(t, <-done)
}

// held is a channel that keeps large writes until it is let go, also after
// Close.
type held struct {
	net.Conn
	free chan struct{}
}

func (h held) Write(p []byte) (int, error) {
	if len(p) > small {
		<-h.free
	}
	return h.Conn.Write(p)
}

// startHeld is a session on a held channel, with a peer that reads.
func startHeld(t testing.TB) (*Client, held) {
	here, there := net.Pipe()
	h := held{here, make(chan struct{})}
	p := &peer{t: t, conn: there}
	go func() {
		if p.greet(nil) == nil {
			_, _ = io.Copy(io.Discard, there)
		}
	}()
	t.Cleanup(func() { _ = there.Close() })
	return newSession(t, h), h
}

// Abort completes everything at once but the WRITE that the channel holds.
func TestAbortWhilePayloadHeld(t *testing.T) {
	c, h := startHeld(t)
	writes := make(chan int, 2)
	for i := range 2 {
		c.StartWrite("h", make([]byte, 2*small), 0, func(err error) {
			if !errors.Is(err, ErrLost) || errors.Is(err, ErrUnsent) != (i == 1) {
				t.Errorf("write %d gives %v", i, err)
			}
			writes <- i
		})
	}
	for c.Stats().Requests == 0 {
		time.Sleep(time.Millisecond)
	}
	c.Abort(errors.New("dead"))
	if i := <-writes; i != 1 {
		t.Errorf("write %d completed first", i)
	}
	select {
	case <-writes:
		t.Error("completed while the channel held the payload")
	case <-c.Done():
		t.Error("done while the channel held the payload")
	case <-time.After(20 * time.Millisecond):
	}
	close(h.free)
	if i := <-writes; i != 0 {
		t.Errorf("write %d completed last", i)
	}
	wantLost(t, c, nil)
}

// counted counts writes on the channel.
type counted struct {
	net.Conn
	writes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// Packets that wait while the channel is busy leave together, in order.
func TestWaitingPacketsAreJoined(t *testing.T) {
	here, there := net.Pipe()
	p := &peer{t: t, conn: there}
	t.Cleanup(func() { _ = there.Close() })
	go func() { _ = p.greet(nil) }()
	ch := &counted{Conn: here}
	c := newSession(t, ch)
	for i := range 100 {
		c.StartWrite("h", make([]byte, i), int64(i), func(error) {})
	}
	for i := range 100 {
		r := p.expect(TypeWrite)
		if h, off := r.body.bytes(), r.body.uint64(); string(h) != "h" || off != uint64(i) {
			t.Fatalf("packet %d is of offset %d", i, off)
		}
		if data := r.body.bytes(); len(data) != i || r.body.bad {
			t.Fatalf("packet %d has %d bytes", i, len(data))
		}
	}
	if n := ch.writes.Load(); n > 4 {
		t.Errorf("%d writes on the channel", n)
	}
}
