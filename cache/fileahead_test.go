package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A reader goes through a tree and reads every file, as tar and grep -r do.
type reader struct {
	*bench
	order func(dir string, entries []remote.Entry)
	files int
}

func (r *reader) tree(t testing.TB, dir string) {
	t.Helper()
	var entries []remote.Entry
	check(t, r.ReadDir(t.Context(), dir, func(batch []remote.Entry) error {
		entries = append(entries, batch...)
		return nil
	}))
	if r.order != nil {
		r.order(dir, entries)
	}
	for _, e := range entries {
		path := remote.Join(dir, e.Name)
		if e.Attr.IsDir() {
			r.tree(t, path)
			continue
		}
		if got := r.read(t, path); got != content4(path) {
			t.Errorf("%s: other content: %q", path, got)
		}
		r.files++
	}
}

// read opens, looks at, reads and closes a file.
func (b *bench) read(t testing.TB, path string) string {
	t.Helper()
	f, attr, err := b.Open(t.Context(), path, remote.FlagRead, 0)
	check(t, err)
	p := make([]byte, attr.Size)
	if n, err := f.ReadAt(t.Context(), p, 0); n < len(p) {
		t.Errorf("read %s: %d bytes, %v", path, n, err)
	}
	a, err := f.Stat(t.Context())
	a.Atime = attr.Atime // a first read may set it, in whatever second it falls
	if err != nil || a != attr {
		t.Errorf("Stat %s: %+v, %v; opened as %+v", path, a, err, attr)
	}
	check(t, f.Close(t.Context()))
	return string(p)
}

func content4(path string) string { return fmt.Sprintf("this is %s\n", path) }

func (b *bench) small(t testing.TB, folders, files int) {
	t.Helper()
	for d := range folders {
		for f := range files {
			path := fmt.Sprintf("d%03d/f%04d", d, f)
			b.disk(t, path, content4(path))
		}
	}
}

// Without reading ahead this takes 3000 round trips. A wrong guess of the order costs
// up to a hundred.
func TestSmallFilesAreReadAhead(t *testing.T) {
	orders := map[string]func(dir string, entries []remote.Entry){
		"as listed": nil,
		"by name": func(_ string, e []remote.Entry) {
			slices.SortFunc(e, func(a, b remote.Entry) int { return compareSteps(step{name: a.Name}, step{name: b.Name}) })
		},
		"by inode": func(dir string, e []remote.Entry) {
			slices.SortFunc(e, func(a, b remote.Entry) int {
				return compareSteps(step{key: testInode(remote.Join(dir, a.Name))}, step{key: testInode(remote.Join(dir, b.Name))})
			})
		},
	}
	for _, shape := range []struct{ folders, files, most int }{{1, 1000, 240}, {100, 10, 300}, {10, 100, 240}} {
		for name, order := range orders {
			t.Run(fmt.Sprintf("%d folders of %d %s", shape.folders, shape.files, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := fiveSeconds
					cfg.Inode = testInode
					b := newBench(t, cfg, slow)
					b.small(t, shape.folders, shape.files)
					r := &reader{bench: b, order: order}
					start := time.Now()
					r.tree(t, ".")
					took := time.Since(start)
					if r.files != 1000 {
						t.Errorf("%d files", r.files)
					}
					if most := time.Duration(shape.most) * roundTrip; took > most {
						t.Errorf("it took %v, want at most %v", took, most)
					}
					if n := b.dir.Calls()["open"]; n > 1200 { // two wrong guesses of the next folder
						t.Errorf("%d opens for 1000", n)
					}
					t.Logf("%v, %+v", took, b.Stats())
				})
			})
		}
	}
}

// Several threads that share the files of a folder are in order, but for a little.
// Without reading ahead this takes 375 round trips.
func TestSeveralThreadsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		b.small(t, 1, 500)
		names := listDir(t, b, "d000")
		start := time.Now()
		work := make(chan string)
		var threads sync.WaitGroup
		for range 4 {
			threads.Go(func() {
				for path := range work {
					b.read(t, path)
				}
			})
		}
		for _, path := range names {
			work <- path
		}
		close(work)
		threads.Wait()
		if took, most := time.Since(start), 250*roundTrip; took > most {
			t.Errorf("500 files took %v, want at most %v", took, most)
		}
		if n := b.dir.Calls()["open"]; n > 800 {
			t.Errorf("%d opens", n)
		}
	})
}

// ahead has the next files after two in order read ahead, and gives one of them.
func ahead(t *testing.T, b *bench) string {
	t.Helper()
	b.small(t, 1, 20)
	check(t, os.Remove(filepath.Join(b.root, "d000/f0000"))) // see below
	names := listDir(t, b, "d000")
	b.read(t, names[0])
	b.read(t, names[1])
	time.Sleep(time.Second)
	b.dir.Reset()
	return names[4]
}

func listDir(t testing.TB, b *bench, dir string) []string {
	t.Helper()
	var names []string
	check(t, b.ReadDir(t.Context(), dir, func(batch []remote.Entry) error {
		for _, e := range batch {
			names = append(names, remote.Join(dir, e.Name))
		}
		return nil
	}))
	return names
}

// What semantics allow of content that was read ahead: one open, two seconds, and
// nothing that we changed since.
func TestContentServesOneOpen(t *testing.T) {
	for name, c := range map[string]struct {
		before func(t *testing.T, b *bench, path string)
		opens  int
	}{
		"at once":           {func(*testing.T, *bench, string) {}, 0},
		"after two seconds": {func(*testing.T, *bench, string) { time.Sleep(time.Second) }, 1},
		"a second time":     {func(t *testing.T, b *bench, path string) { b.read(t, path) }, 1},
		"after a write":     {func(t *testing.T, b *bench, path string) { write(t, b.open(t, path, flagWrite), 100) }, 2},
		"after a chmod": {func(t *testing.T, b *bench, path string) {
			_, err := b.SetAttr(t.Context(), path, remote.Change{Fields: remote.SetMode, Mode: 0o600})
			check(t, err)
		}, 1},
		"after a rename": {func(t *testing.T, b *bench, path string) {
			b.disk(t, "x", "x")
			check(t, b.Rename(t.Context(), "x", path, false))
		}, 1},
		"after another": {func(t *testing.T, b *bench, path string) { b.Forget("d000") }, 1},
		"another one's look": {func(t *testing.T, b *bench, path string) {
			b.disk(t, path, "changed")
			b.Cache.tree.mu.Lock()
			b.Cache.tree.drop(path)
			b.Cache.tree.mu.Unlock()
			b.sizeOf(t, path)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, fiveSeconds, slow)
				path := ahead(t, b)
				c.before(t, b, path)
				f, attr, err := b.Open(t.Context(), path, remote.FlagRead, 0)
				check(t, err)
				p := make([]byte, attr.Size)
				_, err = f.ReadAt(t.Context(), p, 0)
				check(t, err)
				disk, err := os.ReadFile(filepath.Join(b.root, path))
				check(t, err)
				if string(p) != string(disk) && name != "after a write" {
					t.Errorf("read %q, want %q", p, disk)
				}
				check(t, f.Close(t.Context()))
				served := true
				b.files.mu.Lock()
				served = f.(*File).remote == nil
				b.files.mu.Unlock()
				if served != (c.opens == 0) {
					t.Errorf("served from content: %v", served)
				}
			})
		})
	}
}

func TestNothingIsReadAheadWhenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{}, slow)
		b.small(t, 1, 20)
		names := listDir(t, b, "d000")
		for _, path := range names {
			b.read(t, path)
		}
		time.Sleep(time.Second)
		if n := b.dir.Calls()["open"]; n != 20 {
			t.Errorf("%d opens for 20", n)
		}
	})
}

// Who reads files here and there has few read ahead for nothing.
func TestGuessesThatDoNotPayStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		b.small(t, 1, 500)
		names := listDir(t, b, "d000")
		for i := range 300 {
			if i%50 == 0 {
				listDir(t, b, "d000")
			}
			b.read(t, names[i*i*31%500])
			time.Sleep(300 * time.Millisecond)
		}
		if n := b.dir.Calls()["open"]; n > 400 {
			t.Errorf("%d opens for 300", n)
		}
	})
}

// Nor has who reads quickly, here and there in folders of one file, such as git its
// objects: each is the first of its folder, and so in order.
func TestQuickGuessesThatDoNotPayStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		for d := range 100 {
			path := fmt.Sprintf("objects/%02d/f", d)
			b.disk(t, path, content4(path))
		}
		for f := range 30 {
			path := fmt.Sprintf("other/f%d", f)
			b.disk(t, path, content4(path))
		}
		listDir(t, b, ".")
		listDir(t, b, "objects")
		listDir(t, b, "other")
		for d := range 100 {
			listDir(t, b, fmt.Sprintf("objects/%02d", d))
		}
		for i := range 100 {
			b.read(t, fmt.Sprintf("objects/%02d/f", i*37%100))
		}
		if n := b.dir.Calls()["open"]; n > 300 {
			t.Errorf("%d opens for 100", n)
		}
	})
}

// A file served from content can do all that an open file can.
func TestContentOpensLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		path := ahead(t, b)
		f := b.open(t, path, remote.FlagRead)
		if _, err := f.Flush(t.Context()); err != nil {
			t.Errorf("Flush: %v", err)
		}
		time.Sleep(time.Second) // what is read ahead meanwhile is closed by then
		if n := b.dir.Calls()["open"] - b.dir.Calls()["close"]; n != 0 {
			t.Errorf("%d files open on the remote", n)
		}
		if a, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetMode, Mode: 0o600}); err != nil || a.Perm() != 0o600 {
			t.Errorf("SetAttr: %o, %v", a.Perm(), err)
		}
		check(t, f.Close(t.Context()))

		path = remote.Join("d000", "f0012")
		g, _, err := b.Open(t.Context(), path, remote.FlagRead, 0)
		check(t, err)
		longer := content4(path) + "and more"
		b.disk(t, path, longer)
		b.Forget(path)
		if n := b.sizeOf(t, path); n != int64(len(longer)) {
			t.Errorf("size %d", n)
		}
		p := make([]byte, len(longer))
		if _, err := g.ReadAt(t.Context(), p, 0); err != nil || string(p) != longer {
			t.Errorf("a file that grew: %q, %v", p, err)
		}
		check(t, g.Close(t.Context()))
	})
}

// What is truncated here is read on by who was served its content.
func TestContentOfTruncatedFile(t *testing.T) {
	empty := remote.Change{Fields: remote.SetSize}
	for name, truncate := range map[string]func(t *testing.T, b *bench, path string) remote.File{
		"opening": func(t *testing.T, b *bench, path string) remote.File {
			return b.open(t, path, flagWrite|remote.FlagTruncate)
		},
		"by path": func(t *testing.T, b *bench, path string) remote.File {
			_, err := b.SetAttr(t.Context(), path, empty)
			check(t, err)
			return b.open(t, path, flagWrite)
		},
		"open": func(t *testing.T, b *bench, path string) remote.File {
			w := b.open(t, path, flagWrite)
			_, err := w.SetAttr(t.Context(), empty)
			check(t, err)
			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, fiveSeconds, slow)
				path := ahead(t, b)
				f := b.open(t, path, remote.FlagRead)
				w := truncate(t, b, path)
				_, err := w.WriteAt(t.Context(), []byte("new"), 0)
				check(t, err)
				_, err = w.Flush(t.Context())
				check(t, err)
				if got := readAt(t, f, 0, 3); string(got) != "new" {
					t.Errorf("read %q", got)
				}
			})
		})
	}
}

func TestContentOfRemovedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		path := ahead(t, b)
		f := b.open(t, path, remote.FlagRead)
		check(t, b.Remove(t.Context(), path))
		p := make([]byte, len(content4(path)))
		if _, err := f.ReadAt(t.Context(), p, 0); err != nil || string(p) != content4(path) {
			t.Errorf("its content: %q, %v", p, err)
		}
		if _, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetMode, Mode: 0o600}); !errors.Is(err, syscall.ESTALE) {
			t.Errorf("SetAttr: %v, want ESTALE", err)
		}
	})
}

// An open does not wait long for one that nobody waited for.
func TestOpenOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) {
			d.Latency = roundTrip
			d.Before = func(ctx context.Context, op, _ string) error {
				if op == "open" && remote.IsBackground(ctx) {
					<-ctx.Done() // behind others, for ever
				}
				return nil
			}
		})
		b.small(t, 1, 20)
		names := listDir(t, b, "d000")
		start := time.Now()
		for _, path := range names[:5] {
			b.read(t, path)
		}
		if took, most := time.Since(start), 5*8*roundTrip; took > most {
			t.Errorf("five files took %v, want at most %v", took, most)
		}
	})
}
