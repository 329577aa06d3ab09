package sftp3

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The beginning of a session with servers that are none.
func TestNewRefuses(t *testing.T) {
	long := make([]byte, headerSize)
	long[0] = 0xff
	for name, test := range map[string]struct {
		sends []byte
		want  string // in the error
	}{
		"text":            {[]byte("Welcome to example.org!\r\n"), `printed "Welcome to example.org!`},
		"short text":      {[]byte("no\n"), `printed "no?"`},
		"binary":          {long, "protocol violation: first packet"},
		"nothing":         {nil, "closed the channel"},
		"half a packet":   {[]byte{0, 0, 0, 5, TypeVersion}, "closed the channel"},
		"version 2":       {rawPacket(TypeVersion, 2, nil), "version 2"},
		"version 6":       {rawPacket(TypeVersion, 6, nil), "version 6"},
		"status":          {rawPacket(TypeStatus, 3, nil), "type 101"},
		"empty packet":    {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}, "protocol violation"},
		"cut extension":   {rawPacket(TypeVersion, 3, appendUint32(nil, 50)), "malformed VERSION"},
		"half a pair":     {rawPacket(TypeVersion, 3, appendString(nil, "name")), "malformed VERSION"},
		"bad limits":      {append(limitsVersion(), rawPacket(TypeExtendedReply, 0, make([]byte, 31))...), "malformed answer"},
		"limits and exit": {limitsVersion(), "closed the channel"},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := net.Pipe()
			go func() {
				_, _ = io.ReadFull(there, make([]byte, 9)) // the client reads our error, not this
				_, _ = there.Write(test.sends[:min(len(test.sends), len(limitsVersion()))])
				if len(test.sends) > len(limitsVersion()) {
					_, _ = there.Read(make([]byte, 100))
					_, _ = there.Write(test.sends[len(limitsVersion()):])
				}
				_ = there.Close()
			}()
			c, err := New(testContext(t), here, nil)
			if c != nil || !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func limitsVersion() []byte {
	return rawPacket(TypeVersion, 3, appendString(appendString(nil, ExtLimits), "1"))
}

// stuck is a channel whose Read and Write end only when free is closed, as those
// of an SSH channel do on a connection that is dead.
type stuck struct {
	free   chan struct{}
	closed chan struct{}
}

func newStuck(t testing.TB) stuck {
	s := stuck{free: make(chan struct{}), closed: make(chan struct{})}
	t.Cleanup(func() { close(s.free) })
	return s
}

func (s stuck) Read([]byte) (int, error)  { <-s.free; return 0, io.EOF }
func (s stuck) Write([]byte) (int, error) { <-s.free; return 0, io.EOF }
func (s stuck) Close() error              { close(s.closed); <-s.free; return nil }

// New and Abort return although the channel is stuck.
func TestStuckChannel(t *testing.T) {
	s := newStuck(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := New(ctx, s, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("New gives %v", err)
	}
	select {
	case <-s.closed:
	case <-time.After(timeout):
		t.Error("the channel was not closed")
	}
}

// Whatever does not fit ends the session; the call under way is lost, and says so.
func TestProtocolViolations(t *testing.T) {
	stat := func(c *Client) *Call { return c.StartStat("p") }
	list := func(c *Client) *Call { return c.StartReadDir("h") }
	for name, test := range map[string]struct {
		start  func(c *Client) *Call
		answer func(id uint32) []byte
	}{
		"unknown id":        {stat, func(id uint32) []byte { return rawPacket(TypeStatus, id+1, statusBody(0, "")) }},
		"unknown type":      {stat, func(id uint32) []byte { return rawPacket(77, id, nil) }},
		"type zero":         {startClose, func(id uint32) []byte { return rawPacket(0, id, nil) }},
		"wrong type":        {stat, func(id uint32) []byte { return rawPacket(TypeHandle, id, appendString(nil, "h")) }},
		"data":              {stat, func(id uint32) []byte { return rawPacket(TypeData, id, appendString(nil, "data")) }},
		"cut attributes":    {stat, func(id uint32) []byte { return rawPacket(TypeAttrs, id, appendUint32(nil, AttrSize)) }},
		"cut status":        {stat, func(id uint32) []byte { return rawPacket(TypeStatus, id, []byte{0, 0}) }},
		"cut message":       {stat, func(id uint32) []byte { return rawPacket(TypeStatus, id, appendUint32([]byte{0, 0, 0, 4}, 9)) }},
		"no id":             {stat, func(uint32) []byte { return []byte{0, 0, 0, 1, TypeStatus, 0, 0, 0, 0} }},
		"long packet":       {stat, func(uint32) []byte { return []byte{0, 4, 0, 1, TypeStatus, 0, 0, 0, 0} }},
		"extended pairs":    {stat, func(id uint32) []byte { return rawPacket(TypeAttrs, id, []byte{128, 0, 0, 0, 255, 255, 255, 255}) }},
		"count of names":    {list, func(id uint32) []byte { return rawPacket(TypeName, id, []byte{255, 255, 255, 255, 0, 0}) }},
		"cut names":         {list, func(id uint32) []byte { return rawPacket(TypeName, id, namesBody("a", "b", "c")[:60]) }},
		"long handle":       {startDir, func(id uint32) []byte { return rawPacket(TypeHandle, id, appendString(nil, strings.Repeat("h", 257))) }},
		"two links":         {startLink, func(id uint32) []byte { return rawPacket(TypeName, id, namesBody("a", "b")) }},
		"no link":           {startLink, func(id uint32) []byte { return rawPacket(TypeName, id, namesBody()) }},
		"result of a close": {startClose, func(id uint32) []byte { return rawPacket(TypeHandle, id, appendString(nil, "h")) }},
		"closed":            {stat, func(uint32) []byte { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := startPeer(t)
			call := test.start(c)
			b := test.answer(p.next().id)
			reason := ErrProtocol
			if b == nil {
				reason = nil
				ok(t, p.conn.Close())
			} else {
				p.raw(b)
			}
			err := call.WaitStatus(testContext(t))
			if !errors.Is(err, ErrLost) || errors.Is(err, ErrUnsent) || errors.Is(err, io.EOF) {
				t.Errorf("the call gives %v", err)
			}
			wantLost(t, c, reason)
		})
	}
}

func startDir(c *Client) *Call   { return c.StartOpenDir("p") }
func startLink(c *Client) *Call  { return c.StartReadLink("p") }
func startClose(c *Client) *Call { return c.StartClose("h") }

// A second answer to a request is one to an unknown request.
func TestAnsweredTwice(t *testing.T) {
	c, p := startPeer(t)
	call := c.StartRemove("p")
	id := p.expect(TypeRemove).id
	p.status(id, StatusOK)
	ok(t, call.WaitStatus(testContext(t)))
	p.status(id, StatusOK)
	wantLost(t, c, ErrProtocol)
}

// Ids can be guessed; an answer to what is not sent must not be taken.
func TestAnsweredBeforeSent(t *testing.T) {
	c, p := startPeer(t)
	first := c.StartRemove("first") // the writer stands with it until the peer reads
	buf := make([]byte, 4)
	_, err := io.ReadFull(p.conn, buf)
	ok(t, err)
	second := c.StartRemove("second")
	p.status(second.id, StatusOK)
	wantLostCall(t, first, false)
	wantLostCall(t, second, true)
	wantLost(t, c, ErrProtocol)
}

func wantLostCall(t testing.TB, k *Call, unsent bool) {
	t.Helper()
	err := k.WaitStatus(testContext(t))
	if !errors.Is(err, ErrLost) || errors.Is(err, ErrUnsent) != unsent {
		t.Errorf("lost with %v, want unsent to be %v", err, unsent)
	}
}

// Everything outstanding is completed once when the server goes.
func TestEarlyClose(t *testing.T) {
	c, p := startPeer(t)
	const each = 20
	reads, writes, calls := make(chan error, 2*each), make(chan error, 2*each), make(chan error, 2*each)
	var waiting sync.WaitGroup
	for range each {
		c.StartRead("h", make([]byte, 10), 0, func(n int, err error) { reads <- err })
		c.StartWrite("h", make([]byte, 2*small), 0, func(err error) { writes <- err })
		call := c.StartStat("p")
		waiting.Go(func() { calls <- call.WaitStatus(t.Context()) })
	}
	p.expect(TypeRead)
	ok(t, p.conn.Close())
	wantLost(t, c, nil)
	waiting.Wait()
	for name, errs := range map[string]chan error{"read": reads, "write": writes, "call": calls} {
		if len(errs) != each {
			t.Errorf("%d completions of a %s, want %d", len(errs), name, each)
		}
		for range len(errs) {
			if err := <-errs; !errors.Is(err, ErrLost) || errors.Is(err, io.EOF) {
				t.Errorf("a %s gives %v", name, err)
			}
		}
	}
}

// brokenPipe is a channel that cannot be written to once it has carried some
// packets, while answers still come.
type brokenPipe struct {
	net.Conn
	left atomic.Int64
}

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.left.Add(-1) < 0 {
		return 0, errors.New("broken pipe")
	}
	return b.Conn.Write(p)
}

// What the server answered before it went counts, although writing failed first.
func TestAnswersBehindBrokenPipe(t *testing.T) {
	here, there := net.Pipe()
	p := &peer{t: t, conn: there}
	go func() { _ = p.greet(nil) }()
	ch := &brokenPipe{Conn: here}
	ch.left.Store(2)
	c := newSession(t, ch)
	answered := c.StartRemove("p")
	id := p.expect(TypeRemove).id
	lost := c.StartRemove("q")
	for ch.left.Load() >= 0 {
		time.Sleep(time.Millisecond)
	}
	p.status(id, StatusOK)
	ok(t, there.Close())
	ok(t, answered.WaitStatus(testContext(t)))
	wantLostCall(t, lost, false)
	wantLost(t, c, nil)
}

// A channel that fails in one direction only does not keep a session alive.
func TestBrokenPipeAlone(t *testing.T) {
	here, there := net.Pipe()
	t.Cleanup(func() { _ = there.Close() })
	p := &peer{t: t, conn: there}
	go func() { _ = p.greet(nil) }()
	ch := &brokenPipe{Conn: here}
	ch.left.Store(1)
	c := newSession(t, ch)
	wantLostCall(t, c.StartRemove("p"), false)
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("ended with %v", err)
	}
	wantLost(t, c, nil)
}

// The caller may hold a lock that the completion takes.
func TestStartAfterEnd(t *testing.T) {
	c, _ := startPeer(t)
	ok(t, c.Close())
	errs := make(chan error) // not buffered: a completion inside Start would stand
	c.StartRead("h", make([]byte, 1), 0, func(n int, err error) { errs <- err })
	c.StartWrite("h", make([]byte, 1), 0, func(err error) { errs <- err })
	for range 2 {
		if err := <-errs; !errors.Is(err, ErrLost) || !errors.Is(err, ErrUnsent) || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	wantLost(t, c, fs.ErrClosed)
	ok(t, c.Close())
}

// Abort tells its cause.
func TestAbort(t *testing.T) {
	c, p := startPeer(t)
	cause := errors.New("no byte for a long time")
	call := c.StartStat("p")
	p.expect(TypeStat)
	c.Abort(cause)
	c.Abort(io.EOF)
	if err := call.WaitStatus(testContext(t)); !errors.Is(err, ErrLost) || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	wantLost(t, c, cause)
}

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		answer advertisedLimits
		want   Limits
	}{
		"openssh":  {advertisedLimits{262144, 261120, 261120, 1019}, Limits{262144, 261120, 261120, 1019}},
		"no limit": {advertisedLimits{}, Limits{34000, 32768, 32768, 0}},
		"huge":     {advertisedLimits{1 << 63, 1 << 63, 1<<64 - 1, 1 << 63}, Limits{262144, 261120, 261120, 0}},
		"tiny":     {advertisedLimits{1, 1, 1, 1}, Limits{34000, 1024, 1024, 1}},
		"small":    {advertisedLimits{40000, 16384, 1 << 20, 5}, Limits{40000, 16384, 38976, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.answer.clamp(); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// A server that advertises limits and then does not know them gets the draft's.
func TestLimitsRefused(t *testing.T) {
	here, there := net.Pipe()
	p := &peer{t: t, conn: there}
	t.Cleanup(func() { _ = there.Close() })
	answered := make(chan error, 1)
	go func() {
		if err := p.greet([]string{ExtLimits, "1", "x@y", "7"}); err != nil {
			answered <- err
			return
		}
		_, _ = there.Read(make([]byte, 100))
		_, err := there.Write(rawPacket(TypeStatus, 0, statusBody(StatusOpUnsupported, "")))
		answered <- err
	}()
	c := newSession(t, here)
	ok(t, <-answered)
	if c.Limits() != defaultLimits() {
		t.Errorf("limits %+v", c.Limits())
	}
	if v, has := c.Extension("x@y"); !has || v != "7" || len(c.Extensions()) != 2 {
		t.Errorf("extensions %v", c.Extensions())
	}
}
