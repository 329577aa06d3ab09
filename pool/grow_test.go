package pool_test

import (
	"context"
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
	for range 3 {
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
	for name, trouble := range map[string]func(t *testing.T, s *remotetest.Server, p *pool.Pool){
		"none": func(*testing.T, *remotetest.Server, *pool.Pool) {},
		"a stall": func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
			s.Stall(true)
			_, _, _ = p.Open(t.Context(), "f", remote.FlagRead, 0)
			time.Sleep(time.Minute)
			s.Stall(false)
		},
		"a refusal": func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
			s.MaxSessions = 1
			if _, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			s.MaxSessions = 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Latency = 20 * time.Millisecond
				put(t, s, "f", string(make([]byte, 64<<20)))
				p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
				time.Sleep(time.Second)
				trouble(t, s, p)
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
		s.MaxSessions = 1
		put(t, s, "f", "data")
		asked := &atomic.Int32{}
		p, err := pool.New(pool.Config{Transport: func(ctx context.Context) (pool.Conn, error) {
			c, err := s.Connect(ctx)
			return counting{c, asked}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Abort()
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
		if n := asked.Load(); n < 5 || n > 12 {
			t.Errorf("%d sessions were asked for in an hour", n)
		}
	})
}

type counting struct {
	*remotetest.Conn
	sessions *atomic.Int32
}

func (c counting) OpenSFTP(ctx context.Context) (io.ReadWriteCloser, error) {
	c.sessions.Add(1)
	return c.Conn.OpenSFTP(ctx)
}
