package pool_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A connection that was being made when another met a changed host key is not used.
func TestDialUnderWayEndsDisabled(t *testing.T) {
	for name, want := range map[string]int32{"two that grow": 3, "one that reconnects": 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Latency = 20 * time.Millisecond
				put(t, s, "f", string(make([]byte, 64<<20)))
				var dials atomic.Int32
				p, err := pool.New(pool.Config{
					Timeout: 30 * time.Second,
					Transport: func(ctx context.Context) (pool.Conn, error) {
						switch dials.Add(1) {
						case 2:
							time.Sleep(3 * time.Second)
							return nil, errKey
						case 3, 4:
							time.Sleep(6 * time.Second)
						}
						return s.Connect(ctx)
					},
					Refused: func(err error) pool.Refusal {
						if errors.Is(err, errKey) {
							return pool.HostKeyRefused
						}
						return pool.TryAgain
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Abort()
				if err := p.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
				if err != nil {
					t.Fatal(err)
				}
				s.Script(func(r remotetest.Request) remotetest.Fate {
					if r.Type == "READ" {
						time.Sleep(50 * time.Millisecond)
					}
					return remotetest.Answer
				})
				go readMuch(t, f)
				if want == 4 {
					time.Sleep(2 * time.Second)
					s.CutAll()
				}
				time.Sleep(20 * time.Second)
				st := p.Status()
				if n := dials.Load(); st.State != pool.StateDisabled || st.Connections != 0 || n != want || !errors.Is(st.LastError, errKey) {
					t.Errorf("%v for %v, %d connections, %d dials", st.State, st.LastError, st.Connections, n)
				}
				p.Enable()
				time.Sleep(10 * time.Second)
				if got := p.Status().State; got != pool.StateConnected {
					t.Errorf("%v afterwards", got)
				}
			})
		})
	}
}
