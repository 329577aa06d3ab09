package pool_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// readMuch reads from several places at once, so that more sessions are wanted.
func readMuch(t *testing.T, f remote.File) {
	done := make(chan struct{}, 8)
	for range 2 {
		for i := range int64(8) {
			go func() {
				_, _ = f.ReadAt(t.Context(), make([]byte, 8<<20), i*8<<20)
				done <- struct{}{}
			}()
		}
		for range 8 {
			<-done
		}
	}
}

// Neither a stall while a session is being opened, nor a server that refuses more for a
// while, leaves the mount with fewer sessions for good.
func TestSessionsAfterTrouble(t *testing.T) {
	for name, trouble := range map[string]func(t *testing.T, s *remotetest.Server, more *atomic.Int32, p *pool.Pool){
		"a stall": func(t *testing.T, s *remotetest.Server, _ *atomic.Int32, p *pool.Pool) {
			s.Stall(true)
			_, _, _ = p.Open(t.Context(), "f", remote.FlagRead, 0)
			time.Sleep(time.Minute)
			s.Stall(false)
		},
		"a refusal": func(t *testing.T, s *remotetest.Server, more *atomic.Int32, p *pool.Pool) {
			more.Store(0)
			if _, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			more.Store(100)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Latency = 20 * time.Millisecond
				put(t, s, "f", string(make([]byte, 64<<20)))
				var more atomic.Int32
				more.Store(100)
				p := limited(t, s, &more)
				time.Sleep(time.Second)
				trouble(t, s, &more, p)
				time.Sleep(time.Minute)
				f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
				if err != nil {
					t.Fatal(err)
				}
				readMuch(t, f)
				if st := p.Status(); st.Sessions <= 2*st.Connections {
					t.Errorf("%d connections, %d sessions", st.Connections, st.Sessions)
				}
			})
		})
	}
}

// A server that refuses more is asked again ever less often.
func TestRefusedSessionsAreAskedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		put(t, s, "f", "data")
		var more atomic.Int32
		p := limited(t, s, &more)
		for range 60 * 60 {
			f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := -more.Load(); n < 5 || n > 12 {
			t.Errorf("%d further sessions were asked for in an hour", n)
		}
	})
}

// limited gives a connected Pool on a server that refuses further sessions on a
// connection once it has had so many more. It counts on below zero.
func limited(t *testing.T, s *remotetest.Server, more *atomic.Int32) *pool.Pool {
	t.Helper()
	p, err := pool.New(pool.Config{Timeout: 30 * time.Second, Transport: func(ctx context.Context) (pool.Conn, error) {
		c, err := s.Connect(ctx)
		return &limitedConn{Conn: c, more: more}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Abort)
	if err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

type limitedConn struct {
	*remotetest.Conn
	first atomic.Bool
	more  *atomic.Int32
}

func (c *limitedConn) OpenSFTP(ctx context.Context) (io.ReadWriteCloser, error) {
	if c.first.Swap(true) && c.more.Add(-1) < 0 {
		return nil, errors.New("open failed")
	}
	return c.Conn.OpenSFTP(ctx)
}
