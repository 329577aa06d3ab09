package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// stuckIn runs test in a bubble, with a server that has a file "f" of four bytes, and
// holds that nothing more than the first login was needed.
func stuckIn(t *testing.T, set func(*remotetest.Server), test func(*testing.T, *remotetest.Server, *pool.Pool)) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		if set != nil {
			set(s)
		}
		if err := os.WriteFile(filepath.Join(s.Root, "f"), []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		test(t, s, p)
		if _, _, dials := s.Connections(); dials != 1 {
			t.Errorf("%d logins, want the first alone", dials)
		}
	})
}

func lasts(t *testing.T, what string, least, most time.Duration, want error, do func() error) {
	t.Helper()
	start := time.Now()
	err := do()
	if took := time.Since(start); !errors.Is(err, want) || took < least || took > most {
		t.Errorf("%s: %v after %v, want %v after %v to %v", what, err, took, want, least, most)
	}
}

// lookAt is an Lstat as a call to time.
func lookAt(ctx context.Context, p *pool.Pool, path string) func() error {
	return func() error { _, err := p.Lstat(ctx, path); return err }
}

func TestStuckSessionIsGoneRound(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		s.Next("LSTAT", "f", remotetest.Swallow)
		done := make(chan struct{})
		go func() {
			defer close(done)
			lasts(t, "the look that is stuck", 30*time.Second, 40*time.Second, nil, lookAt(t.Context(), p, "f"))
		}()
		time.Sleep(1100 * time.Millisecond)
		for range 5 {
			lasts(t, "a look beside it", 0, time.Second, nil, lookAt(t.Context(), p, "."))
		}
		if st := p.Status(); st.State != pool.StateConnected || st.Waiting < time.Second {
			t.Errorf("status: %v, waiting %v", st.State, st.Waiting)
		}
		<-done
		time.Sleep(2 * time.Minute)
		if st := p.Status(); st.Waiting != 0 {
			t.Errorf("waiting %v for an answer that nobody wants", st.Waiting)
		}
	})
}

func TestStuckLookEnds(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Path == "f" {
				return remotetest.Swallow
			}
			return remotetest.Answer
		})
		lasts(t, "a look that is never answered", 60*time.Second, 75*time.Second, syscall.ETIMEDOUT, lookAt(t.Context(), p, "f"))
		lasts(t, "a look beside it", 0, 2*time.Second, nil, lookAt(t.Context(), p, "."))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lasts(t, "a look whose caller gives up", time.Second, time.Second, context.DeadlineExceeded, lookAt(ctx, p, "f"))
	})
}

func TestStuckChangeEndsAndIsNotRepeated(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		s.Next("MKDIR", "", remotetest.Swallow)
		lasts(t, "mkdir without an answer", 60*time.Second, 75*time.Second, syscall.ETIMEDOUT, func() error {
			_, err := p.Mkdir(t.Context(), "dir", 0o755)
			return err
		})
		if n := len(s.Requests()); s.Succeeded("MKDIR", "") != 0 {
			t.Errorf("it was sent again, among %d requests", n)
		}
		lasts(t, "a look afterwards", 0, 2*time.Second, nil, lookAt(t.Context(), p, "f"))
	})
}

// A server that allows one channel in all gets another when that has been stuck for
// the timeout.
func TestStuckOnlySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.MaxSessions = 1
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second, MaxConnections: 1})
		s.Next("LSTAT", "", remotetest.Swallow)
		lasts(t, "the look that is stuck", 30*time.Second, 45*time.Second, nil, lookAt(t.Context(), p, "."))
		if _, _, dials := s.Connections(); dials != 1 {
			t.Errorf("%d logins, want the first alone", dials)
		}
	})
}

func TestStuckListing(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		list := func() error {
			return p.ReadDir(t.Context(), ".", func([]remote.Entry) error {
				time.Sleep(time.Minute) // a slow reader is not a slow server
				return nil
			})
		}
		lasts(t, "a listing that is read slowly", time.Minute, 2*time.Minute, nil, list)
		s.Next("READDIR", "", remotetest.Swallow)
		lasts(t, "a listing that is stuck", 90*time.Second, 100*time.Second, nil, list)
	})
}

func TestHalfAnAnswer(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		read := func() error { _, err := f.ReadAt(t.Context(), make([]byte, 4), 0); return err }
		s.Next("READ", "f", remotetest.Half)
		lasts(t, "a read of which half came", 30*time.Second, 45*time.Second, nil, read)
		s.Next("READ", "f", remotetest.Trickle)
		lasts(t, "a read that comes byte by byte", 10*time.Second, 20*time.Second, nil, read)
	})
}

// A byte a second keeps a session, however long its packet takes.
func TestTrickleIsNoStall(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		if err := os.WriteFile(filepath.Join(s.Root, "f"), make([]byte, 100), 0o644); err != nil {
			t.Fatal(err)
		}
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Next("READ", "f", remotetest.Trickle)
		lasts(t, "a read of 100 bytes, one a second", 100*time.Second, 120*time.Second, nil, func() error {
			_, err := f.ReadAt(t.Context(), make([]byte, 100), 0)
			return err
		})
	})
}

func TestOvertakingAnswerEndsTheBeliefInOrder(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		if !p.Info().Ordered {
			t.Fatal("OpenSSH keeps order")
		}
		s.Next("LSTAT", "f", remotetest.Behind)
		first := make(chan error, 1)
		go func() { first <- lookAt(t.Context(), p, "f")() }()
		synctest.Wait()
		if err := lookAt(t.Context(), p, ".")(); err != nil {
			t.Errorf("the look that overtook: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("the look that was overtaken: %v", err)
		}
		synctest.Wait()
		if p.Info().Ordered {
			t.Error("the server is still taken to keep order")
		}
		s.Forget()
		if _, err := p.Mkdir(t.Context(), "dir", 0o755); err != nil {
			t.Errorf("mkdir: %v", err)
		}
	})
}

// The same before there is a session: what is asked first is asked together.
func TestOvertakingAnswerAtTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Bubble = true
		s.Next("REALPATH", ".", remotetest.Behind)
		p := connected(t, s, pool.Config{})
		if p.Info().Ordered {
			t.Error("the server is still taken to keep order")
		}
		if _, err := p.Mkdir(t.Context(), "dir", 0o755); err != nil {
			t.Errorf("mkdir: %v", err)
		}
	})
}

func TestKilledSessionNeedsNoLogin(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		s.Next("LSTAT", "f", remotetest.Kill)
		lasts(t, "a look whose session was killed", 0, time.Second, nil, lookAt(t.Context(), p, "f"))
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Path == "f" && r.Type == "LSTAT" {
				return remotetest.Kill
			}
			return remotetest.Answer
		})
		lasts(t, "a look that kills each session", 0, 30*time.Second, syscall.EIO, lookAt(t.Context(), p, "f"))
		lasts(t, "a look afterwards", 0, 20*time.Second, nil, lookAt(t.Context(), p, "."))
	})
}

// A banner of OpenSSH's with another program as its sftp subsystem promises no order.
func TestOrderNeedsOpenSSHsOwnServer(t *testing.T) {
	stuckIn(t, func(s *remotetest.Server) { delete(s.Extensions, "fstatvfs@openssh.com") },
		func(t *testing.T, _ *remotetest.Server, p *pool.Pool) {
			if p.Info().Ordered {
				t.Error("taken to keep order")
			}
		})
}

// A server that keeps order and answers one request after the other is not stuck,
// however long that takes: what waits behind much data gets its answer, on the only
// session there is.
func TestSlowIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.MaxSessions = 1
		if err := os.WriteFile(filepath.Join(s.Root, "f"), make([]byte, 4<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		p := connected(t, s, pool.Config{Timeout: 3 * time.Second, MaxConnections: 1})
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type == "READ" {
				time.Sleep(1400 * time.Millisecond)
			}
			return remotetest.Answer
		})
		read := make(chan error)
		go func() {
			_, err := f.ReadAt(t.Context(), make([]byte, 2<<20), 0)
			read <- err
		}()
		time.Sleep(time.Millisecond)
		lasts(t, "a look behind the data", 0, time.Minute, nil, lookAt(t.Context(), p, "f"))
		lasts(t, "opening behind the data", 0, time.Minute, nil, func() error {
			other, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
			if err == nil {
				err = other.Close(t.Context())
			}
			return err
		})
		lasts(t, "a folder behind the data", 0, time.Minute, nil, func() error {
			_, err := p.Mkdir(t.Context(), "dir", 0o755)
			return err
		})
		if err := <-read; err != nil {
			t.Error(err)
		}
		if _, _, dials := s.Connections(); dials != 1 {
			t.Errorf("%d logins, want the first alone", dials)
		}
	})
}

// A change that waits for much data gets its turn, on a link on which that takes many
// times the timeout.
func TestChangesWaitForDataThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.MaxSessions = 1
		p := connected(t, s, pool.Config{Timeout: 3 * time.Second, MaxConnections: 1})
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type == "WRITE" {
				time.Sleep(2 * time.Second)
			}
			return remotetest.Answer
		})
		for what, change := range map[string]func(f remote.File) error{
			"a truncation": func(f remote.File) error {
				_, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetSize, Size: 3})
				return err
			},
			"a truncation by path": func(remote.File) error {
				_, err := p.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetSize, Size: 3})
				return err
			},
			"chmod": func(f remote.File) error {
				_, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetMode, Mode: 0o600})
				return err
			},
			"rename": func(remote.File) error { return p.Rename(t.Context(), "f", "g", false) },
			"opening anew": func(remote.File) error {
				other, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagTruncate, 0)
				if err == nil {
					err = other.Close(t.Context())
				}
				return err
			},
			"close": func(remote.File) error { return nil },
		} {
			f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(t.Context(), make([]byte, 4<<20), 0); err != nil {
				t.Fatal(err)
			}
			lasts(t, what, 0, 2*time.Minute, nil, func() error { return change(f) })
			lasts(t, "close after "+what, 0, 2*time.Minute, nil, func() error { return f.Close(t.Context()) })
		}
		if _, _, dials := s.Connections(); dials != 1 {
			t.Errorf("%d logins, want the first alone", dials)
		}
	})
}

// What is left of a mount that nobody sees any more keeps no connection while it has
// nothing to do, and what is open in it goes on.
func TestRestKeepsNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		write := func(text string, off int64) {
			if _, err := f.WriteAt(t.Context(), []byte(text), off); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		write("one ", 0)
		time.Sleep(10 * time.Minute)
		if now, _, _ := s.Connections(); now == 0 {
			t.Error("a mount that is seen has no connection")
		}
		p.Rest()
		for i, text := range []string{"two ", "three"} {
			time.Sleep(10 * time.Second)
			if now, _, _ := s.Connections(); now != 0 {
				t.Errorf("round %d: %d connections are kept", i, now)
			}
			write(text, int64(4*i+4))
		}
		buf := make([]byte, 20)
		time.Sleep(10 * time.Second)
		if n, err := f.ReadAt(t.Context(), buf, 0); string(buf[:n]) != "one two three" {
			t.Errorf("%q, %v", buf[:n], err)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A server that takes long for each request is none the faster for being asked less at
// a time.
func TestASlowServerIsAskedAsMuchAsAFastOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.MaxSessions = 1
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second, MaxConnections: 1})
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type == "READ" || r.Type == "WRITE" {
				time.Sleep(2 * time.Second)
			}
			return remotetest.Answer
		})
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(t.Context(), make([]byte, 8<<20), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := f.ReadAt(t.Context(), make([]byte, 8<<20), 0); n != 8<<20 || err != nil {
			t.Fatal(n, err)
		}
		count := map[string]int{}
		for _, r := range s.Requests() {
			count[r.Type]++
		}
		if count["READ"] > 40 || count["WRITE"] > 40 {
			t.Errorf("%d READs and %d WRITEs for 8 MiB", count["READ"], count["WRITE"])
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestStuckProof pins that who asks whether a path still leads to an open file is not
// held by a session that is stuck.
func TestStuckProof(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Next("FSTAT", "f", remotetest.Swallow)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		lasts(t, "the proof", 30*time.Second, 75*time.Second, syscall.ETIMEDOUT, func() error {
			at, err := f.IsAt(ctx)
			if !at {
				t.Error("no answer is taken for proof")
			}
			return err
		})
	})
}

// The look behind a CLOSE that was answered does not keep close(2).
func TestStuckLookBehindClose(t *testing.T) {
	stuckIn(t, func(s *remotetest.Server) { s.Identification = "SSH-2.0-other" }, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		f, _, err := p.Open(t.Context(), "n", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
			t.Fatal(err)
		}
		s.Ahead("CLOSE", "n", remotetest.Answer, func() { s.Next("STAT", "", remotetest.Swallow) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		lasts(t, "close", 30*time.Second, 75*time.Second, nil, func() error {
			_, err := f.Flush(ctx)
			return err
		})
	})
}

// Nor does opening a file wait without end for the proof that another is at its path,
// whichever of the two sessions does not answer, nor a descriptor that is open already
// for an opening that truncates.
func TestStuckProofOfAnOpening(t *testing.T) {
	for _, flag := range []remote.OpenFlag{remote.FlagRead, remote.FlagWrite | remote.FlagTruncate} {
		for asked := int32(1); asked <= 3; asked++ {
			stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
				f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite, 0)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second) // until there is another session
				put(t, s, "f", "data and more")
				var n atomic.Int32
				s.Script(func(r remotetest.Request) remotetest.Fate {
					if r.Type == "FSTAT" && n.Add(1) == asked {
						return remotetest.Swallow
					}
					return remotetest.Answer
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				done := make(chan struct{})
				go func() {
					defer close(done)
					if time.Sleep(time.Second); asked != 2 {
						return // f itself is on the session that is stuck
					}
					lasts(t, "writing beside it", 0, 75*time.Second, nil, func() error {
						if _, err := f.WriteAt(ctx, []byte("x"), 0); err != nil {
							return err
						}
						_, err := f.Sync(ctx)
						return err
					})
				}()
				defer func() { <-done }()
				lasts(t, "opening", 0, 75*time.Second, nil, func() error {
					_, _, err := p.Open(ctx, "f", flag, 0)
					return err
				})
			})
		}
	}
}

// Where the file is open on a session that answers as well, that one is asked.
func TestStuckProofElsewhere(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		for range 2 {
			if _, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // until there is another session
		}
		put(t, s, "g", "more data")
		if err := os.Rename(filepath.Join(s.Root, "g"), filepath.Join(s.Root, "f")); err != nil {
			t.Fatal(err)
		}
		s.Next("LSTAT", "", remotetest.Swallow)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go func() { _, _ = p.Lstat(ctx, "l") }()
		time.Sleep(2 * time.Second)
		lasts(t, "opening", 0, time.Second, nil, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, _, err := p.Open(ctx, "f", remote.FlagRead, 0)
			return err
		})
	})
}
