package cache

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A read that joins what a read has begun whose program was killed is not told that
// that one's File was closed.
func TestReadJoinsAbandonedFetch(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		b.disk(t, "f", string(noise(100)))
		killed, other := b.open(t, "f", remote.FlagRead), b.open(t, "f", remote.FlagRead)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := killed.ReadAt(ctx, make([]byte, 100), 0)
			done <- err
		}()
		time.Sleep(time.Millisecond)
		cancel()
		t.Log(<-done)
		go func() {
			_, err := other.ReadAt(t.Context(), make([]byte, 100), 0)
			done <- err
		}()
		time.Sleep(time.Millisecond)
		check(t, killed.Close(t.Context()))
		if err := <-done; err != nil {
			t.Errorf("the other program's read: %v", err)
		}
		check(t, other.Close(t.Context()))
	})
}

// A look on which something will be replaced or removed is answered by the remote.
func TestFreshLooksAskTheRemote(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "f", "x")
	b.list(t, ".")
	b.disk(t, "f", "longer")
	look := map[string]func(context.Context, string) (remote.Attr, error){"lstat": b.Lstat, "stat": b.Stat}
	for name, look := range look {
		if a, err := look(remote.Fresh(t.Context()), "f"); err != nil || a.Size != 6 {
			t.Errorf("%s: %d bytes, %v", name, a.Size, err)
		}
	}
	for _, to := range []string{"first", "other"} {
		at := filepath.Join(b.root, "l")
		_ = os.Remove(at)
		check(t, os.Symlink(to, at))
		if got, err := b.ReadLink(remote.Fresh(t.Context()), "l"); err != nil || got != to {
			t.Errorf("the link leads to %q, %v", got, err)
		}
		if _, err := b.ReadLink(t.Context(), "l"); err != nil { // and held from now on
			t.Error(err)
		}
	}
}
