package link

import (
	"sync"
	"sync/atomic"
	"time"
)

// A lane is one direction of the link, shared by all connections.
type lane struct {
	bytes atomic.Int64

	mu   sync.Mutex
	rate int64     // bytes a second, 0: no limit; guarded by mu
	free time.Time // when all that was taken has left; guarded by mu
}

// queueTime bounds what waits in front of a limited rate, as the buffers of a
// router do; without it a client would believe everything sent.
const queueTime = 50 * time.Millisecond

// maxQueued bounds what a connection has under way where no rate does.
const maxQueued = 256 << 20

func (l *lane) setRate(rate int64) {
	l.mu.Lock()
	l.rate, l.free = rate, time.Time{}
	l.mu.Unlock()
}

// send takes n bytes at the time now and says when they have left.
func (l *lane) send(n int, now time.Time) time.Time {
	l.bytes.Add(int64(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return now
	}
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return l.free
}

// piece is how much to read at once: little on a slow link, so that
// connections share it.
func (l *lane) piece() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return bufferSize
	}
	return int(min(max(l.rate/200, 512), bufferSize))
}

// room is how many bytes may wait in a connection's queue.
func (l *lane) room(delay time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return maxQueued
	}
	return max(int(float64(l.rate)*(delay+queueTime).Seconds()), 4096)
}

func (l *lane) total() int64 { return l.bytes.Load() }
