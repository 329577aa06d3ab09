package cache

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A bench is a cache over a local folder that counts calls.
type bench struct {
	*Cache
	dir  *remotetest.Dir
	root string
}

func newBench(t testing.TB, cfg Config, edit func(*remotetest.Dir)) *bench {
	t.Helper()
	root := t.TempDir()
	dir := remotetest.NewDir(root)
	dir.WriteBehind = true
	if edit != nil {
		edit(dir)
	}
	b := &bench{New(dir, cfg), dir, root}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

var fiveSeconds = Config{AttrTimeout: 5 * time.Second}

// disk writes a file behind the back of the cache.
func (b *bench) disk(t testing.TB, path, data string) {
	t.Helper()
	local := filepath.Join(b.root, path)
	if err := os.MkdirAll(filepath.Dir(local), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(local, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// costs fails the test unless do made exactly these calls of the remote.
func (b *bench) costs(t testing.TB, what string, want map[string]int, do func()) {
	t.Helper()
	b.dir.Reset()
	do()
	if got := b.dir.Calls(); !maps.Equal(got, want) {
		t.Errorf("%s: calls %v, want %v", what, got, want)
	}
}

var free = map[string]int{}

func (b *bench) list(t testing.TB, path string) []string {
	t.Helper()
	var names []string
	err := b.ReadDir(t.Context(), path, func(batch []remote.Entry) error {
		for _, e := range batch {
			names = append(names, e.Name)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("ReadDir %q: %v", path, err)
	}
	slices.Sort(names)
	return names
}

// size is the size of path, -1 when it is not there.
func (b *bench) sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	a, err := b.Lstat(t.Context(), path)
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	if err != nil {
		t.Fatalf("Lstat %q: %v", path, err)
	}
	return a.Size
}

func TestLstatLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		b.disk(t, "f", "1")
		b.costs(t, "two looks and two absences", map[string]int{"lstat": 2}, func() {
			b.sizeOf(t, "f")
			b.sizeOf(t, "f")
			b.sizeOf(t, "none")
			b.sizeOf(t, "none")
		})
		b.disk(t, "f", "22")
		b.disk(t, "none", "333")
		time.Sleep(5*time.Second - time.Nanosecond)
		if f, none := b.sizeOf(t, "f"), b.sizeOf(t, "none"); f != 1 || none != -1 {
			t.Errorf("before the end of their lives: %d and %d, want 1 and -1", f, none)
		}
		time.Sleep(time.Nanosecond)
		if f, none := b.sizeOf(t, "f"), b.sizeOf(t, "none"); f != 2 || none != 3 {
			t.Errorf("after it: %d and %d, want 2 and 3", f, none)
		}
	})
}

func TestListingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		b.disk(t, "d/f", "1")
		b.disk(t, "d/g", "22")
		b.costs(t, "a listing, and all that is in it", map[string]int{"readdir": 1}, func() {
			b.list(t, "d")
			if f, g, none := b.sizeOf(t, "d/f"), b.sizeOf(t, "d/g"), b.sizeOf(t, "d/none"); f != 1 || g != 2 || none != -1 {
				t.Errorf("sizes %d, %d and %d, want 1, 2 and -1", f, g, none)
			}
			if again := b.list(t, "d"); !slices.Equal(again, []string{"f", "g"}) {
				t.Errorf("listed again: %q", again)
			}
			for path, want := range map[string]error{"d/none/x": syscall.ENOENT, "d/f/x/y": syscall.ENOTDIR} {
				if _, err := b.Lstat(t.Context(), path); !errors.Is(err, want) {
					t.Errorf("Lstat %s: %v, want %v", path, err, want)
				}
			}
			if a, _ := b.Lstat(t.Context(), "d/f"); a.Nlink != 1 {
				t.Errorf("link count %d, want the listing's 1", a.Nlink)
			}
		})
		time.Sleep(5 * time.Second)
		b.costs(t, "afterwards", map[string]int{"readdir": 1, "lstat": 1}, func() {
			b.sizeOf(t, "d/none")
			b.list(t, "d")
		})
	})
}

func TestOffRemembersNothing(t *testing.T) {
	b := newBench(t, Config{}, nil)
	b.disk(t, "d/f", "1")
	b.costs(t, "everything twice", map[string]int{"lstat": 2, "readdir": 2, "stat": 2}, func() {
		for range 2 {
			b.list(t, "d")
			b.sizeOf(t, "d/f")
			if _, err := b.Stat(t.Context(), "d/f"); err != nil {
				t.Error(err)
			}
		}
	})
	if n := b.Stats().Entries; n != 0 {
		t.Errorf("%d entries held", n)
	}
}

func TestLooksAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) { d.Latency = 100 * time.Millisecond })
		b.disk(t, "f", "1")
		b.dir.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		other := make(chan error)
		go func() {
			_, err := b.Lstat(t.Context(), "f")
			other <- err
		}()
		if _, err := b.Lstat(ctx, "f"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that gives up: %v", err)
		}
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("it got away after %v", d)
		}
		if err := <-other; err != nil {
			t.Errorf("the other: %v", err)
		}
		b.sizeOf(t, "f")
		if got := b.dir.Calls()["lstat"]; got != 1 {
			t.Errorf("%d looks were sent, want 1", got)
		}
	})
}

// The question of a caller that gave up still fills the cache.
func TestAbandonedLookIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) { d.Latency = time.Second })
		b.disk(t, "f", "1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := b.Lstat(ctx, "f"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		b.costs(t, "later", free, func() { b.sizeOf(t, "f") })
	})
}

func TestSweepForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		for _, p := range []string{"a/1", "a/2", "b/1"} {
			b.disk(t, p, "")
		}
		b.list(t, "a")
		time.Sleep(3 * time.Second)
		b.list(t, "b")
		if n := b.Stats().Entries; n != 5 {
			t.Errorf("%d entries held, want 2 folders and 3 names", n)
		}
		time.Sleep(30 * time.Second)
		if n := b.Stats().Entries; n != 5 {
			t.Errorf("%d entries held to show when the remote goes away, want 5", n)
		}
		b.Cache.tree.mu.Lock()
		b.Cache.tree.mostKept = 2
		b.Cache.tree.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if n := b.Stats().Entries; n != 2 {
			t.Errorf("%d entries held where two may be", n)
		}
		time.Sleep(time.Hour)
		if n := b.Stats().Entries; n != 0 {
			t.Errorf("%d entries held when all is over", n)
		}
	})
}

func TestEntriesAreBounded(t *testing.T) {
	b := newBench(t, Config{AttrTimeout: time.Minute, MaxEntries: 50}, nil)
	for d := range 10 {
		for f := range 10 {
			b.disk(t, filepath.Join(string(rune('a'+d)), string(rune('a'+f))), "")
		}
		b.list(t, string(rune('a'+d)))
	}
	if n := b.Stats().Entries; n > 50 || n < 30 {
		t.Errorf("%d entries held, want up to 50", n)
	}
	b.costs(t, "the last folders", free, func() { b.list(t, "j"); b.list(t, "i") })
	for i := range 60 {
		b.disk(t, filepath.Join("big", string(rune('A'+i))), "")
	}
	if n := len(b.list(t, "big")); n != 60 {
		t.Errorf("a folder beyond the bound: %d names, want 60", n)
	}
	b.costs(t, "it is not kept", map[string]int{"readdir": 1}, func() { b.list(t, "big") })
}

func TestClosedCacheSaysSo(t *testing.T) {
	dir := remotetest.NewDir(t.TempDir())
	c := New(dir, fiveSeconds)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lstat(t.Context(), "x"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("Lstat: %v, want ENODEV", err)
	}
	if err := c.ReadDir(t.Context(), ".", nil); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("ReadDir: %v, want ENODEV", err)
	}
}
