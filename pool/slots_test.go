package pool_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A mount without a connection gets one that another has to spare, but not its last.
func TestSpareConnectionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, slots := remotetest.NewServer(t, t.TempDir()), t.TempDir()
		cfg := pool.Config{SlotDir: slots, MaxConnections: 2}
		rich := connected(t, s, cfg)
		if _, err := rich.Lstat(remote.Background(t.Context()), "."); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := rich.Status().Connections; n != 2 {
			t.Fatalf("%d connections: there is nothing to spare", n)
		}
		lasts(t, "connecting with every slot taken", 0, 1500*time.Millisecond, nil, func() error {
			return scripted(t, s, cfg).Connect(t.Context())
		})
		if n := rich.Status().Connections; n != 1 {
			t.Errorf("%d connections are left to the other, want 1", n)
		}
		lasts(t, "connecting with nothing to spare", time.Second, 5*time.Second, pool.ErrNoSlot, func() error {
			return scripted(t, s, cfg).Connect(t.Context())
		})
		if _, err := rich.Lstat(t.Context(), "."); err != nil {
			t.Errorf("the other afterwards: %v", err)
		}
		if _, most, _ := s.Connections(); most > 2 {
			t.Errorf("%d connections at one time", most)
		}
	})
}

// What is in use is not given up.
func TestBusyConnectionIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, slots := remotetest.NewServer(t, t.TempDir()), t.TempDir()
		cfg := pool.Config{SlotDir: slots, MaxConnections: 2, Timeout: 10 * time.Second}
		busy := connected(t, s, cfg)
		if _, err := busy.Lstat(remote.Background(t.Context()), "."); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		trap := s.Next("LSTAT", "", remotetest.Hold)
		looked := make(chan error, 1)
		go func() {
			_, err := busy.Lstat(remote.Background(t.Context()), ".")
			looked <- err
		}()
		synctest.Wait()
		if err := scripted(t, s, cfg).Connect(t.Context()); !errors.Is(err, pool.ErrNoSlot) {
			t.Errorf("connecting while all are in use: %v", err)
		}
		trap.Release()
		if err := <-looked; err != nil {
			t.Errorf("the look that was under way: %v", err)
		}
		if _, _, dials := s.Connections(); dials != 2 {
			t.Errorf("%d dials", dials)
		}
	})
}
