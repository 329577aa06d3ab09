package pool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// pinged is a connection on which a ping takes so long.
type pinged struct {
	Conn
	took time.Duration
}

func (p pinged) Ping(ctx context.Context) error { return sleep(ctx, p.took) }

// What is under way grows in a few round trips to what a long link carries, and not so
// fast where answers show that there is not much more to be had.
func TestDepthGrows(t *testing.T) {
	for took, want := range map[time.Duration]int64{
		25 * time.Millisecond: 8 << 20,
		45 * time.Millisecond: 2 << 20,
	} {
		synctest.Test(t, func(t *testing.T) {
			on := &conn{}
			on.rtt.Store(int64(20 * time.Millisecond))
			var d depth
			d.init()
			for range 2 {
				left := time.Now()
				time.Sleep(took)
				for n := d.most.Load(); n > 0; n -= 64 << 10 {
					d.took(on, 64<<10, left, true)
				}
			}
			if got := d.most.Load(); got != want {
				t.Errorf("%v: %d KiB after two round trips, want %d", took, got>>10, want>>10)
			}
		})
	}
}

func TestDepthFollowsTheLink(t *testing.T) {
	for _, c := range []struct {
		name         string
		answer, ping time.Duration
		rtt          time.Duration
		waits        bool
		least, most  int64
	}{
		{"a fast link", 5 * time.Millisecond, time.Millisecond, time.Millisecond, true, 4 << 20, 6 << 20},
		{"a long link", 100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, true, 16 << 20, mostDepth},
		{"a very long link", 700 * time.Millisecond, 600 * time.Millisecond, 600 * time.Millisecond, true, 16 << 20, mostDepth},
		{"nothing waits", 100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, false, firstDepth, firstDepth},
		{"a slow link", 3 * time.Second, 3 * time.Second, time.Millisecond, true, leastDepth, leastDepth},
		{"a link with something on it", 400 * time.Millisecond, 400 * time.Millisecond, time.Millisecond, true, firstDepth, firstDepth},
		{"a slow server", 3 * time.Second, time.Millisecond, time.Millisecond, true, 16 << 20, mostDepth},
		{"a tape", time.Minute, time.Millisecond, time.Millisecond, true, 16 << 20, mostDepth},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &Pool{cfg: Config{Timeout: 30 * time.Second}}
				life, end := context.WithCancel(t.Context())
				defer end()
				p.life = life
				on := &conn{pool: p, conn: pinged{took: c.ping}}
				on.rtt.Store(int64(c.rtt))
				var d depth
				d.init()
				for range 200 {
					left := time.Now()
					time.Sleep(c.answer)
					d.took(on, 256<<10, left, c.waits)
					synctest.Wait()
					time.Sleep(c.ping)
				}
				if got := d.most.Load(); got < c.least || got > c.most {
					t.Errorf("%d KiB may be under way, want %d to %d", got>>10, c.least>>10, c.most>>10)
				}
			})
		})
	}
}
