package pool

import (
	"context"
	"sync"
	"time"
)

// logins bounds how often a server is logged in to: each connection that failed, or
// lived less than shortConn, takes a second out of a bucket that holds max of them and
// fills up with the time. A server that ends each connection at once, or a request that
// kills it, so leads to a login a second, and not to as many as the machine can make.
type logins struct {
	max time.Duration

	mu   sync.Mutex
	full time.Time // guarded by mu: when the bucket is full again
}

const (
	loginCost = time.Second
	shortConn = time.Minute
)

// lived notes that a connection made at that time has ended; zero means that it failed.
func (l *logins) lived(since time.Time) {
	now := time.Now()
	if now.Sub(since) >= shortConn && !since.IsZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full.Before(now) {
		l.full = now
	}
	l.full = l.full.Add(loginCost) // also beyond what the bucket held: several can be under way
}

// left is what is in the bucket.
func (l *logins) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.max - max(0, time.Until(l.full))
}

// spare reports whether there is enough for connections that could be done without.
func (l *logins) spare() bool { return l.left() > l.max/2 }

// wait returns when there is a login in the bucket.
func (l *logins) wait(ctx context.Context) error {
	for {
		missing := loginCost - l.left()
		if missing <= 0 {
			return nil
		}
		if err := sleep(ctx, missing); err != nil {
			return err
		}
	}
}
