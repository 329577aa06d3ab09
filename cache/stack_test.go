package cache

import (
	"context"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// What ships is a cache around a pool: the contract holds for the two together, on a
// server that keeps order and on one of which none is known.
func TestContractOnPool(t *testing.T) {
	for name, identification := range map[string]string{"ordered": "SSH-2.0-OpenSSH_9.2p1", "foreign": "SSH-2.0-Other_1.0"} {
		t.Run(name, func(t *testing.T) {
			remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
				s := remotetest.NewServer(t, t.TempDir())
				s.Identification = identification
				return remotetest.Fixture{
					Remote: stack(t, s), Path: s.Root, Capabilities: remotetest.OpenSSH(),
					Stall: func() func() {
						s.Stall(true)
						return func() { s.Stall(false) }
					},
				}
			})
		})
	}
}

func TestClocksOnPool(t *testing.T) {
	remotetest.RunClocks(t, func(t testing.TB, s *remotetest.Server) remote.Remote { return stack(t, s) })
}

// stack is a cache around a pool on the scripted server.
func stack(t testing.TB, s *remotetest.Server) *Cache {
	t.Helper()
	p, err := pool.New(pool.Config{
		Transport: func(ctx context.Context) (pool.Conn, error) { return s.Connect(ctx) },
		Timeout:   20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Abort)
	if err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := New(p, Config{AttrTimeout: 5 * time.Second})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}
