package sftp3

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// depth is how many READs or WRITEs are in flight here.
const depth = 8

// echoServer answers READs with data and WRITEs with OK and allocates nothing in
// doing so, so that what is counted is the client's.
func echoServer(conn net.Conn) {
	in, body := make([]byte, maxPacket), make([]byte, maxPacket)
	for {
		if _, err := io.ReadFull(conn, in[:lengthSize]); err != nil {
			return
		}
		packet := in[:lengthSize+binary.BigEndian.Uint32(in)]
		if _, err := io.ReadFull(conn, packet[lengthSize:]); err != nil {
			return
		}
		_, kind, id := splitHeader(packet)
		answer := appendUint32(beginPacket(body, TypeStatus), StatusOK)
		if kind == TypeRead {
			n := binary.BigEndian.Uint32(packet[len(packet)-4:])
			answer = appendUint32(beginPacket(body, TypeData), n)
			answer = answer[:len(answer)+int(n)]
		}
		binary.BigEndian.PutUint32(answer[idOffset:], id)
		if _, err := conn.Write(endPacket(answer, 0)); err != nil {
			return
		}
	}
}

// startEcho is a session with echoServer, with sizes as of OpenSSH.
func startEcho(t testing.TB) *Client {
	t.Helper()
	c, p := startPeer(t)
	c.limits = advertisedLimits{maxPacket, maxData, maxData, 0}.clamp()
	go echoServer(p.conn)
	return c
}

// stream keeps depth READs or WRITEs in flight, as a caller that keeps its
// functions does.
type stream struct {
	t     testing.TB
	c     *Client
	h     Handle
	bufs  [depth][]byte
	read  [depth]func(int, error)
	write [depth]func(error)
	idle  chan int
}

func newStream(t testing.TB, c *Client, size int) *stream {
	s := &stream{t: t, c: c, h: "handle", idle: make(chan int, depth)}
	for i := range depth {
		s.bufs[i] = make([]byte, size)
		s.read[i] = func(n int, err error) { s.done(i, n == size, err) }
		s.write[i] = func(err error) { s.done(i, true, err) }
		s.idle <- i
	}
	return s
}

func (s *stream) done(i int, whole bool, err error) {
	if err != nil || !whole {
		s.t.Errorf("whole: %v, error: %v", whole, err)
	}
	s.idle <- i
}

func (s *stream) startRead() {
	i := <-s.idle
	s.c.StartRead(s.h, s.bufs[i], 0, s.read[i])
}

func (s *stream) startWrite() {
	i := <-s.idle
	s.c.StartWrite(s.h, s.bufs[i], 0, s.write[i])
}

// drain waits for what is in flight.
func (s *stream) drain() {
	for range depth {
		<-s.idle
	}
}

// Reading and writing allocate nothing once they have begun. AllocsPerRun counts
// the whole process, and rounds down what the runtime needs now and then.
func TestNoAllocations(t *testing.T) {
	c := startEcho(t)
	for _, size := range []int{100, maxData} {
		s := newStream(t, c, size)
		for name, start := range map[string]func(){"read": s.startRead, "write": s.startWrite} {
			for range 10 * depth {
				start()
			}
			if n := testing.AllocsPerRun(300, start); n != 0 {
				t.Errorf("%v allocations in a %s of %d bytes", n, name, size)
			}
		}
		s.drain()
	}
}

func BenchmarkRead(b *testing.B) {
	s := newStream(b, startEcho(b), maxData)
	b.SetBytes(maxData)
	b.ReportAllocs()
	for b.Loop() {
		s.startRead()
	}
	s.drain()
}

func BenchmarkWrite(b *testing.B) {
	s := newStream(b, startEcho(b), maxData)
	b.SetBytes(maxData)
	b.ReportAllocs()
	for b.Loop() {
		s.startWrite()
	}
	s.drain()
}

// BenchmarkSmallRead is the cost of a packet.
func BenchmarkSmallRead(b *testing.B) {
	s := newStream(b, startEcho(b), 16)
	b.ReportAllocs()
	for b.Loop() {
		s.startRead()
	}
	s.drain()
}

// BenchmarkReadOpenSSH is BenchmarkRead over pipes to OpenSSH's server.
func BenchmarkReadOpenSSH(b *testing.B) {
	c, path := startOpenSSH(b), b.TempDir()+"/f"
	makeFile(b, path, maxData)
	s := newStream(b, c, maxData)
	s.h = mustOpen(b, c, path, OpenRead)
	b.SetBytes(maxData)
	b.ReportAllocs()
	for b.Loop() {
		s.startRead()
	}
	s.drain()
}
