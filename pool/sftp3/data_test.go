package sftp3

import (
	"context"
	"errors"
	"io"
	"net"
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

// readAsync is a ReadAt in the background.
func readAsync(ctx context.Context, c *Client, p []byte, off int64) chan readResult {
	result := make(chan readResult, 1)
	go func() {
		n, err := c.ReadAt(ctx, "h", p, off)
		result <- readResult{n, err}
	}()
	return result
}

// All pieces are in flight at once, and a short one is asked on.
func TestReadAtAsksOn(t *testing.T) {
	c, p := startPeer(t)
	buf := make([]byte, 2*defaultData+100)
	result := readAsync(testContext(t), c, buf, 7)
	first := p.expectRead(7, defaultData)
	second := p.expectRead(7+defaultData, defaultData)
	third := p.expectRead(7+2*defaultData, 100)
	p.data(third, strings.Repeat("3", 100))
	p.data(first, strings.Repeat("1", 1000))
	more := p.expectRead(1007, defaultData-1000)
	p.data(second, strings.Repeat("2", defaultData))
	p.data(more, strings.Repeat("0", defaultData-1000))
	if r := <-result; r.n != len(buf) || r.err != nil {
		t.Fatalf("got %d, %v", r.n, r.err)
	}
	want := strings.Repeat("1", 1000) + strings.Repeat("0", defaultData-1000) + strings.Repeat("2", defaultData) + strings.Repeat("3", 100)
	if string(buf) != want {
		t.Error("the pieces are not where they belong")
	}
}

// What ends a ReadAt, and how much of it counts.
func TestReadAtEnds(t *testing.T) {
	failure := func(p *peer, id uint32) { p.status(id, StatusFailure) }
	eof := func(p *peer, id uint32) { p.status(id, StatusEOF) }
	full := func(p *peer, id uint32) { p.data(id, strings.Repeat("x", defaultData)) }
	none := func(p *peer, id uint32) { p.data(id, "") }
	isFailure := &StatusError{Code: StatusFailure, Message: "message"}
	for name, test := range map[string]struct {
		answers [3]func(*peer, uint32)
		n       int
		err     string
	}{
		"end in the middle":        {[3]func(*peer, uint32){full, eof, eof}, defaultData, "EOF"},
		"end before data":          {[3]func(*peer, uint32){full, eof, full}, defaultData, "EOF"},
		"end at once":              {[3]func(*peer, uint32){eof, eof, eof}, 0, "EOF"},
		"failure":                  {[3]func(*peer, uint32){full, failure, full}, defaultData, isFailure.Error()},
		"failure behind the end":   {[3]func(*peer, uint32){full, eof, failure}, defaultData, "EOF"},
		"failure before the end":   {[3]func(*peer, uint32){failure, full, eof}, 0, isFailure.Error()},
		"answers without any data": {[3]func(*peer, uint32){full, none, eof}, defaultData, io.ErrNoProgress.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := startPeer(t)
			result := readAsync(testContext(t), c, make([]byte, 3*defaultData), 0)
			var ids [3]uint32
			for i := range ids {
				ids[i] = p.expectRead(uint64(i*defaultData), defaultData)
			}
			for i := range ids {
				test.answers[i](p, ids[i])
			}
			r := <-result
			if r.err == nil || r.n != test.n || r.err.Error() != test.err {
				t.Errorf("got %d, %v, want %d, %s", r.n, r.err, test.n, test.err)
			}
		})
	}
}

// A caller that gives up is free, late answers end in its buffer, and a short
// one of them is not asked on.
func TestReadAtCancelled(t *testing.T) {
	c, p := startPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	result := readAsync(ctx, c, make([]byte, 100), 0)
	id := p.expectRead(0, 100)
	cancel()
	if r := <-result; r.n != 0 || r.err != context.Canceled {
		t.Errorf("got %d, %v", r.n, r.err)
	}
	p.data(id, "short")
	c.StartRemove("p").Forget()
	p.expect(TypeRemove)
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
