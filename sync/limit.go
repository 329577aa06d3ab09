package sync

import (
	"context"
	"sync"
	"time"
)

// A limiter spaces transfers so that they keep to a rate, over all copies
// together. The zero rate limits nothing.
type limiter struct {
	rate int64 // bytes a second

	mu   sync.Mutex
	free time.Time // when the bytes granted so far are paid; guarded by mu
}

// wait returns when n more bytes may be moved.
func (l *limiter) wait(ctx context.Context, n int64) error {
	if l.rate <= 0 {
		return nil
	}
	return sleep(ctx, l.grant(n))
}

// grant is how long it takes until n more bytes are paid for, those granted before
// included. Nothing is free, not the first either.
func (l *limiter) grant(n int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return l.free.Sub(now)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
