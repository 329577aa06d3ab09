package pool_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// With FlagInOrder nothing is written far behind a WRITE that is not answered, however
// many sessions go on.
func TestInOrderStaysNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = 20 * time.Millisecond
		var mu sync.Mutex
		used := map[int]int{}
		stuck, furthest := int64(-1), int64(0)
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type != "WRITE" {
				return remotetest.Answer
			}
			mu.Lock()
			defer mu.Unlock()
			used[r.Session]++
			if stuck < 0 && len(used) >= 3 {
				stuck = r.Offset
				return remotetest.Swallow
			}
			furthest = max(furthest, r.Offset+int64(r.Length))
			return remotetest.Answer
		})
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive|remote.FlagInOrder, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		writing, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 2<<20)
			for off := int64(0); off < 160<<20; off += int64(len(b)) {
				if _, err := f.WriteAt(writing, b, off); err != nil {
					return // given up
				}
			}
		}()
		time.Sleep(20 * time.Second) // nothing is given up before 30 s
		mu.Lock()
		if stuck < 0 || furthest-stuck > 16<<20 {
			t.Errorf("%d MiB were written behind a hole", (furthest-stuck)>>20)
		}
		mu.Unlock()
		stop() // the user ends it
		<-done
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = f.Close(ctx)
	})
}
