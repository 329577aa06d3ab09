package serve

import (
	"log/slog"
	"sync"
	"time"
)

// seldomEvery is the least time between two lines of a seldom.
const seldomEvery = 10 * time.Second

// seldom writes of what clients can make happen at any rate, without a flood of
// lines.
type seldom struct {
	mu     sync.Mutex
	last   time.Time // guarded by mu
	untold int       // guarded by mu
}

func (s *seldom) tell(log *slog.Logger, message string, args ...any) {
	s.mu.Lock()
	if time.Since(s.last) < seldomEvery {
		s.untold++
		s.mu.Unlock()
		return
	}
	untold := s.untold
	s.last, s.untold = time.Now(), 0
	s.mu.Unlock()
	log.Warn(message, append(args, "not told before", untold)...)
}
