package pool

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// slots makes the cap on connections hold over all our processes: a connection
// holds the lock of one of max files, and the kernel gives the lock back when
// the process dies.
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
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("connection slots: %w", err)
	}
	for i := range s.max {
		f, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("slot-%02d", i)), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("connection slots: %w", err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, nil
}
