package pool

import (
	"context"
	"sync"
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

// narrow is a link on which what was asked for comes one after the other.
type narrow struct {
	Conn
	rate int // bytes a second
	rtt  time.Duration

	mu   sync.Mutex
	free time.Time // guarded by mu
}

func (l *narrow) carry(n int) {
	l.mu.Lock()
	l.free = time.Now().Add(l.waits()).Add(time.Duration(n) * time.Second / time.Duration(l.rate))
	due := l.free.Add(l.rtt)
	l.mu.Unlock()
	time.Sleep(time.Until(due))
}

// waits is what is in front of whoever asks now; mu is held.
func (l *narrow) waits() time.Duration { return max(0, time.Until(l.free)) }

func (l *narrow) Ping(context.Context) error {
	l.carry(64)
	return nil
}

// Whoever asks for something small beside a transfer on a slow or long link does not wait
// for long, also while it is being found out how much that carries.
func TestDepthLeavesRoom(t *testing.T) {
	for _, c := range []struct {
		rtt  time.Duration
		rate int
		most time.Duration
	}{
		{20 * time.Millisecond, 1e6, 750 * time.Millisecond},
		{100 * time.Millisecond, 1e6, 600 * time.Millisecond},
		{200 * time.Millisecond, 5e6, 650 * time.Millisecond},
		{100 * time.Millisecond, 12e6, 450 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			life, end := context.WithCancel(t.Context())
			defer end()
			l := &narrow{rate: c.rate, rtt: c.rtt}
			on := &conn{pool: &Pool{cfg: Config{Timeout: 30 * time.Second}, life: life}, conn: l}
			on.rtt.Store(int64(c.rtt))
			var d depth
			d.init()
			var asks sync.WaitGroup
			var worst time.Duration
			for stop := time.Now().Add(30 * time.Second); time.Now().Before(stop); time.Sleep(time.Millisecond) {
				for d.hasRoom() {
					const n = 64 << 10
					d.flying.Add(n)
					left := time.Now()
					asks.Go(func() {
						l.carry(n)
						d.flying.Add(-n)
						d.took(on, n, left, true)
					})
				}
				l.mu.Lock()
				worst = max(worst, l.waits())
				l.mu.Unlock()
			}
			asks.Wait()
			on.pool.tasks.Wait()
			if worst > c.most {
				t.Errorf("%v, %d bytes a second: %v at worst, want %v", c.rtt, c.rate, worst, c.most)
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
