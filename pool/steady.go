package pool

import (
	"context"
	"time"
)

const (
	// steadyShare is how much of a file one handle is worth opening for.
	steadyShare = 8 << 20
	// gatherTime bounds the wait for sessions to open them on.
	gatherTime = 500 * time.Millisecond
	gatherLook = 10 * time.Millisecond
)

// openAll opens the handles by which a large file will be read, as far as sessions can
// be had soon, and keeps it to those.
func (f *file) openAll(ctx context.Context, size int64) {
	f.mu.Lock()
	f.gathering = min(int(size/steadyShare), maxStripes-1)
	f.mu.Unlock()
	for end := time.Now().Add(gatherTime); f.gathers() && time.Now().Before(end) && ctx.Err() == nil; {
		f.spread(spreadAt)
		if sleep(ctx, gatherLook) != nil {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gathering, f.steady = 0, true
}

// gathers reports that handles are still wanted, or being opened.
func (f *file) gathers() bool {
	if f.moreHandles(spreadAt) > 0 {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.spreading) > 0
}
