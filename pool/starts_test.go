package pool_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

func reader(t *testing.T, p *pool.Pool, path string) remote.File {
	t.Helper()
	f, _, err := p.Open(t.Context(), path, remote.FlagRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// readFor reads a file's first bytes again and again, for so long.
func readFor(t *testing.T, f remote.File, n int, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		if _, err := f.ReadAt(t.Context(), make([]byte, n), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// On a short link another session is had after as much work as pays for it, and that is
// more where a server runs a shell first. On a long one it pays at any price.
func TestSessionsAreHadForWhatTheyCost(t *testing.T) {
	const short, long = 5 * time.Millisecond, 20 * time.Millisecond
	for name, c := range map[string]struct {
		latency, start, work time.Duration
		least, most          int
	}{
		"a moment":                 {short, 0, 150 * time.Millisecond, 2, 2},
		"a while":                  {short, 0, time.Second, 4, 6},
		"a moment, with a shell":   {short, 100 * time.Millisecond, 300 * time.Millisecond, 2, 2},
		"a while, with a shell":    {short, 100 * time.Millisecond, 1500 * time.Millisecond, 4, 5},
		"a moment on a long link":  {long, 0, 300 * time.Millisecond, 4, 100},
		"the same, with the shell": {long, 100 * time.Millisecond, 400 * time.Millisecond, 4, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Latency, s.Start = c.latency, c.start
				put(t, s, "f", string(make([]byte, 2<<20)))
				p := connected(t, s, pool.Config{})
				for range 2 { // what was before a pause does not count
					f := reader(t, p, "f")
					if err := f.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
				}
				f := reader(t, p, "f")
				readFor(t, f, 2<<20, c.work)
				if n := p.Status().Sessions; n < c.least || n > c.most {
					t.Errorf("%d sessions, want %d to %d", n, c.least, c.most)
				}
			})
		})
	}
}

// A connection takes a dozen round trips, a session some four: on a long link a file of
// some megabytes is read before there is another connection.
func TestLongLinkIsFilledBeforeThereAreMoreConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = 100 * time.Millisecond
		const size = 32 << 20
		put(t, s, "f", string(make([]byte, size)))
		p := connected(t, s, pool.Config{})
		f := reader(t, p, "f")
		began := time.Now()
		const piece = 512 << 10
		var next atomic.Int64
		var readers sync.WaitGroup
		for range 32 {
			readers.Go(func() {
				for off := next.Add(piece) - piece; off < size; off = next.Add(piece) - piece {
					if n, err := f.ReadAt(t.Context(), make([]byte, piece), off); n != piece || err != nil {
						t.Errorf("%d bytes at %d, %v", n, off, err)
					}
				}
			})
		}
		readers.Wait()
		if turns := int(time.Since(began) / s.Latency); turns > 8 {
			t.Errorf("%d round trips", turns)
		}
	})
}

// What is opened in the first moments on a short link shares the session of looks; what is
// opened later does not.
func TestFilesHaveASessionOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = time.Millisecond
		put(t, s, "a", "x")
		put(t, s, "b", "x")
		p := connected(t, s, pool.Config{})
		reader(t, p, "a")
		time.Sleep(time.Second)
		if n := p.Status().Sessions; n != 1 {
			t.Errorf("%d sessions in the first second", n)
		}
		time.Sleep(2 * time.Second)
		reader(t, p, "a")
		time.Sleep(time.Second)
		f := reader(t, p, "b")
		held := s.Next("READ", "b", remotetest.Hold)
		read := make(chan error)
		go func() {
			_, err := f.ReadAt(t.Context(), make([]byte, 1), 0)
			read <- err
		}()
		<-held.Sprung()
		began := time.Now()
		if _, err := p.Lstat(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("a look beside a READ that waits took %v", took)
		}
		held.Release()
		if err := <-read; err != nil {
			t.Error(err)
		}
	})
}

// Where a connection has one session in any case, opening files leaves reading its turn
// to have another connection.
func TestOpensTakeNoTurnsOfReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = time.Millisecond
		put(t, s, "f", string(make([]byte, 4<<20)))
		put(t, s, "small", "x")
		p := connected(t, s, pool.Config{Sessions: 1})
		f := reader(t, p, "f")
		began := time.Now()
		soon := began.Add(time.Second)
		var opens sync.WaitGroup
		for range 4 {
			opens.Go(func() {
				for time.Now().Before(soon) {
					g, _, err := p.Open(t.Context(), "small", remote.FlagRead, 0)
					if err == nil {
						err = g.Close(t.Context())
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		for time.Now().Before(soon) && p.Status().Connections < 2 {
			if _, err := f.ReadAt(t.Context(), make([]byte, 3<<20), 0); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.Status().Connections; n < 2 {
			t.Errorf("%d connection after %v", n, time.Since(began))
		}
		opens.Wait()
	})
}

// Sessions that are there carry data at once.
func TestFreeSessionsNeedNoStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = 5 * time.Millisecond
		put(t, s, "f", string(make([]byte, 8<<20)))
		p := connected(t, s, pool.Config{MaxConnections: 1})
		carry := func(d time.Duration) int {
			f := reader(t, p, "f")
			s.Forget()
			readFor(t, f, 8<<20, d)
			if err := f.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			used := map[int]bool{}
			for _, r := range s.Requests() {
				used[r.Session] = used[r.Session] || r.Type == "READ"
			}
			return len(used)
		}
		carry(1500 * time.Millisecond)
		time.Sleep(3 * time.Second)
		if n := carry(150 * time.Millisecond); n < 3 {
			t.Errorf("%d of %d sessions carry data", n, p.Status().Sessions)
		}
	})
}

// Who will read a whole file waits for the sessions to do it on, and has them.
func TestSteadyFileHasItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = time.Millisecond
		put(t, s, "f", string(make([]byte, 24<<20)))
		p := connected(t, s, pool.Config{})
		began := time.Now()
		if _, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagSteady, 0); err != nil {
			t.Fatal(err)
		}
		if took, n := time.Since(began), p.Status().Sessions; took > 100*time.Millisecond || n < 4 {
			t.Errorf("%v, and %d sessions", took, n)
		}
	})
}

// While others' data takes all of the memory, a file has what it writes under way at once:
// it may write more only when that was acknowledged.
func TestSmallWritesBesideFullMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Latency = time.Millisecond
		put(t, s, "f", "x")
		p := connected(t, s, pool.Config{WriteMemory: 1})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := range int64(50) {
			if _, err := f.WriteAt(t.Context(), make([]byte, 4096), i*4096); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("50 writes took %v", took)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
