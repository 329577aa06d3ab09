package pool_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// scripted gives a Pool on a scripted server.
func scripted(t testing.TB, s *remotetest.Server, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.Transport = func(ctx context.Context) (pool.Conn, error) {
		c, err := s.Connect(ctx)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	p, err := pool.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Abort)
	return p
}

func connected(t testing.TB, s *remotetest.Server, cfg pool.Config) *pool.Pool {
	t.Helper()
	p := scripted(t, s, cfg)
	if err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCallsWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		start := time.Now()
		_, err := p.Lstat(t.Context(), "unseen")
		if took := time.Since(start); !errors.Is(err, syscall.ETIMEDOUT) || took < 30*time.Second || took > 45*time.Second {
			t.Errorf("a look at a remote that just went away: %v after %v", err, took)
		}
		time.Sleep(20 * time.Second)
		start = time.Now()
		_, err = p.Lstat(t.Context(), "unseen")
		if took := time.Since(start); !errors.Is(err, syscall.ETIMEDOUT) || took > time.Second {
			t.Errorf("a look at a remote known to be away: %v after %v", err, took)
		}
		if st := p.Status(); st.State != pool.StateAway || st.LastError == nil {
			t.Errorf("status says %v, %v", st.State, st.LastError)
		}
		s.Refuse(nil)
		time.Sleep(20 * time.Second)
		if _, err := p.Lstat(t.Context(), "."); err != nil {
			t.Errorf("after it came back: %v", err)
		}
	})
}

// TestAwaySizeWithTimes pins that a file ends where what was written to it ends, also
// when all of that is acknowledged and only times wait to be set.
func TestAwaySizeWithTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if _, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetMtime, Mtime: 1}); err != nil {
			t.Fatal(err)
		}
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		synctest.Wait()
		if a, err := p.Lstat(t.Context(), "f"); err != nil || a.Size != 4 || a.Mtime != 1 {
			t.Errorf("%+v, %v", a, err)
		}
		s.Refuse(nil)
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestDialsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{})
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		go func() { _, _ = p.Lstat(t.Context(), "x") }()
		time.Sleep(10 * time.Minute)
		_, _, dials := s.Connections()
		if dials < 20 || dials > 120 {
			t.Errorf("%d dials in ten minutes of absence", dials)
		}
	})
}

func TestRefusalEndsDialling(t *testing.T) {
	for _, refusal := range []pool.Refusal{pool.AuthRefused, pool.HostKeyRefused} {
		synctest.Test(t, func(t *testing.T) {
			refused := errors.New("refused")
			s := remotetest.NewServer(t, t.TempDir())
			p := connected(t, s, pool.Config{Refused: func(err error) pool.Refusal {
				if errors.Is(err, refused) {
					return refusal
				}
				return pool.TryAgain
			}})
			s.Refuse(refused)
			s.CutAll()
			if _, err := p.Lstat(t.Context(), "x"); !errors.Is(err, syscall.EACCES) {
				t.Errorf("a look at a disabled remote: %v", err)
			}
			_, _, before := s.Connections()
			time.Sleep(time.Hour)
			s.Refuse(nil)
			if _, err := p.Lstat(t.Context(), "."); !errors.Is(err, syscall.EACCES) {
				t.Errorf("when the refusal is over, without leave: %v", err)
			}
			if _, _, after := s.Connections(); after != before {
				t.Errorf("%d dials after the refusal", after-before)
			}
			p.Enable()
			if _, err := p.Lstat(t.Context(), "."); err != nil {
				t.Errorf("after leave was given: %v", err)
			}
		})
	}
}

func TestStallIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		time.Sleep(5 * time.Minute) // idle; pings keep it
		s.Stall(true)
		start := time.Now()
		_, err := p.Lstat(t.Context(), "unseen")
		if took := time.Since(start); !errors.Is(err, syscall.ETIMEDOUT) || took < 25*time.Second || took > time.Minute {
			t.Errorf("a look on a stalled link: %v after %v", err, took)
		}
		s.Stall(false)
		time.Sleep(20 * time.Second)
		if _, err := p.Lstat(t.Context(), "."); err != nil {
			t.Errorf("after the stall: %v", err)
		}
	})
}

func TestSlowAnswerIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		if err := os.WriteFile(filepath.Join(s.Root, "tape"), []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, _, err := p.Open(t.Context(), "tape", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		trap := s.Next("READ", "", remotetest.Hold)
		time.AfterFunc(10*time.Minute, trap.Release)
		start := time.Now()
		if _, err := f.ReadAt(t.Context(), make([]byte, 4), 0); err != nil || time.Since(start) < 10*time.Minute {
			t.Errorf("an answer that took ten minutes: %v after %v", err, time.Since(start))
		}
	})
}

func TestDataWaitsLongerThanLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := remotetest.NewServer(t, dir)
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second, Retry: 10 * time.Minute})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		want := bytes.Repeat([]byte("data "), 200_000)
		if _, err := f.WriteAt(t.Context(), want, 0); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Minute, func() { s.Refuse(nil) })
		if _, err := f.Flush(t.Context()); err != nil {
			t.Errorf("flush across five minutes of absence: %v", err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "f")); !bytes.Equal(got, want) {
			t.Errorf("%d bytes on the server, want %d", len(got), len(want))
		}
	})
}

func TestDataLostIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second, Retry: 10 * time.Minute})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		if _, err := f.WriteAt(t.Context(), make([]byte, 1000), 0); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := f.Flush(t.Context()); !errors.Is(err, syscall.EIO) || time.Since(start) < 9*time.Minute {
			t.Errorf("flush of what cannot be kept: %v after %v", err, time.Since(start))
		}
		lost := p.Status().Lost
		if len(lost) != 1 || lost[0].Path != "f" || lost[0].Bytes != 1000 {
			t.Errorf("status says of the loss: %+v", lost)
		}
		if _, err := f.Flush(t.Context()); errors.Is(err, syscall.EIO) {
			t.Error("the same loss was returned twice")
		}
	})
}

// TestHundredCutsLeakNothing also counts goroutines.
func TestHundredCutsLeakNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, dir)
		p := connected(t, s, pool.Config{})
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 3<<20)
		round := func() {
			if n, err := f.ReadAt(t.Context(), buf, 0); n != len(buf) || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
			s.CutAll()
		}
		for range 3 {
			round()
		}
		time.Sleep(time.Minute)
		before := runtime.NumGoroutine()
		for range 100 {
			round()
		}
		time.Sleep(time.Minute)
		if now := runtime.NumGoroutine(); now > before+30 {
			t.Fatalf("%d goroutines, %d before a hundred cuts", now, before)
		}
	})
}

func TestCapHoldsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 8<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := remotetest.NewServer(t, dir)
	s.Latency = 10 * time.Millisecond
	p := connected(t, s, pool.Config{MaxConnections: 3})
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() {
			f, a, err := p.Open(t.Context(), name, remote.FlagRead, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				if n, err := f.ReadAt(t.Context(), make([]byte, a.Size), 0); n != int(a.Size) || err != nil {
					t.Errorf("%s: %d, %v", name, n, err)
				}
			}
			if err := f.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, most, _ := s.Connections(); most > 3 || most < 2 {
		t.Errorf("%d connections at one time, want more than one and no more than 3", most)
	}
}

// A login that is refused once must not cost data: it waits as while away, and
// Reconnect brings it out.
func TestDataWaitsForALoginThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		dir := t.TempDir()
		s := remotetest.NewServer(t, dir)
		p := connected(t, s, pool.Config{Retry: 10 * time.Minute, Refused: func(err error) pool.Refusal {
			if errors.Is(err, refused) {
				return pool.AuthRefused
			}
			return pool.TryAgain
		}})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		s.Refuse(refused)
		s.CutAll()
		if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- f.Close(t.Context()) }()
		time.Sleep(5 * time.Minute)
		_, _, before := s.Connections()
		if err := p.Reconnect(t.Context()); !errors.Is(err, refused) {
			t.Errorf("reconnecting while logins are refused: %v", err)
		}
		time.Sleep(time.Minute)
		if _, _, now := s.Connections(); now != before+1 || p.Status().State != pool.StateDisabled {
			t.Errorf("%d logins for one reconnect, state %v", now-before, p.Status().State)
		}
		s.Refuse(nil)
		if err := p.Reconnect(t.Context()); err != nil {
			t.Errorf("reconnecting: %v", err)
		}
		if err := p.Reconnect(t.Context()); err != nil {
			t.Errorf("reconnecting what is connected: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "f")); string(got) != "data" {
			t.Errorf("%q is on the server", got)
		}
	})
}
