package link

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// newLink makes a link to a server that hands back what it gets.
func newLink(t testing.TB) *Link {
	t.Helper()
	return linkTo(t, func(c net.Conn) {
		_, _ = io.Copy(c, c)
	})
}

// linkTo makes a link to a server that does as it is told with a connection.
func linkTo(t testing.TB, serve func(net.Conn)) *Link {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}()
	l, err := New(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		_ = server.Close()
	})
	return l
}

func dial(t testing.TB, l *Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ping sends a byte and waits for it to come back.
func ping(c net.Conn) (time.Duration, error) {
	begin := time.Now()
	if _, err := c.Write([]byte{1}); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return time.Since(begin), err
}

func mustPing(t testing.TB, c net.Conn) time.Duration {
	t.Helper()
	took, err := ping(c)
	if err != nil {
		t.Fatal(err)
	}
	return took
}

func TestBytesArriveInEveryCondition(t *testing.T) {
	for name, set := range map[string]func(*Link){
		"fast":    func(*Link) {},
		"delay":   func(l *Link) { l.SetDelay(5 * time.Millisecond) },
		"rate":    func(l *Link) { l.SetRate(20 << 20) },
		"trickle": func(l *Link) { l.SetTrickle(true) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t)
			set(l)
			data := make([]byte, 2<<20)
			if name == "trickle" {
				data = data[:4096]
			}
			_, _ = rand.Read(data)
			c := dial(t, l)
			go func() {
				_, _ = c.Write(data)
				_ = c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d of %d bytes came back, %v", len(got), len(data), err)
			}
			if s := l.Stats(); s.Up != int64(len(data)) || s.Down != int64(len(data)) || s.Connections != 1 {
				t.Errorf("counted %+v", s)
			}
		})
	}
}

func TestDelayIsARoundTripAndPipelines(t *testing.T) {
	l := newLink(t)
	l.SetDelay(25 * time.Millisecond)
	c := dial(t, l)
	if took := mustPing(t, c); took < 100*time.Millisecond {
		t.Errorf("connecting and a first ping took %v, two round trips are 100ms", took)
	}
	if took := mustPing(t, c); took < 50*time.Millisecond || took > 300*time.Millisecond {
		t.Errorf("a ping took %v at 50ms", took)
	}
	begin := time.Now()
	for range 100 {
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("100 pings under way took %v", took)
	}
}

func TestRateIsSharedAndHeld(t *testing.T) {
	l := linkTo(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	l.SetRate(10 << 20)
	begin := time.Now()
	done := make(chan error)
	for range 2 {
		c := dial(t, l)
		go func() {
			_, err := c.Write(make([]byte, 2<<20))
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(begin); took < 350*time.Millisecond {
		t.Errorf("4 MiB at 10 MiB/s took %v", took)
	}
}

func TestCut(t *testing.T) {
	l := newLink(t)
	c := dial(t, l)
	mustPing(t, c)
	l.Cut()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a cut: %v", err)
	}
	mustPing(t, dial(t, l))

	stop := l.CutEvery(20*time.Millisecond, 0)
	if _, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Error("not cut again")
	}
	stop()
	stop()
	stop = l.CutEvery(time.Millisecond, 3)
	defer stop()
	c = dial(t, l)
	time.Sleep(20 * time.Millisecond)
	mustPing(t, c) // one byte each way, so it is there still; the next is too many
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var err error
	for err == nil {
		_, err = ping(c)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("not cut after what was asked for")
	}
	stop()
	mustPing(t, dial(t, l))
}

func TestStallHoldsAndResumes(t *testing.T) {
	l := newLink(t)
	c := dial(t, l)
	mustPing(t, c)
	l.Stall()
	late := dial(t, l)
	for _, conn := range []net.Conn{c, late} {
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := ping(conn); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("in a stall: %v", err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	l.Resume()
	for _, conn := range []net.Conn{c, late} {
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Errorf("what was held back: %v", err)
		}
		mustPing(t, conn)
	}
}

func TestRefuse(t *testing.T) {
	l := newLink(t)
	c := dial(t, l)
	mustPing(t, c)
	if err := l.Refuse(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", l.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	mustPing(t, c)
	if err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	mustPing(t, dial(t, l))
}

func TestHalfOpenIsSilent(t *testing.T) {
	gone := make(chan struct{})
	l := linkTo(t, func(c net.Conn) {
		_, _ = io.Copy(c, c)
		close(gone)
	})
	c := dial(t, l)
	mustPing(t, c)
	l.HalfOpen()
	<-gone
	_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := ping(c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half-open: %v", err)
	}
}

func TestTurnsAreRoundTrips(t *testing.T) {
	l := newLink(t)
	c := dial(t, l)
	for range 10 {
		mustPing(t, c)
	}
	if s := l.Stats(); s.Turns != 9 {
		t.Errorf("%d turns in 10 pings, want 9", s.Turns)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	l := newLink(t)
	for range 5 {
		mustPing(t, dial(t, l))
	}
	l.Stall()
	if s := l.Stats(); s.Open != 5 || s.MaxOpen != 5 {
		t.Errorf("counted %+v", s)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before+1 { // the test's own server accepts on
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// BenchmarkLink shows that the link is not what limits a transfer.
func BenchmarkLink(b *testing.B) {
	for name, delay := range map[string]time.Duration{"0ms": 0, "20ms": 10 * time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			l := linkTo(b, func(c net.Conn) {
				data := make([]byte, 256<<10)
				for {
					if _, err := c.Write(data); err != nil {
						return
					}
				}
			})
			l.SetDelay(delay)
			c := dial(b, l)
			buf := make([]byte, 256<<10)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
