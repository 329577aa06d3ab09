package sftp3

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// scripted is a channel that takes what is written and reads what it was given,
// the rest of it only when it is let go.
type scripted struct {
	first, rest []byte
	free        chan struct{}
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.first) == 0 {
		<-s.free
		s.first, s.rest = s.rest, nil
		if len(s.first) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, s.first)
	s.first = s.first[n:]
	return n, nil
}

func (s *scripted) Write(p []byte) (int, error) { return len(p), nil }
func (s *scripted) Close() error                { return nil }

// everyExtension is a VERSION with what we know, except limits.
func everyExtension() []byte {
	var body []byte
	for _, name := range []string{ExtPosixRename, ExtStatVFS, ExtHardlink, ExtFsync,
		ExtLsetstat, ExtExpandPath, ExtCopyData, ExtUsersGroups} {
		body = appendString(appendString(body, name), extensionVersion(name))
	}
	return rawPacket(TypeVersion, 3, body)
}

// outstanding starts one request of each shape, with ids from 0, and counts
// their completions, of calls until done. It gives how many there are.
func outstanding(t testing.TB, c *Client, completions *[16]atomic.Int64, done *sync.WaitGroup) int {
	calls := []*Call{
		c.StartRemove("p"), c.StartOpen("p", OpenRead, Attrs{}), c.StartStat("p"),
		c.StartReadDir("h"), c.StartReadLink("p"), c.StartStatVFS("p"),
		c.StartUsersGroups([]uint32{1}, []uint32{2}),
	}
	for i, call := range calls {
		done.Go(func() {
			<-call.ready // closed: a second completion would panic
			completions[i].Add(1)
		})
	}
	n := len(calls)
	buf := make([]byte, 64)
	c.StartRead("h", buf[:32], 0, func(n int, err error) {
		if n < 0 || n > 32 || err != nil && n > 0 {
			t.Errorf("read gives %d, %v", n, err)
		}
		completions[len(calls)].Add(1)
	})
	c.StartWrite("h", make([]byte, 10), 0, func(error) { completions[len(calls)+1].Add(1) })
	c.StartWrite("h", make([]byte, 2*small), 0, func(error) { completions[len(calls)+2].Add(1) })
	return n + 3
}

// Whatever a server answers, every request is completed once and the session
// ends with the channel.
func FuzzAnswers(f *testing.F) {
	f.Add(rawPacket(TypeStatus, 0, statusBody(StatusOK, "")))
	f.Add(rawPacket(TypeStatus, 8, statusBody(StatusFailure, "no space\x1b[0m")))
	f.Add(rawPacket(TypeHandle, 1, appendString(nil, "handle")))
	f.Add(rawPacket(TypeAttrs, 2, appendAttrs(nil, Attrs{Flags: 15, Size: 1})))
	f.Add(rawPacket(TypeAttrs, 2, []byte{128, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 'a', 0, 0, 0, 0}))
	f.Add(rawPacket(TypeName, 3, namesBody("..", "a/b", "", "\x00")))
	f.Add(rawPacket(TypeName, 4, namesBody("target")))
	f.Add(rawPacket(TypeExtendedReply, 5, make([]byte, 88)))
	f.Add(rawPacket(TypeExtendedReply, 6, append(appendString(nil, appendString(nil, "user")), 0, 0, 0, 0)))
	f.Add(rawPacket(TypeData, 7, appendString(nil, "data")))
	f.Fuzz(func(t *testing.T, answers []byte) {
		ch := &scripted{first: everyExtension(), rest: answers, free: make(chan struct{})}
		c, err := New(testContext(t), ch, nil)
		if err != nil {
			t.Fatal(err)
		}
		var completions [16]atomic.Int64
		var done sync.WaitGroup
		n := outstanding(t, c, &completions, &done)
		for c.Stats().Requests < uint64(n) {
			time.Sleep(10 * time.Microsecond)
		}
		close(ch.free)
		<-c.Done()
		done.Wait()
		for i := range n {
			if got := completions[i].Load(); got != 1 {
				t.Errorf("request %d was completed %d times", i, got)
			}
		}
		if c.Outstanding() != 0 || !errors.Is(c.Err(), ErrLost) {
			t.Errorf("%d outstanding, error %v", c.Outstanding(), c.Err())
		}
	})
}

// Whatever a server begins with, New returns, with one of session and error.
func FuzzVersion(f *testing.F) {
	f.Add(everyExtension())
	f.Add(append(limitsVersion(), rawPacket(TypeExtendedReply, 0, make([]byte, 32))...))
	f.Add([]byte("Welcome!\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		ch := &scripted{first: stream, free: make(chan struct{})}
		close(ch.free)
		c, err := New(testContext(t), ch, nil)
		if (c == nil) == (err == nil) {
			t.Fatalf("session %v, error %v", c, err)
		}
		if err != nil {
			return
		}
		if l := c.Limits(); l.MaxRead < minData || l.MaxRead > maxData || l.MaxWrite < minData || l.MaxWrite > maxData {
			t.Errorf("limits %+v", l)
		}
		_ = c.Close()
	})
}

// Whatever is in an answer, parsing it holds no more than a few times its size.
func FuzzParse(f *testing.F) {
	wants := []want{wantHandle, wantAttrs, wantNames, wantName, wantStatVFS, wantLimits, wantUsersGroups}
	f.Add(byte(2), namesBody("a", "b"))
	f.Add(byte(6), appendString(appendString(nil, "\x00\x00\x00\x01u"), ""))
	f.Fuzz(func(t *testing.T, shape byte, body []byte) {
		c := cursor{b: body}
		result := wants[int(shape)%len(wants)].parse(&c)
		if names, isNames := result.([]Name); isNames && len(names)*minName > len(body) {
			t.Errorf("%d names in %d bytes", len(names), len(body))
		}
		if h, isHandle := result.(Handle); !c.bad && isHandle && len(h) > maxHandle {
			t.Errorf("a handle of %d bytes", len(h))
		}
	})
}
