package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// seen is a Cache that has listed a folder and looked at what is in it, ten minutes
// ago, which is long after the life of that.
func seen(t *testing.T) (*remotetest.Server, *Cache) {
	t.Helper()
	s := remotetest.NewServer(t, t.TempDir())
	for _, err := range []error{
		os.Mkdir(filepath.Join(s.Root, "dir"), 0o755),
		os.WriteFile(filepath.Join(s.Root, "dir/file"), []byte("data"), 0o644),
		os.Symlink("file", filepath.Join(s.Root, "dir/link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := stack(t, s)
	ctx := t.Context()
	for _, path := range []string{".", "dir"} {
		if _, err := c.Lstat(ctx, path); err != nil {
			t.Fatal(err)
		}
		if got := listed(t, ctx, c, path); len(got) == 0 {
			t.Fatalf("nothing is in %s", path)
		}
	}
	if to, err := c.ReadLink(ctx, "dir/link"); err != nil || to != "file" {
		t.Fatal(to, err)
	}
	if a, err := c.Stat(ctx, "dir/link"); err != nil || a.Size != 4 {
		t.Fatal(a, err)
	}
	if _, err := c.Lstat(ctx, "dir/missing"); !errors.Is(err, syscall.ENOENT) {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
	return s, c
}

func listed(t *testing.T, ctx context.Context, c *Cache, path string) map[string]remote.Attr {
	t.Helper()
	got := map[string]remote.Attr{}
	err := c.ReadDir(ctx, path, func(batch []remote.Entry) error {
		for _, e := range batch {
			got[e.Name] = e.Attr
		}
		return nil
	})
	if err != nil {
		t.Errorf("listing %s: %v", path, err)
	}
	return got
}

func TestAwayIsToldFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := seen(t)
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		ctx := remote.Stale(t.Context())
		start := time.Now()
		if a, err := c.Lstat(ctx, "dir/file"); err != nil || a.Size != 4 {
			t.Errorf("a file that was seen: %+v, %v", a, err)
		}
		if got := listed(t, ctx, c, "dir"); len(got) != 2 || got["file"].Size != 4 {
			t.Errorf("a folder that was listed: %v", got)
		}
		if to, err := c.ReadLink(ctx, "dir/link"); err != nil || to != "file" {
			t.Errorf("a link that was read: %q, %v", to, err)
		}
		if a, err := c.Stat(ctx, "dir/link"); err != nil || !a.IsRegular() || a.Size != 4 {
			t.Errorf("what a link leads to: %+v, %v", a, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v, and dials are refused at once", took)
		}
		if _, err := c.Lstat(ctx, "dir/missing"); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("what was not there: %v, want ETIMEDOUT", err)
		}
		// Neither a sync nor a decision of ours gets what may be old.
		for what, ctx := range map[string]context.Context{"a decision": t.Context(), "a sync": remote.Background(remote.Stale(t.Context()))} {
			if _, err := c.Lstat(ctx, "dir/file"); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("%s on what is old: %v", what, err)
			}
			if _, err := c.Stat(ctx, "dir/link"); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("%s on what a link led to: %v", what, err)
			}
			if err := c.ReadDir(ctx, "dir", func([]remote.Entry) error { return nil }); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("%s on a listing that is old: %v", what, err)
			}
		}
		s.Refuse(nil)
		if err := os.WriteFile(filepath.Join(s.Root, "dir/file"), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if a, err := c.Lstat(ctx, "dir/file"); err != nil || a.Size != 7 {
			t.Errorf("when it is back: %+v, %v", a, err)
		}
	})
}

// TestAwayCountsWrites pins that for the kernel a file does not end before what
// programs here have written to it: it would give them nothing of that.
func TestAwayCountsWrites(t *testing.T) {
	for name, old := range map[string]time.Duration{"under way": 0, "acknowledged": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := seen(t)
				f, _, err := c.Open(t.Context(), "dir/file", remote.FlagRead|remote.FlagWrite, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetSize}); err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteAt(t.Context(), []byte("data"), 100); err != nil {
					t.Fatal(err)
				}
				time.Sleep(old)
				s.Refuse(syscall.ECONNREFUSED)
				s.CutAll()
				ctx := remote.Stale(t.Context())
				if a, err := c.Lstat(ctx, "dir/file"); err != nil || a.Size != 104 {
					t.Errorf("a look: %+v, %v, and 104 bytes were written", a, err)
				}
				if a, err := c.Stat(ctx, "dir/link"); err == nil && a.Size != 104 {
					t.Errorf("along a link: %+v, and 104 bytes were written", a)
				}
				if got := listed(t, ctx, c, "dir"); got["file"].Size != 104 {
					t.Errorf("a listing: %+v, and 104 bytes were written", got["file"])
				}
				s.Refuse(nil)
				if err := f.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A link that is cut without a word is away after two seconds.
func TestSilenceIsAwaySoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := seen(t)
		s.Stall(true)
		s.CutAll()
		start := time.Now()
		a, err := c.Lstat(remote.Stale(t.Context()), "dir/file")
		if took := time.Since(start); err != nil || a.Size != 4 || took > 3*time.Second {
			t.Errorf("%+v, %v after %v", a, err, took)
		}
		s.Stall(false)
	})
}

func TestRootAlwaysAnswers(t *testing.T) {
	for name, trouble := range map[string]func(*remotetest.Server){
		"stalled": func(s *remotetest.Server) { s.Stall(true) },
		"stuck": func(s *remotetest.Server) {
			s.Script(func(remotetest.Request) remotetest.Fate { return remotetest.Swallow })
		},
		"gone": func(s *remotetest.Server) {
			s.Refuse(syscall.ECONNREFUSED)
			s.CutAll()
		},
		"silent": func(s *remotetest.Server) {
			s.Stall(true)
			s.CutAll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := seen(t)
				trouble(s)
				for range 5 {
					start := time.Now()
					a, err := c.Lstat(remote.Stale(t.Context()), ".")
					if took := time.Since(start); err != nil || !a.IsDir() || took > 200*time.Millisecond {
						t.Errorf("the root: %+v, %v after %v", a, err, took)
					}
					time.Sleep(13 * time.Second)
				}
				s.Stall(false)
			})
		})
	}
}

// While away a file is opened to read if all of its content is held: because somebody
// has it open, or because it was read. To write, nothing is opened from memory.
func TestOpenWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		for name, data := range map[string]string{"read": "data", "in part": string(noise(300 << 10)), "unread": "data", "empty": "", "changed": "data", "replaced": "data", "written": "data"} {
			if err := os.WriteFile(filepath.Join(s.Root, name), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c := stack(t, s)
		ctx := remote.Stale(t.Context())
		listed(t, ctx, c, ".")
		read := func(name string, want int) {
			t.Helper()
			f, _, err := c.Open(ctx, name, remote.FlagRead, 0)
			if err != nil {
				t.Fatal(name, err)
			}
			if n, err := f.ReadAt(ctx, make([]byte, want+1), 0); n != want {
				t.Fatal(name, n, err)
			}
			if err := f.Close(ctx); err != nil {
				t.Fatal(name, err)
			}
		}
		for _, name := range []string{"read", "changed", "replaced", "written"} {
			read(name, 4)
		}
		read("empty", 0)
		part, _, err := c.Open(ctx, "in part", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.ReadAt(ctx, make([]byte, 10), 200<<10); err != nil {
			t.Fatal(err)
		}
		if err := part.Close(ctx); err != nil {
			t.Fatal(err)
		}
		w, _, err := c.Open(ctx, "written", remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteAt(ctx, []byte("more"), 0); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.Rename(ctx, "replaced", "moved", false); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Root, "changed"), []byte("longer data"), 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if _, err := c.Lstat(ctx, "changed"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		s.Refuse(syscall.ECONNREFUSED)
		s.CutAll()
		start := time.Now()
		read("read", 4)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("opened %v after the cut", took)
		}
		start = time.Now()
		read("read", 4)
		if f, a, err := c.Open(ctx, "empty", remote.FlagRead, 0); err != nil || a.Size != 0 { // of which nobody reads
			t.Errorf("an empty file: %v", err)
		} else if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
		if f, _, err := c.Open(ctx, "read", remote.FlagRead, 0); err != nil {
			t.Error(err)
		} else {
			read("read", 4) // beside it
			if data, back, err := f.Borrow(ctx, 0, 100); err != nil || len(data) != 1 || string(data[0]) != "data" {
				t.Errorf("%q, %v", data, err)
			} else {
				back()
			}
			if err := f.Close(ctx); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("opened after %v when the remote was known to be away", took)
		}
		for name, flag := range map[string]remote.OpenFlag{
			"in part": remote.FlagRead, "unread": remote.FlagRead, "changed": remote.FlagRead, "replaced": remote.FlagRead,
			"moved": remote.FlagRead, "written": remote.FlagRead, "read": remote.FlagRead | remote.FlagWrite,
		} {
			if _, _, err := c.Open(ctx, name, flag, 0); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := c.Open(ctx, "read", remote.FlagRead|remote.FlagWrite|remote.FlagTruncate, 0); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("to truncate: %v", err)
		}
		if _, _, err := c.Open(t.Context(), "read", remote.FlagRead, 0); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("for a sync: %v", err)
		}
		if err := os.WriteFile(filepath.Join(s.Root, "read"), []byte("new data"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.Refuse(nil)
		time.Sleep(time.Minute)
		read("read", 8)
	})
}
