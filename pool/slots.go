package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// slots makes the cap on connections hold over all our processes: a connection
// holds the lock of one of max files, and the kernel gives the lock back when
// the process dies. Who has no connection at all, and finds every slot taken, shares
// the lock of one more file, until there is a slot: whoever has a connection to spare
// sees that, and gives it up.
type slots struct {
	dir string
	max int

	mu   sync.Mutex
	used int // guarded by mu; counts when dir is ""
}

// take returns nil when every slot is taken.
func (s *slots) take() (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.max {
		return nil, nil
	}
	var lock *os.File
	if s.dir != "" {
		if lock, err = s.lock(); lock == nil {
			return nil, err
		}
	}
	s.used++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.used--
		if lock != nil {
			_ = lock.Close()
		}
	}), nil
}

func (s *slots) lock() (*os.File, error) {
	for i := range s.max {
		f, err := s.try(fmt.Sprintf("slot-%02d", i), syscall.LOCK_EX)
		if f != nil || err != nil {
			return f, err
		}
	}
	return nil, nil
}

// try locks a file, and gives nil when somebody else has locked it.
func (s *slots) try(name string, how int) (*os.File, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("connection slots: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("connection slots: %w", err)
	}
	if syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) == nil {
		return f, nil
	}
	_ = f.Close()
	return nil, nil
}

const (
	wanted     = "wanted"
	wantedFor  = 3 * time.Second // a slot is waited for
	wantedPoll = 50 * time.Millisecond
)

// want is take for a process that has no connection: it waits for one that somebody
// else can spare.
func (s *slots) want(ctx context.Context) (release func(), err error) {
	release, err = s.take()
	if release != nil || err != nil || s.dir == "" {
		return release, err
	}
	sign, err := s.try(wanted, syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer func() {
		if sign != nil { // else somebody has looked at each moment, and will look again
			_ = sign.Close()
		}
	}()
	for end := time.Now().Add(wantedFor); time.Now().Before(end); {
		if err := sleep(ctx, wantedPoll); err != nil {
			return nil, err
		}
		if sign == nil {
			if sign, err = s.try(wanted, syscall.LOCK_SH); err != nil {
				return nil, err
			}
		}
		if release, err = s.take(); release != nil || err != nil {
			return release, err
		}
	}
	return nil, nil
}

// isWanted reports whether a process without a connection waits for a slot.
func (s *slots) isWanted() bool {
	if s.dir == "" {
		return false
	}
	f, err := s.try(wanted, syscall.LOCK_EX)
	if f != nil {
		_ = f.Close()
	}
	return f == nil && err == nil
}
