package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// What happens between two looks at the same thing. The tests here have no server that
// does anything: what they are about has to happen within a microsecond.

// unreachable is a Pool that gets no connection.
func unreachable(t *testing.T, c Config) *Pool {
	t.Helper()
	c.Transport = func(ctx context.Context) (Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Abort)
	return p
}

// greeter is a channel to a server that answers INIT, and nothing else.
func greeter() net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		defer func() { _ = theirs.Close() }()
		_, _ = theirs.Read(make([]byte, 9)) // INIT
		_, _ = theirs.Write([]byte{0, 0, 0, 5, sftp3.TypeVersion, 0, 0, 0, 3})
		_, _ = io.Copy(io.Discard, theirs)
	}()
	return ours
}

// manyHandles is a File that is written, with so many handles on one session that the
// session can end between any two looks at them.
func manyHandles(t *testing.T, p *Pool) (*file, *sftp3.Client) {
	t.Helper()
	client, err := sftp3.New(t.Context(), greeter(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &handle{s: &session{conn: &conn{pool: p}, client: client, ordered: true}}
	f := openFile(p)
	for range 1000 {
		f.handles = append(f.handles, h)
	}
	return f, client
}

func openFile(p *Pool) *file {
	f := &file{object: p.newObject("f", remote.Attr{}), flag: remote.FlagRead | remote.FlagWrite, most: 1 << 15, opening: make(chan struct{}, 1)}
	f.files[f] = struct{}{}
	return f
}

// cutSoon ends a session after a time that is another in each round.
func cutSoon(client *sftp3.Client, round int) {
	time.Sleep(time.Duration(round%100) * 300 * time.Nanosecond)
	client.Abort(errors.New("cut"))
}

func TestClosingWhileSessionEnds(t *testing.T) {
	p := unreachable(t, Config{})
	for i := range 300 {
		f, client := manyHandles(t, p)
		f.filled = true
		go cutSoon(client, i)
		for !f.keeps && client.Err() == nil {
			f.mu.Lock()
			calls := f.closing(thenClose, 0)
			f.mu.Unlock()
			for _, call := range calls {
				call.Forget()
			}
		}
		_ = client.Close()
	}
}

// Data that finds no handle any more gets one.
func TestPumpWhileSessionEnds(t *testing.T) {
	p := unreachable(t, Config{})
	for i := range 3000 {
		f, client := manyHandles(t, p)
		c := p.chunks.Get().(*chunk)
		c.f, c.buf = f, append(takeBuffer(10), "0123456789"...)
		f.out.current = c
		f.out.count, f.out.held, f.held = 1, 10, 10
		p.writeHeld.Add(10)
		p.counts(c)
		go cutSoon(client, i)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		err := f.started(ctx, uint64(endless))
		cancel()
		_ = client.Close()
		f.mu.Lock()
		stuck := err != nil && c.h == nil && len(f.handles) == 0 && !f.mending
		f.mu.Unlock()
		if stuck {
			t.Fatalf("round %d: data waits, there is no handle, and nobody gets one: %v", i, err)
		}
	}
}

// A read that is not begun, as there is no handle, and whose caller gives up just then.
func TestReadGivenUpIsNotKept(t *testing.T) {
	f := openFile(unreachable(t, Config{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	told := make(chan error, 1)
	if f.StartReadAt(ctx, make([]byte, 10), 0, false, func(_ int, err error) { told <- err }) {
		if err := <-told; err == nil {
			t.Error("the read went well")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reading) > 0 {
		t.Errorf("%d readings are kept for good", len(f.reading))
	}
}

// endedConn is a connection that has ended when it is made.
type endedConn struct{ done chan struct{} }

func (c *endedConn) OpenSFTP(context.Context) (io.ReadWriteCloser, error) { return greeter(), nil }
func (c *endedConn) Ping(context.Context) error                           { return nil }
func (c *endedConn) LastByte() time.Time                                  { return time.Now() }
func (c *endedConn) Abort()                                               {}
func (c *endedConn) Close() error                                         { return nil }
func (c *endedConn) Done() <-chan struct{}                                { return c.done }
func (c *endedConn) Server() string                                       { return "" }

// A connection that is lost before the first dial returns is made again.
func TestConnectionLostWhileDialFirstReturns(t *testing.T) {
	for i := range 200 {
		p := unreachable(t, Config{})
		again := p.cfg.Transport
		p.cfg.Transport = func(context.Context) (Conn, error) {
			p.cfg.Transport = again
			c := &endedConn{make(chan struct{})}
			close(c.done)
			return c, nil
		}
		p.rooted, p.info.Root = true, "/"
		stop := make(chan struct{})
		for range 3 { // who asks for the status, and so for the lock
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
						p.Status()
					}
				}
			}()
		}
		_ = p.dialFirst(t.Context())
		close(stop)
		idle := func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.state == StateConnecting && len(p.conns) == 0 && !p.redial
		}
		for end := time.Now().Add(5 * time.Second); idle(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("round %d: the connection is gone, and nobody dials", i)
			}
		}
		p.Abort()
	}
}

// Work that is begun while the Pool ends; the race detector sees it.
func TestSpawnWhileEnding(t *testing.T) {
	for range 300 {
		p := unreachable(t, Config{})
		var w sync.WaitGroup
		for range 3 {
			w.Go(func() {
				for p.life.Err() == nil {
					p.spawn(func() {}, nil)
					time.Sleep(time.Microsecond)
				}
			})
		}
		time.Sleep(20 * time.Microsecond)
		p.Abort()
		w.Wait()
	}
}

// What is being written down is not taken for what was cut short by another mount of
// the same remote that settles what is left.
func TestBeginWhileAnotherSettles(t *testing.T) {
	dir := t.TempDir()
	p, other := unreachable(t, Config{Replacing: dir, Name: "u@h:22"}), unreachable(t, Config{Replacing: dir, Name: "u@h:22"})
	ctx, cancel := context.WithCancel(t.Context())
	var settler sync.WaitGroup
	settler.Go(func() {
		for ctx.Err() == nil {
			other.settleReplacements(ctx)
		}
	})
	defer settler.Wait()
	defer cancel()
	for i := range 300 {
		r := &replacement{Remote: "other", Folder: "/", Name: "f", Aside: "g"}
		if err := p.begin(r); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(r.at); err != nil {
			t.Fatalf("round %d: begun, and not written down: %v", i, err)
		}
		p.ended(r, true)
	}
}
