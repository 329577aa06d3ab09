package cache

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// The cache keeps the contract of what it wraps, with and without a memory.
func TestContract(t *testing.T) {
	for name, life := range map[string]time.Duration{"off": 0, "on": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			remotetest.Run(t, func(t testing.TB) remotetest.Fixture { return fixture(t, life) })
		})
	}
}

func fixture(t testing.TB, life time.Duration) remotetest.Fixture {
	var stall gate
	b := newBench(t, Config{AttrTimeout: life}, func(d *remotetest.Dir) { d.Before = stall.pass })
	able := remotetest.OpenSSH()
	return remotetest.Fixture{Remote: b.Cache, Path: b.root, Stall: stall.close, Capabilities: able}
}

// A gate holds calls up while it is closed.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // nil while nothing is held up
}

func (g *gate) close() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		close(g.open)
		g.open = nil
	})
}

func (g *gate) pass(ctx context.Context, _, _ string) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open == nil {
		return nil
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
