package pool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestCloseUnanswered pins that a file whose CLOSE was not answered does not count as
// lost as long as nobody could look what became of it.
func TestCloseUnanswered(t *testing.T) {
	for name, c := range map[string]struct {
		fate    remotetest.Fate
		trouble func(s *remotetest.Server, p *pool.Pool) (over func())
	}{
		"disabled": {remotetest.CutAfter, func(s *remotetest.Server, p *pool.Pool) func() {
			s.Refuse(errKey)
			return func() { s.Refuse(nil); p.Enable() }
		}},
		"away": {remotetest.CutAfter, func(s *remotetest.Server, _ *pool.Pool) func() {
			s.Refuse(syscall.ECONNREFUSED)
			return func() { s.Refuse(nil) }
		}},
		"looks are cut": {remotetest.CutAfter, func(s *remotetest.Server, _ *pool.Pool) func() {
			s.Script(func(r remotetest.Request) remotetest.Fate {
				if r.Type == "LSTAT" {
					return remotetest.CutBefore
				}
				return remotetest.Answer
			})
			return func() { s.Script(nil) }
		}},
		"never answered": {remotetest.Hold, func(*remotetest.Server, *pool.Pool) func() { return func() {} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				p := connected(t, s, pool.Config{Refused: func(err error) pool.Refusal {
					if errors.Is(err, errKey) {
						return pool.HostKeyRefused
					}
					return pool.TryAgain
				}})
				f := written(t, p, "a", "b")
				lost := s.Next("CLOSE", "f", c.fate)
				closed := make(chan error, 1)
				go func() { closed <- f.Close(t.Context()) }()
				<-lost.Sprung()
				over := c.trouble(s, p)
				time.Sleep(2 * time.Minute)
				over()
				if err := <-closed; err != nil || p.Status().LostCount != 0 {
					t.Errorf("close: %v, %d files lost", err, p.Status().LostCount)
				}
			})
		})
	}
}

var errKey = errors.New("refused")

// written is a file with these pieces, each flushed. The second flush leaves CLOSE to
// Close.
func written(t *testing.T, p *pool.Pool, pieces ...string) remote.File {
	t.Helper()
	f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	off := 0
	for _, text := range pieces {
		if _, err := f.WriteAt(t.Context(), []byte(text), int64(off)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		off += len(text)
	}
	return f
}

// TestFlushCloses pins that the first flush of a File closes it on the server and tells
// a refusal, without a further round trip where the server keeps order, and that the
// File goes on.
func TestFlushCloses(t *testing.T) {
	for _, id := range []string{"SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-Other_1.0"} {
		t.Run(id, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Identification, s.Latency = id, 20*time.Millisecond
				p := connected(t, s, pool.Config{})
				open := func(name string) remote.File {
					f, _, err := p.Open(t.Context(), name, remote.FlagWrite|remote.FlagCreate, 0o644)
					if err != nil {
						t.Fatal(err)
					}
					return f
				}
				write := func(f remote.File, text string, off int64) {
					if _, err := f.WriteAt(t.Context(), []byte(text), off); err != nil {
						t.Fatal(err)
					}
				}
				flush := func(f remote.File) (remote.Attr, error) { return f.Flush(t.Context()) }

				f := open("f")
				if _, err := flush(f); err != nil || s.Succeeded("CLOSE", "f") != 0 {
					t.Errorf("flushed without data: %v, closed %d times", err, s.Succeeded("CLOSE", "f"))
				}
				write(f, "one", 0)
				begun := time.Now()
				if a, err := flush(f); err != nil || a.Size != 3 {
					t.Errorf("flush: %d bytes, %v", a.Size, err)
				}
				if took := time.Since(begun); strings.Contains(id, "OpenSSH") && took > 25*time.Millisecond {
					t.Errorf("the flush took %v", took)
				}
				if n := s.Succeeded("CLOSE", "f"); n != 1 {
					t.Errorf("closed %d times", n)
				}
				put(t, s, "f", "one of others") // whoever has closed it does not mind
				for off := int64(3); off < 9; off += 3 {
					write(f, "two", off)
					if _, err := flush(f); err != nil {
						t.Error(err)
					}
				}
				if n := s.Succeeded("CLOSE", "f"); n != 1 {
					t.Errorf("used again, closed %d times", n)
				}
				if err := f.Close(t.Context()); err != nil || s.Succeeded("CLOSE", "f") != 2 {
					t.Errorf("closed %d times, %v", s.Succeeded("CLOSE", "f"), err)
				}
				if got := get(t, s, "f"); got != "onetwotwohers" {
					t.Errorf("the server has %q", got)
				}

				g := open("g")
				write(g, "data", 0)
				s.Next("CLOSE", "g", remotetest.Fail)
				if _, err := flush(g); !errors.Is(err, syscall.EIO) {
					t.Errorf("a refused CLOSE: %v", err)
				}
				if _, err := flush(g); err != nil {
					t.Errorf("it is told twice: %v", err)
				}
				if err := g.Close(t.Context()); err != nil || p.Status().LostCount != 1 {
					t.Errorf("Close: %v, %d files lost", err, p.Status().LostCount)
				}

				a, b := open("h"), open("h")
				write(a, "data", 0)
				if _, err := flush(a); err != nil || s.Succeeded("CLOSE", "h") != 0 {
					t.Errorf("open twice: %v, closed %d times", err, s.Succeeded("CLOSE", "h"))
				}
				s.Next("CLOSE", "h", remotetest.Fail)
				if err := a.Close(t.Context()); !errors.Is(err, syscall.EIO) {
					t.Errorf("a refused CLOSE: %v", err)
				}
				if _, err := flush(b); !errors.Is(err, syscall.EIO) {
					t.Errorf("the other is told %v", err)
				}
				if err := b.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestFlushCloseCut pins that what becomes of a CLOSE at a cut is found out.
func TestFlushCloseCut(t *testing.T) {
	for _, id := range []string{"SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-Other_1.0"} {
		for _, fate := range []remotetest.Fate{remotetest.CutBefore, remotetest.CutAfter} {
			for _, stores := range []bool{true, false} {
				t.Run(fmt.Sprint(id, fate, stores), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := remotetest.NewServer(t, t.TempDir())
						s.Identification = id
						p := connected(t, s, pool.Config{})
						f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
							t.Fatal(err)
						}
						s.Ahead("CLOSE", "f", fate, func() {
							if !stores {
								put(t, s, "f", "")
							}
						})
						_, err = f.Flush(t.Context())
						stored := get(t, s, "f") == "data" // it may have been written again
						if (err == nil) != stored || stores && !stored {
							t.Errorf("flush: %v, stored %v", err, stored)
						}
						if errors.Is(err, syscall.ESTALE) {
							return // only WRITE was answered: it is not the file any more that it was
						}
						if err := f.Close(t.Context()); err != nil {
							t.Errorf("close: %v", err)
						}
						if n := p.Status().LostCount; (n == 0) != stored {
							t.Errorf("%d files lost", n)
						}
					})
				})
			}
		}
	}
}

func put(t *testing.T, s *remotetest.Server, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Root, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *remotetest.Server, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPacketsAfterFlushClosed pins that what is written to a File that a flush has closed
// goes in packets as large as before.
func TestPacketsAfterFlushClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, 200_000)
		for i := range 2 {
			if _, err := f.WriteAt(t.Context(), data, int64(i*len(data))); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := s.Succeeded("WRITE", "f"); n != i+1 {
				t.Errorf("%d writes took %d packets", i+1, n)
			}
		}
		if n := s.Succeeded("CLOSE", "f"); n != 1 {
			t.Errorf("closed %d times", n)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestChangedAfterFlushClosed pins that a File that its own flush has closed goes on,
// whatever others have done to the file since: no cut took the handle. (A shell has a log
// open, and the log is cut short or gets another mode.)
func TestChangedAfterFlushClosed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(path string) error
		want   string
	}{
		"another mode":      {func(path string) error { return os.Chmod(path, 0o664) }, "onetwo"},
		"cut short":         {func(path string) error { return os.Truncate(path, 0) }, "\x00\x00\x00two"},
		"cut short a bit":   {func(path string) error { return os.Truncate(path, 1) }, "o\x00\x00two"},
		"longer":            {func(path string) error { return os.WriteFile(path, []byte("ONE of others"), 0) }, "ONEtwo others"},
		"another's, by now": {func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) }, "onetwo"},
	} {
		for _, reader := range []string{"alone", "read since before", "read since"} {
			t.Run(name+" "+reader, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := remotetest.NewServer(t, t.TempDir())
					p := connected(t, s, pool.Config{})
					f := written(t, p, "one")
					read := func() {
						g, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { _ = g.Close(context.Background()) })
					}
					if reader == "read since before" {
						read()
					}
					if err := c.change(filepath.Join(s.Root, "f")); err != nil {
						t.Fatal(err)
					}
					if reader == "read since" {
						read()
					}
					if _, err := f.WriteAt(t.Context(), []byte("two"), 3); err != nil {
						t.Error(err)
					}
					if a, err := f.Flush(t.Context()); err != nil || int(a.Size) != len(c.want) {
						t.Errorf("flush: %d bytes, %v", a.Size, err)
					}
					s.CutAll() // what is known of the file now is right
					time.Sleep(6 * time.Second)
					if _, err := f.WriteAt(t.Context(), []byte("TWO"), 3); err != nil {
						t.Error(err)
					}
					if err := f.Close(t.Context()); err != nil {
						t.Error(err)
					}
					if got, want := get(t, s, "f"), strings.Replace(c.want, "two", "TWO", 1); got != want {
						t.Errorf("the server has %q, want %q", got, want)
					}
				})
			})
		}
	}
}

// TestReaderAfterFlushClosed pins that a reader gets no bytes of another file because a
// writer's flush has closed the file that both had open, nor does the writer bring it
// there.
func TestReaderAfterFlushClosed(t *testing.T) {
	for name, between := range map[string]func(f remote.File) error{
		"the writer has closed": func(f remote.File) error { return f.Close(context.Background()) },
		"the writer is idle":    func(remote.File) error { return nil },
		"the writer writes more": func(f remote.File) error {
			_, err := f.WriteAt(context.Background(), []byte("more"), 3)
			_, ferr := f.Flush(context.Background())
			return errors.Join(err, ferr)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				p := connected(t, s, pool.Config{})
				put(t, s, "f", "old old")
				g, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				f := written(t, p, "OLD")
				put(t, s, "tmp", "another file")
				old := time.Now().Add(-time.Hour)
				if err := os.Chtimes(filepath.Join(s.Root, "tmp"), old, old); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(s.Root, "tmp"), filepath.Join(s.Root, "f")); err != nil {
					t.Fatal(err)
				}
				if err := between(f); err != nil && !errors.Is(err, syscall.ESTALE) {
					t.Error(err)
				}
				s.Next("READ", "f", remotetest.Kill)
				b := make([]byte, 7)
				if n, err := g.ReadAt(t.Context(), b, 0); !errors.Is(err, syscall.ESTALE) {
					t.Errorf("%q, %v", b[:n], err)
				}
				_ = f.Close(t.Context())
				_ = g.Close(t.Context())
				if got := get(t, s, "f"); got != "another file" {
					t.Errorf("the other file has %q", got)
				}
			})
		})
	}
}

// TestCutBeforeClose pins that what becomes of a file is found out when a cut took its
// handle after all was written and before CLOSE was sent.
func TestCutBeforeClose(t *testing.T) {
	for _, id := range []string{"SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-Other_1.0"} {
		for _, stores := range []bool{true, false} {
			for _, flushes := range []bool{true, false} {
				t.Run(fmt.Sprint(id, stores, flushes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := remotetest.NewServer(t, t.TempDir())
						s.Identification = id
						p := connected(t, s, pool.Config{})
						f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
							t.Fatal(err)
						}
						if _, err := f.Sync(t.Context()); err != nil || s.Succeeded("CLOSE", "f") != 0 {
							t.Fatalf("sync: %v, closed %d times", err, s.Succeeded("CLOSE", "f"))
						}
						s.CutAll()
						if !stores {
							put(t, s, "f", "")
						}
						time.Sleep(time.Second)
						if flushes {
							_, err = f.Flush(t.Context())
						}
						if cerr := f.Close(t.Context()); err == nil {
							err = cerr
						} else if cerr != nil {
							t.Errorf("it is told twice: %v", cerr)
						}
						if errors.Is(err, syscall.EIO) == stores || stores && err != nil {
							t.Errorf("flush and close: %v", err)
						}
						if n := p.Status().LostCount; (n == 0) != stores {
							t.Errorf("%d files lost", n)
						}
					})
				})
			}
		}
	}
}
