package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

const (
	flagNew   = remote.FlagRead | remote.FlagWrite | remote.FlagCreate | remote.FlagExclusive
	flagWrite = remote.FlagRead | remote.FlagWrite
)

func (b *bench) open(t testing.TB, path string, flag remote.OpenFlag) remote.File {
	t.Helper()
	f, _, err := b.Open(t.Context(), path, flag, 0o644)
	if err != nil {
		t.Fatalf("Open %q: %v", path, err)
	}
	t.Cleanup(func() { _ = f.Close(context.Background()) }) // the test may have closed it
	return f
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// After each change of ours, what the cache answers without asking is the truth.
func TestOwnChangesShow(t *testing.T) {
	mode := remote.Change{Fields: remote.SetMode, Mode: 0o600}
	for name, c := range map[string]struct {
		do    func(t *testing.T, b *bench)
		paths []string // looked at afterwards, without a call
	}{
		"mkdir":   {func(t *testing.T, b *bench) { _, err := b.Mkdir(t.Context(), "d/new", 0o700); check(t, err) }, []string{"d/new", "d/new/x"}},
		"symlink": {func(t *testing.T, b *bench) { _, err := b.Symlink(t.Context(), "f", "d/new"); check(t, err) }, []string{"d/new"}},
		"link":    {func(t *testing.T, b *bench) { _, err := b.Link(t.Context(), "d/f", "d/new"); check(t, err) }, []string{"d/new", "d/f"}},
		"remove":  {func(t *testing.T, b *bench) { check(t, b.Remove(t.Context(), "d/f")) }, []string{"d/f"}},
		"rmdir":   {func(t *testing.T, b *bench) { check(t, b.Rmdir(t.Context(), "d/empty")) }, []string{"d/empty", "d/empty/x"}},
		"setattr": {func(t *testing.T, b *bench) { _, err := b.SetAttr(t.Context(), "d/f", mode); check(t, err) }, []string{"d/f"}},
		"rename":  {func(t *testing.T, b *bench) { check(t, b.Rename(t.Context(), "d/f", "d/g", false)) }, []string{"d/f", "d/g"}},
		"create":  {func(t *testing.T, b *bench) { b.open(t, "d/new", flagNew) }, []string{"d/new"}},
		"create without O_EXCL": {func(t *testing.T, b *bench) {
			b.open(t, "d/new", flagWrite|remote.FlagCreate)
		}, []string{"d/new"}},
		"truncating open": {func(t *testing.T, b *bench) { b.open(t, "d/f", flagWrite|remote.FlagTruncate) }, []string{"d/f"}},
		"write and flush": {func(t *testing.T, b *bench) {
			f := b.open(t, "d/f", flagWrite)
			_, err := f.WriteAt(t.Context(), []byte("more"), 10)
			check(t, err)
			_, err = f.Flush(t.Context())
			check(t, err)
		}, []string{"d/f"}},
		"truncation of an open file": {func(t *testing.T, b *bench) {
			_, err := b.open(t, "d/f", flagWrite).SetAttr(t.Context(), remote.Change{Fields: remote.SetSize, Size: 1})
			check(t, err)
		}, []string{"d/f"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fiveSeconds, nil)
			b.disk(t, "d/f", "hello")
			b.disk(t, "d/g", "you")
			check(t, os.Mkdir(filepath.Join(b.root, "d/empty"), 0o755))
			b.list(t, ".")
			b.list(t, "d")
			b.list(t, "d/empty")
			c.do(t, b)
			b.dir.Reset()
			for _, p := range c.paths {
				got, err := b.Lstat(t.Context(), p)
				want, wantErr := b.dir.Lstat(t.Context(), p)
				if got != want || !errors.Is(err, errno(wantErr)) {
					t.Errorf("Lstat %s: %+v, %v; want %+v, %v", p, got, err, want, wantErr)
				}
			}
			if asked, direct := b.dir.Calls()["lstat"], len(c.paths); asked != direct {
				t.Errorf("%d looks reached the remote, want none but our own %d", asked, direct)
			}
			if got, want := b.list(t, "d"), listDisk(t, filepath.Join(b.root, "d")); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("listing %q, want %q", got, want)
			}
		})
	}
}

// Size and times of a file that is being written are what the remote makes of them:
// ours would be another clock's.
func TestWriteIsAskedFor(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "d/f", "hello")
	b.list(t, "d")
	f := b.open(t, "d/f", flagWrite)
	for i := range 3 {
		_, err := f.WriteAt(t.Context(), []byte("more"), int64(10*i))
		check(t, err)
		b.dir.Reset()
		want, err := b.dir.Lstat(t.Context(), "d/f")
		check(t, err)
		for range 2 {
			if got, err := b.Lstat(t.Context(), "d/f"); err != nil || got.Size != want.Size || got.Mtime != want.Mtime {
				t.Errorf("Lstat: %+v, %v; want %+v", got, err, want)
			}
			if got, err := f.Stat(t.Context()); err != nil || got.Size != want.Size || got.Mtime != want.Mtime {
				t.Errorf("Stat: %+v, %v; want %+v", got, err, want)
			}
		}
		if calls := b.dir.Calls(); calls["lstat"] != 2 || calls["fstat"] != 1 {
			t.Errorf("%d looks and %d of the open file reached the remote, want 2, one of them our own, and 1", calls["lstat"], calls["fstat"])
		}
	}
}

// errno is the errno in err, or nil.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func listDisk(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The folder's own times are asked again when a name came or went.
func TestChangeDropsFolderTimes(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	_, err := b.Mkdir(t.Context(), "d", 0o755)
	check(t, err)
	b.open(t, "d/f", flagNew)
	b.costs(t, "a look at the folder", map[string]int{"lstat": 1}, func() { b.sizeOf(t, "d") })
}

// A look that was answered before a change, and arrives after it, is not kept.
func TestLateAnswerIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) {
			d.Before = func(_ context.Context, op, _ string) error {
				if slow.Load() && op == "mkdir" {
					time.Sleep(time.Second)
				}
				return nil
			}
		})
		slow.Store(true)
		go func() { _, _ = b.Mkdir(context.Background(), "d", 0o755) }()
		time.Sleep(time.Millisecond)
		if b.sizeOf(t, "d") != -1 {
			t.Error("there before it was made")
		}
		b.list(t, ".")
		time.Sleep(2 * time.Second)
		if b.sizeOf(t, "d") == -1 {
			t.Error("the absence seen during mkdir outlived it")
		}
		if got := b.list(t, "."); len(got) != 1 {
			t.Errorf("the listing of before outlived it: %q", got)
		}
	})
}

// A change whose outcome is unknown may be executed late.
func TestUncertainChangeBars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) {
			d.Before = func(_ context.Context, op, _ string) error {
				if op == "remove" {
					return syscall.ETIMEDOUT
				}
				return nil
			}
		})
		b.disk(t, "d/f", "1")
		b.list(t, "d")
		if err := b.Remove(t.Context(), "d/f"); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Fatal(err)
		}
		b.sizeOf(t, "d/f")
		b.list(t, "d")
		check(t, os.Remove(filepath.Join(b.root, "d/f"))) // the late execution
		if b.sizeOf(t, "d/f") != -1 || len(b.list(t, "d")) != 0 {
			t.Error("a late removal is not seen")
		}
		time.Sleep(time.Minute + time.Second)
		b.sizeOf(t, "d/f")
		synctest.Wait() // for the listing that the third look here begins
		b.sizeOf(t, "d/f")
		b.costs(t, "a minute later", free, func() { b.sizeOf(t, "d/f") })
	})
}

// An explained failure leaves nothing uncertain.
func TestFailedChangeIsForgotten(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "f", "1")
	if _, err := b.Mkdir(t.Context(), "f", 0o755); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	b.costs(t, "a look, twice", map[string]int{"lstat": 1}, func() { b.sizeOf(t, "f"); b.sizeOf(t, "f") })
}

// Which of two changes at a time came last is not known.
func TestClashingChangesAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) { d.Latency = time.Second })
		b.disk(t, "f", "1")
		var both sync.WaitGroup
		for _, mode := range []uint32{0o600, 0o640} {
			both.Go(func() {
				_, err := b.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetMode, Mode: mode})
				check(t, err)
			})
		}
		both.Wait()
		b.costs(t, "a look", map[string]int{"lstat": 1}, func() { b.sizeOf(t, "f") })
	})
}

func TestOpenFollowsLinks(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "f", "hello")
	check(t, os.Symlink("f", filepath.Join(b.root, "l")))
	for _, known := range []bool{false, true} {
		if known {
			b.list(t, ".")
		}
		f := b.open(t, "l", flagWrite)
		_, err := f.WriteAt(t.Context(), []byte("x"), 9)
		check(t, err)
		_, err = f.Flush(t.Context())
		check(t, err)
		if a, err := b.Lstat(t.Context(), "l"); err != nil || !a.IsSymlink() {
			t.Errorf("known %v: the link is now %o, %v", known, a.Mode, err)
		}
		if a, err := b.Stat(t.Context(), "l"); err != nil || a.Size != 10 {
			t.Errorf("known %v: what it leads to has size %d, %v", known, a.Size, err)
		}
	}
	b.costs(t, "Stat and ReadLink, again", map[string]int{"readlink": 1}, func() {
		for range 2 {
			_, err := b.Stat(t.Context(), "l")
			check(t, err)
			_, err = b.ReadLink(t.Context(), "l")
			check(t, err)
		}
	})
}

// An open file keeps its attributes through renames and removal.
func TestOpenFileFollowsRename(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "d/f", "hello")
	b.list(t, "d")
	f := b.open(t, "d/f", flagWrite)
	check(t, b.Rename(t.Context(), "d", "e", false))
	_, err := f.WriteAt(t.Context(), []byte("more"), 10)
	check(t, err)
	if n := b.sizeOf(t, "e/f"); n != 14 {
		t.Errorf("size at the new path %d, want 14", n)
	}
	check(t, b.Remove(t.Context(), "e/f"))
	b.disk(t, "e/f", "another")
	_, err = f.WriteAt(t.Context(), []byte("x"), 99)
	check(t, err)
	if a, err := f.Stat(t.Context()); err != nil || a.Size != 100 {
		t.Errorf("the removed file: size %d, %v; want 100", a.Size, err)
	}
	b.Forget("e")
	if n := b.sizeOf(t, "e/f"); n != 7 {
		t.Errorf("its successor: size %d, want 7", n)
	}
}

// A listing by the server does not count data that is under way.
func TestListingCountsUnflushed(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	f := b.open(t, "f", flagNew)
	_, err := f.WriteAt(t.Context(), []byte("hello"), 0)
	check(t, err)
	sizes := map[string]int64{}
	for range 2 {
		check(t, b.ReadDir(t.Context(), ".", func(batch []remote.Entry) error {
			for _, e := range batch {
				sizes[e.Name] = e.Attr.Size
			}
			return nil
		}))
		if sizes["f"] != 5 || b.sizeOf(t, "f") != 5 {
			t.Errorf("listed %d, looked at %d; want 5", sizes["f"], b.sizeOf(t, "f"))
		}
	}
}

// A lateList is a remote whose listings arrive only when the gate is open.
type lateList struct {
	*remotetest.Dir
	gate chan struct{}
}

func (l lateList) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return l.Dir.ReadDir(ctx, path, func(batch []remote.Entry) error {
		<-l.gate
		return emit(batch)
	})
}

// A listing that the server told before data left, and that arrives after it, does not
// count that data either: its size is not told, nor held.
func TestListingOfBeforeAFlush(t *testing.T) {
	for name, send := range map[string]func(remote.File, context.Context) error{
		"flush": func(f remote.File, ctx context.Context) error { _, err := f.Flush(ctx); return err },
		"sync":  func(f remote.File, ctx context.Context) error { _, err := f.Sync(ctx); return err },
		"close": remote.File.Close,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				late := lateList{remotetest.NewDir(t.TempDir()), make(chan struct{})}
				late.WriteBehind = true
				c := New(late, fiveSeconds)
				defer func() { check(t, c.Close()) }()
				f, _, err := c.Open(t.Context(), "f", flagNew, 0o644)
				check(t, err)
				defer func() { _ = f.Close(context.Background()) }() // it may be closed
				_, err = f.WriteAt(t.Context(), []byte("hello"), 0)
				check(t, err)
				listed := make(chan int64, 1)
				go func() {
					_ = c.ReadDir(t.Context(), ".", func(batch []remote.Entry) error {
						listed <- batch[0].Attr.Size
						return nil
					})
				}()
				synctest.Wait()
				check(t, send(f, t.Context()))
				close(late.gate)
				if size := <-listed; size != 5 {
					t.Errorf("listed with %d bytes, want 5", size)
				}
				synctest.Wait()
				if a, err := c.Lstat(t.Context(), "f"); err != nil || a.Size != 5 {
					t.Errorf("looked at afterwards: %d bytes, %v; want 5", a.Size, err)
				}
			})
		})
	}
}

// TestListingKnowsUnflushedByNewName pins that as soon as a change of a name is over a
// listing knows that a file with data under way has that name: one begun by itself then would
// take the size of before for the file's. The change is held up right behind that moment.
func TestListingKnowsUnflushedByNewName(t *testing.T) {
	for op, change := range map[string]func(context.Context, *bench) error{
		"rename": func(ctx context.Context, b *bench) error { return b.Rename(ctx, "a/f", "d/g", false) },
		"link":   func(ctx context.Context, b *bench) error { _, err := b.Link(ctx, "a/f", "d/g"); return err },
	} {
		t.Run(op, func(t *testing.T) {
			begun := make(chan struct{})
			b := newBench(t, fiveSeconds, func(d *remotetest.Dir) {
				d.Before = func(_ context.Context, now, _ string) error {
					if now == op {
						close(begun)
					}
					return nil
				}
			})
			for _, dir := range []string{"a", "d"} {
				_, err := b.Mkdir(t.Context(), dir, 0o755)
				check(t, err)
			}
			_, err := b.open(t, "a/f", flagNew).WriteAt(t.Context(), []byte("hello"), 0)
			check(t, err)
			over := make(chan error)
			b.sweeping.Store(false)
			b.mu.Lock() // sweepLater waits for it
			go func() { over <- change(t.Context(), b) }()
			<-begun
			for under := true; under; time.Sleep(time.Millisecond) {
				b.tree.mu.Lock()
				under = len(b.tree.changes) > 0
				b.tree.mu.Unlock()
			}
			if _, known := b.unflushed(&list{path: "d"})["g"]; !known {
				t.Error("it is not known by its new name")
			}
			b.mu.Unlock()
			check(t, <-over)
		})
	}
}

func TestReadDirStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		for i := range 250 {
			b.disk(t, fmt.Sprint("d/", i), "")
		}
		stop := errors.New("enough")
		var got int
		err := b.ReadDir(t.Context(), "d", func(batch []remote.Entry) error { got += len(batch); return stop })
		if !errors.Is(err, stop) || got != 100 {
			t.Errorf("%d names, %v; want the first batch and our own error", got, err)
		}
		synctest.Wait()
		b.costs(t, "the listing that went on", free, func() {
			if n := len(b.list(t, "d")); n != 250 {
				t.Errorf("%d names", n)
			}
		})
	})
}

// What is known of a file goes along with its name, and is over when it would have been.
func TestRenameDoesNotProlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		b.disk(t, "f", "data")
		b.sizeOf(t, "f")
		b.disk(t, "f", "more data")
		time.Sleep(4 * time.Second)
		check(t, b.Rename(t.Context(), "f", "g", false))
		b.costs(t, "a look by the new name", free, func() { b.sizeOf(t, "g") })
		time.Sleep(2 * time.Second)
		if n := b.sizeOf(t, "g"); n != 9 {
			t.Errorf("%d bytes six seconds after they were told, want 9", n)
		}
	})
}

// Random work, by one program, looks the same as without the cache.
func TestLikeWithoutCache(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { likeWithoutCache(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func likeWithoutCache(t *testing.T, rnd *rand.Rand) {
	b := newBench(t, Config{AttrTimeout: time.Hour, MaxEntries: 12}, nil)
	ctx := t.Context()
	paths := []string{"a", "b", "a/x", "a/y", "b/x", "b/y", "a/x/z", "b/x/z"}
	pick := func() string { return paths[rnd.IntN(len(paths))] }
	files := map[string]remote.File{}
	for range 300 {
		p, q := pick(), pick()
		switch rnd.IntN(13) {
		case 0:
			_, _ = b.Mkdir(ctx, p, 0o755)
		case 1:
			_ = b.Remove(ctx, p)
		case 2:
			_ = b.Rmdir(ctx, p)
		case 3:
			_ = b.Rename(ctx, p, q, rnd.IntN(2) == 0)
		case 4:
			_, _ = b.Symlink(ctx, "nowhere", p)
		case 5:
			if f, _, err := b.Open(ctx, p, flagWrite|remote.FlagCreate|remote.OpenFlag(rnd.IntN(2))*remote.FlagTruncate, 0o644); err == nil {
				if old := files[p]; old != nil {
					check(t, old.Close(ctx))
				}
				files[p] = f
			}
		case 6, 7:
			if f := files[p]; f != nil {
				_, err := f.WriteAt(ctx, []byte("data"), rnd.Int64N(100))
				check(t, err)
			}
		case 8:
			if f := files[p]; f != nil {
				_, err := f.Flush(ctx)
				check(t, err)
			}
		case 9: // with x for the owner, or who is not root could not look below a folder
			_, _ = b.SetAttr(ctx, p, remote.Change{Fields: remote.SetMode, Mode: 0o700 + rnd.Uint32N(64)})
		case 10:
			_, _ = b.Link(ctx, p, q)
		case 11:
			_ = b.ReadDir(ctx, p, func([]remote.Entry) error { return nil })
		}
		for _, p := range []string{pick(), q, p} {
			got, err := b.Lstat(ctx, p)
			want, wantErr := b.dir.Lstat(ctx, p)
			got.Atime, want.Atime = 0, 0
			if want.IsDir() {
				got.Nlink, want.Nlink = 0, 0
			}
			got.Mtime, want.Mtime = 0, 0
			if errors.Is(wantErr, syscall.ENOTDIR) {
				wantErr = syscall.ENOENT // SFTP does not tell them apart
			}
			if errors.Is(err, syscall.ENOTDIR) {
				err = syscall.ENOENT
			}
			if got != want || errno(err) != errno(wantErr) {
				t.Fatalf("Lstat %s: %+v, %v; want %+v, %v", p, got, err, want, wantErr)
			}
		}
	}
	for _, f := range files {
		check(t, f.Close(ctx))
	}
}
