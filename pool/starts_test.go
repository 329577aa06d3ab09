package pool_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// On a short link another session is had after as much work as pays for it, and that is
// more where a server runs a shell first. On a long one it pays at any price.
func TestSessionsAreHadForWhatTheyCost(t *testing.T) {
	const short, long = 5 * time.Millisecond, 20 * time.Millisecond
	for name, c := range map[string]struct {
		latency, start, work time.Duration
		least, most          int
	}{
		"a moment":                 {short, 0, 150 * time.Millisecond, 1, 1},
		"a while":                  {short, 0, 1500 * time.Millisecond, 3, 8},
		"a moment, with a shell":   {short, 200 * time.Millisecond, 700 * time.Millisecond, 1, 1},
		"a while, with a shell":    {short, 200 * time.Millisecond, 3 * time.Second, 3, 4},
		"a moment on a long link":  {long, 0, 300 * time.Millisecond, 4, 100},
		"the same, with the shell": {long, 200 * time.Millisecond, 500 * time.Millisecond, 4, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Latency, s.Start = c.latency, c.start
				put(t, s, "f", string(make([]byte, 4<<20)))
				p := connected(t, s, pool.Config{})
				for range 2 { // what was before a pause does not count
					f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
					if err != nil {
						t.Fatal(err)
					}
					if err := f.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
				}
				f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
				if err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(c.work); time.Now().Before(end); {
					if _, err := f.ReadAt(t.Context(), make([]byte, 4<<20), 0); err != nil {
						t.Fatal(err)
					}
				}
				if n := p.Status().Sessions; n < c.least || n > c.most {
					t.Errorf("%d sessions, want %d to %d", n, c.least, c.most)
				}
			})
		})
	}
}

// A connection takes a dozen round trips, a session some four: on a long link a file of
// some megabytes is read before there is another connection.
func TestLongLinkIsFilledBeforeThereAreMoreConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = 100 * time.Millisecond
		const size = 32 << 20
		put(t, s, "f", string(make([]byte, size)))
		p := connected(t, s, pool.Config{})
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		const piece = 512 << 10
		var next atomic.Int64
		var readers sync.WaitGroup
		for range 32 {
			readers.Go(func() {
				for off := next.Add(piece) - piece; off < size; off = next.Add(piece) - piece {
					if n, err := f.ReadAt(t.Context(), make([]byte, piece), off); n != piece || err != nil {
						t.Errorf("%d bytes at %d, %v", n, off, err)
					}
				}
			})
		}
		readers.Wait()
		if turns := int(time.Since(began) / s.Latency); turns > 8 {
			t.Errorf("%d round trips", turns)
		}
	})
}
