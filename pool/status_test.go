package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// asking is a log that looks at the Pool for each line: one that is called while the
// Pool's lock is held waits for ever.
type asking struct {
	t     *testing.T
	pool  *atomic.Pointer[pool.Pool]
	lines *atomic.Int64
}

func (a asking) Enabled(context.Context, slog.Level) bool { return true }
func (a asking) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a asking) WithGroup(string) slog.Handler            { return a }
func (a asking) Handle(_ context.Context, r slog.Record) error {
	p := a.pool.Load()
	if p == nil {
		return nil
	}
	a.lines.Add(1)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		p.Status()
	}()
	select {
	case <-asked:
	case <-time.After(time.Hour):
		a.t.Errorf("%q is logged under the Pool's lock", r.Message)
	}
	return nil
}

func TestNothingIsLoggedUnderTheLock(t *testing.T) {
	refused := errors.New("refused")
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.MaxSessions = 1
		var seen atomic.Pointer[pool.Pool]
		var lines atomic.Int64
		p := connected(t, s, pool.Config{
			Log: slog.New(asking{t, &seen, &lines}),
			Refused: func(err error) pool.Refusal {
				if errors.Is(err, refused) {
					return pool.AuthRefused
				}
				return pool.TryAgain
			},
		})
		seen.Store(p)
		if f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644); err == nil {
			_ = f.Close(t.Context()) // it asks for a second session, in vain
		}
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		_, _ = p.Lstat(t.Context(), "x")
		time.Sleep(time.Minute)
		s.Refuse(refused)
		time.Sleep(time.Minute)
		if st := p.Status(); st.State != pool.StateDisabled || lines.Load() < 4 {
			t.Errorf("%d lines, state %v: this shows nothing", lines.Load(), st.State)
		}
	})
}

func TestRequestsOnlyRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{})
		last := uint64(0)
		for range 5 {
			for range 10 {
				if _, err := p.Lstat(t.Context(), "."); err != nil {
					t.Fatal(err)
				}
			}
			now := p.Status().Requests
			if now < last+10 {
				t.Errorf("%d requests, and %d before ten more", now, last)
			}
			s.CutAll()
			synctest.Wait()
			if last = p.Status().Requests; last < now {
				t.Errorf("%d requests after a cut, %d before", last, now)
			}
		}
	})
}

// In real time: hundreds of timers at one moment of a synctest bubble crash the race
// detector of Go 1.26.
func TestLossesAreCountedBeyondThoseListed(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	p := connected(t, s, pool.Config{Retry: 2 * time.Second})
	const files = 130
	var open [files]remote.File
	for i := range open {
		f, _, err := p.Open(t.Context(), fmt.Sprintf("f%d", i), remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		open[i] = f
	}
	s.Stall(true)
	for _, f := range open {
		if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.Refuse(syscall.ECONNREFUSED)
	s.CutAll()
	s.Stall(false)
	for end := time.Now().Add(time.Minute); p.Status().LostCount < files && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	if st := p.Status(); st.LostCount != files || len(st.Lost) != 100 {
		t.Errorf("%d losses counted and %d listed, of %d", st.LostCount, len(st.Lost), files)
	}
}
