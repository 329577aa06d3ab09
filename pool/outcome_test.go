package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A change of names that is made, and not answered: its caller is interrupted, or waits
// in vain.
type givenUp struct {
	name    string
	foreign bool
	only    bool          // there is one session
	after   time.Duration // when the caller gives up; 0: when it is told to
	want    error
}

var givenUps = []givenUp{
	{"interrupted", false, false, 2 * time.Second, context.DeadlineExceeded},
	{"interrupted, foreign", true, false, 2 * time.Second, context.DeadlineExceeded},
	{"timed out", false, false, 0, syscall.ETIMEDOUT},
	{"timed out, foreign", true, false, 0, syscall.ETIMEDOUT},
	{"timed out, one session", false, true, 0, syscall.ETIMEDOUT},
	{"timed out, one session, foreign", true, true, 0, syscall.ETIMEDOUT},
}

// inVain runs a test with each.
func inVain(t *testing.T, test func(t *testing.T, s *remotetest.Server, p *pool.Pool, change func(kind, path string, do func(context.Context) error))) {
	for _, g := range givenUps {
		t.Run(g.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Bubble = true
				cfg := pool.Config{Timeout: 30 * time.Second}
				if g.foreign {
					s.Identification = "SSH-2.0-Other"
				}
				if g.only {
					s.MaxSessions, cfg.MaxConnections = 1, 1
				}
				p := connected(t, s, cfg)
				test(t, s, p, func(kind, path string, do func(context.Context) error) {
					t.Helper()
					s.Next(kind, path, remotetest.Hold)
					ctx, cancel := t.Context(), func() {}
					if g.after > 0 {
						ctx, cancel = context.WithTimeout(ctx, g.after)
					}
					defer cancel()
					start := time.Now()
					err := do(ctx)
					if took := time.Since(start); !errors.Is(err, g.want) || took > 75*time.Second || g.after > 0 && took != g.after {
						t.Errorf("%v after %v", err, took)
					}
					var u *remote.Unsettled
					if !errors.As(err, &u) {
						t.Errorf("%v says that it is settled", err)
						return
					}
					t.Cleanup(func() {
						select {
						case <-u.Over:
							if !u.Made() {
								t.Error("it was made, and is told not to be")
							}
						default:
							t.Error("nobody has heard of it")
						}
					})
				})
			})
		})
	}
}

func writer(t *testing.T, p *pool.Pool, path string) remote.File {
	t.Helper()
	f, _, err := p.Open(t.Context(), path, remote.FlagWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// goesOnAfterCut writes behind the data that is there, and loses all connections.
func goesOnAfterCut(t *testing.T, s *remotetest.Server, f remote.File) {
	t.Helper()
	if _, err := f.WriteAt(t.Context(), []byte("more"), 4); err != nil {
		t.Error("write:", err)
	}
	s.CutAll()
	if err := f.Close(t.Context()); err != nil {
		t.Error("close:", err)
	}
}

// TestGivenUpRename pins that a file which is being written is followed by a rename that
// was made, though whoever asked for it has not heard so; also out of sight in a folder.
func TestGivenUpRename(t *testing.T) {
	inVain(t, func(t *testing.T, s *remotetest.Server, p *pool.Pool, change func(string, string, func(context.Context) error)) {
		save(t, p, "f", "data", 0o644)
		f := writer(t, p, "f")
		change("posix-rename@openssh.com", "f", func(ctx context.Context) error { return p.Rename(ctx, "f", "g", false) })
		goesOnAfterCut(t, s, f)
		wantFiles(t, s.Root, map[string]string{"g": "datamore"})
	})
}

func TestGivenUpRenameOfFolder(t *testing.T) {
	inVain(t, func(t *testing.T, s *remotetest.Server, p *pool.Pool, change func(string, string, func(context.Context) error)) {
		if _, err := p.Mkdir(t.Context(), "d", 0o755); err != nil {
			t.Fatal(err)
		}
		save(t, p, "d/f", "data", 0o644)
		f := writer(t, p, "d/f")
		change("posix-rename@openssh.com", "d", func(ctx context.Context) error { return p.Rename(ctx, "d", "e", false) })
		goesOnAfterCut(t, s, f)
		if got, err := os.ReadFile(filepath.Join(s.Root, "e/f")); string(got) != "datamore" {
			t.Errorf("e/f has %q, %v", got, err)
		}
	})
}

// TestGivenUpReplace pins that what is written to a replaced file does not go into the
// one that took its place.
func TestGivenUpReplace(t *testing.T) {
	inVain(t, func(t *testing.T, s *remotetest.Server, p *pool.Pool, change func(string, string, func(context.Context) error)) {
		save(t, p, "db", "data", 0o644)
		save(t, p, "new", "NEWS", 0o644)
		f := writer(t, p, "db")
		change("posix-rename@openssh.com", "new", func(ctx context.Context) error {
			kept, err := p.Replace(ctx, "new", "db", ".kept")
			if !kept {
				t.Error("the further name may be there, and nobody is told")
			}
			return err
		})
		goesOnAfterCut(t, s, f)
		wantFiles(t, s.Root, map[string]string{"db": "NEWS", ".kept": "datamore"})
	})
}

// TestGivenUpRemove pins that what is written to a removed file does not go into the next
// one of that name.
func TestGivenUpRemove(t *testing.T) {
	inVain(t, func(t *testing.T, s *remotetest.Server, p *pool.Pool, change func(string, string, func(context.Context) error)) {
		save(t, p, "f", "data", 0o644)
		f := writer(t, p, "f")
		change("REMOVE", "f", func(ctx context.Context) error { return p.Remove(ctx, "f") })
		for start := time.Now(); ; { // until it is known
			next, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o644)
			if err == nil {
				if _, err := next.WriteAt(t.Context(), []byte("NEWS"), 0); err != nil {
					t.Error(err)
				}
				if err := next.Close(t.Context()); err != nil {
					t.Error(err)
				}
				break
			}
			if !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) > 2*time.Minute {
				t.Fatal(err)
			}
		}
		_, _ = f.WriteAt(t.Context(), []byte("more"), 4)
		s.CutAll()
		if err := f.Close(t.Context()); !errors.Is(err, syscall.ESTALE) {
			t.Error("close:", err)
		}
		wantFiles(t, s.Root, map[string]string{"f": "NEWS"})
	})
}

// TestGivenUpLink pins that a file goes on by a name which nobody heard that it got.
func TestGivenUpLink(t *testing.T) {
	inVain(t, func(t *testing.T, s *remotetest.Server, p *pool.Pool, change func(string, string, func(context.Context) error)) {
		save(t, p, "f", "data", 0o644)
		f := writer(t, p, "f")
		change("hardlink@openssh.com", "f", func(ctx context.Context) error { _, err := p.Link(ctx, "f", "g"); return err })
		for start := time.Now(); ; {
			err := p.Remove(t.Context(), "f")
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) > 2*time.Minute {
				t.Fatal(err)
			}
		}
		goesOnAfterCut(t, s, f)
		wantFiles(t, s.Root, map[string]string{"g": "datamore"})
	})
}

// TestGivenUpAndCut pins what becomes of a rename whose caller has gone, and then the
// connection: it is not sent again, and what the server makes of it within five seconds
// counts.
func TestGivenUpAndCut(t *testing.T) {
	for name, fate := range map[string]remotetest.Fate{"before it": remotetest.CutBefore, "after it": remotetest.CutAfter, "and made late": remotetest.Zombie} {
		for _, foreign := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := remotetest.NewServer(t, t.TempDir())
					s.Bubble = true
					if foreign {
						s.Identification = "SSH-2.0-Other"
					}
					p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
					save(t, p, "f", "data", 0o644)
					f := writer(t, p, "f")
					ctx, cancel := context.WithCancel(t.Context())
					s.Ahead("posix-rename@openssh.com", "f", fate, func() {
						cancel()
						time.Sleep(time.Second)
					})
					time.AfterFunc(4*time.Second, s.RunZombies)
					err := p.Rename(ctx, "f", "g", false)
					var u *remote.Unsettled
					if !errors.Is(err, context.Canceled) || !errors.As(err, &u) {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
					goesOnAfterCut(t, s, f)
					<-u.Over
					at := map[bool]string{true: "g", false: "f"}[fate != remotetest.CutBefore]
					if u.Made() != (at == "g") {
						t.Errorf("told to be made: %v", u.Made())
					}
					wantFiles(t, s.Root, map[string]string{at: "datamore"})
				})
			})
		}
	}
}

// TestGivenUpBeforeItWasSent pins that a change which nobody waits for any more is not
// sent, and says so.
func TestGivenUpBeforeItWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		save(t, p, "f", "data", 0o644)
		s.Stall(true)
		s.CutAll()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := p.Remove(ctx, "f")
		var u *remote.Unsettled
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &u) {
			t.Error(err)
		}
		s.Stall(false)
		time.Sleep(time.Minute)
		wantFiles(t, s.Root, map[string]string{"f": "data"})
	})
}

// What a change without an answer is about is waited for as a look waits; a Pool that
// ends does not wait.
func TestGivenUpIsWaitedFor(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Path == "f" && r.Type != "OPEN" {
				return remotetest.Swallow
			}
			return remotetest.Answer
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lasts(t, "the rename", time.Second, time.Second, context.DeadlineExceeded, func() error { return p.Rename(ctx, "f", "g", false) })
		lasts(t, "another", 30*time.Second, 31*time.Second, syscall.ETIMEDOUT, func() error { return p.Rename(t.Context(), "x", "g", false) })
		lasts(t, "opening", 30*time.Second, 31*time.Second, syscall.ETIMEDOUT, func() error {
			_, _, err := p.Open(t.Context(), "g", remote.FlagRead, 0)
			return err
		})
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lasts(t, "opening, killed", time.Second, time.Second, context.DeadlineExceeded, func() error {
			_, _, err := p.Open(ctx, "f", remote.FlagRead, 0)
			return err
		})
		lasts(t, "the end", 0, time.Second, nil, func() error { return p.Close(t.Context()) })
	})
}
