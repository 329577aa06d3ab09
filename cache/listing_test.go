package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A slowList holds a listing back after its first batch.
type slowList struct {
	*remotetest.Dir
	gate chan struct{}
}

func (s *slowList) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return s.Dir.ReadDir(ctx, path, func(batch []remote.Entry) error {
		if err := emit(batch); err != nil {
			return err
		}
		if s.gate != nil {
			<-s.gate
		}
		return nil
	})
}

// A listing that was begun before a change of ours is not for who asks after it,
// whether it is still under way then or held.
func TestListingBegunBeforeAChange(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, c *Cache){
		"mkdir":   func(t *testing.T, c *Cache) { _, err := c.Mkdir(t.Context(), "d/new", 0o755); check(t, err) },
		"rmdir":   func(t *testing.T, c *Cache) { check(t, c.Rmdir(t.Context(), "d/old")) },
		"remove":  func(t *testing.T, c *Cache) { check(t, c.Remove(t.Context(), "d/f")) },
		"rename":  func(t *testing.T, c *Cache) { check(t, c.Rename(t.Context(), "d/f", "d/g", false)) },
		"symlink": func(t *testing.T, c *Cache) { _, err := c.Symlink(t.Context(), "f", "d/new"); check(t, err) },
		"link":    func(t *testing.T, c *Cache) { _, err := c.Link(t.Context(), "d/f", "e/new"); check(t, err) },
		"chmod": func(t *testing.T, c *Cache) {
			_, err := c.SetAttr(t.Context(), "d/f", remote.Change{Fields: remote.SetMode, Mode: 0o600})
			check(t, err)
		},
		"create and write": func(t *testing.T, c *Cache) {
			f, _, err := c.Open(t.Context(), "d/new", flagNew, 0o644)
			check(t, err)
			_, err = f.WriteAt(t.Context(), []byte("data"), 0)
			check(t, err)
			check(t, f.Close(t.Context()))
		},
		"the folder itself": func(t *testing.T, c *Cache) {
			check(t, c.Rename(t.Context(), "d", "x", false))
			check(t, c.Rename(t.Context(), "e", "d", false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := t.TempDir()
				for _, dir := range []string{"d/old", "e"} {
					check(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
				}
				for i := range 150 {
					check(t, os.WriteFile(filepath.Join(root, "d", fmt.Sprint(i)), nil, 0o644))
				}
				check(t, os.WriteFile(filepath.Join(root, "d/f"), []byte("f"), 0o644))
				below := &slowList{remotetest.NewDir(root), make(chan struct{})}
				c := New(below, fiveSeconds)
				defer func() { check(t, c.Close()) }()
				list := func() []string {
					var got []string
					check(t, c.ReadDir(t.Context(), "d", func(batch []remote.Entry) error {
						for _, e := range batch {
							got = append(got, fmt.Sprint(e.Name, e.Attr.Mode, e.Attr.Size))
						}
						return nil
					}))
					slices.Sort(got)
					return got
				}
				first := make(chan []string)
				go func() { first <- list() }()
				synctest.Wait()
				change(t, c)
				second := make(chan []string)
				go func() { second <- list() }()
				synctest.Wait()
				close(below.gate)
				<-first
				var want []string
				check(t, below.Dir.ReadDir(t.Context(), "d", func(batch []remote.Entry) error {
					for _, e := range batch {
						want = append(want, fmt.Sprint(e.Name, e.Attr.Mode, e.Attr.Size))
					}
					return nil
				}))
				slices.Sort(want)
				if got := <-second; !slices.Equal(got, want) {
					t.Errorf("begun after it: %d names, want %d", len(got), len(want))
				}
				if got := list(); !slices.Equal(got, want) {
					t.Errorf("when both had ended: %d names, want %d", len(got), len(want))
				}
			})
		})
	}
}

// Of a name about which nothing is known after two changes at a time, or one that
// failed, a listing that is held does not say that it is not there.
func TestListingAfterFailedChange(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "d/f", "")
	b.list(t, "d")
	check(t, os.Mkdir(filepath.Join(b.root, "d/new"), 0o755)) // by somebody else
	if _, err := b.Mkdir(t.Context(), "d/new", 0o755); errno(err) != syscall.EEXIST {
		t.Fatal(err)
	}
	if got := b.list(t, "d"); fmt.Sprint(got) != "[f new]" {
		t.Errorf("listed %v", got)
	}
}

// hiding is a server whose listings leave out what it cannot look at.
type hiding struct {
	*remotetest.Dir
	user remote.Info
}

func (h hiding) Info() remote.Info { return h.user }

// A listing of a folder that may be listed and not passed proves no absence.
func TestListingProvesNoAbsence(t *testing.T) {
	own := remote.Info{KnownOwner: true, UID: uint32(os.Getuid())}
	if os.Getuid() == 0 {
		own.UID = 7
	}
	for _, c := range []struct {
		mode   os.FileMode
		files  int
		user   remote.Info
		proves bool
	}{
		{0o755, 0, own, true},
		{0o711, 0, own, true},
		{0o755, 0, remote.Info{}, true},
		{0o644, 0, own, false},
		{0o644, 1, own, false}, // a server that tells names all the same
		{0o750, 0, remote.Info{}, false},
		{0o750, 1, remote.Info{}, true},
		{0o600, 0, remote.Info{KnownOwner: true}, true}, // root
	} {
		t.Run(fmt.Sprintf("%o with %d by %v", c.mode, c.files, c.user), func(t *testing.T) {
			root := t.TempDir()
			check(t, os.Mkdir(filepath.Join(root, "d"), 0o755))
			for i := range c.files {
				check(t, os.WriteFile(filepath.Join(root, "d", fmt.Sprint(i)), nil, 0o644))
			}
			if os.Getuid() == 0 {
				check(t, os.Chown(filepath.Join(root, "d"), 7, 7))
			}
			h := hiding{remotetest.NewDir(root), c.user}
			cache := New(h, fiveSeconds)
			defer func() { check(t, cache.Close()) }()
			if os.Getuid() != 0 { // what is listed below has to be readable
				t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "d"), 0o755) })
			}
			check(t, os.Chmod(filepath.Join(root, "d"), c.mode))
			_, err := cache.Lstat(t.Context(), "d")
			check(t, err)
			check(t, cache.ReadDir(t.Context(), "d", func([]remote.Entry) error { return nil }))
			h.Reset()
			_, _ = cache.Lstat(t.Context(), "d/none")
			if proved := h.Calls()["lstat"] == 0; proved != c.proves {
				t.Errorf("an absence was answered from the listing: %v, want %v", proved, c.proves)
			}
		})
	}
}

// A change of mode makes an end of what was known of the names in a folder.
func TestChmodOfFolderForgetsNames(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "d/f", "")
	b.list(t, "d")
	_, err := b.SetAttr(t.Context(), "d", remote.Change{Fields: remote.SetMode, Mode: 0o711})
	check(t, err)
	b.costs(t, "looks after a chmod", map[string]int{"lstat": 2}, func() {
		b.sizeOf(t, "d/f")
		b.sizeOf(t, "d/none")
	})
}

// What a change costs does not grow with the folders that are held elsewhere, nor
// what a look costs with the changes that failed.
func TestCostUnderTheLock(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	const folders = 20_000
	b.tree.mu.Lock()
	for i := range folders {
		b.tree.put(fmt.Sprintf("d%d/e/f", i), present, remote.Attr{})
	}
	b.tree.mu.Unlock()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const changes = 20
	for i := range changes {
		b.tree.end(b.tree.begin(wholeTree, fmt.Sprintf("new%d", i)), nil, nil)
	}
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) / changes; used > 64<<10 {
		t.Errorf("a change took %d bytes with %d folders held", used, folders)
	}

	find := func() time.Duration {
		least := time.Hour
		for range 5 {
			begun := time.Now()
			for range 1000 {
				_, _ = b.tree.find("x/y/z") // what it tells is not the matter here
			}
			least = min(least, time.Since(begun))
		}
		return least
	}
	few := find()
	for i := range 10_000 {
		b.tree.end(b.tree.begin(names, fmt.Sprintf("failed/%d", i)), syscall.ETIMEDOUT, nil)
	}
	if many := find(); many > 50*few+time.Millisecond {
		t.Errorf("1000 looks took %v, and %v after 10,000 changes failed", few, many)
	}
	if !b.tree.barred("failed/7/x") || b.tree.barred("failed") || b.tree.barred("failedx/7") || !b.tree.barredIn("failed") {
		t.Error("the wrong paths are barred")
	}
}

// What is below a folder goes with it, and nothing else, whatever was held.
func TestFoldersBelow(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	t1 := b.tree
	t1.mu.Lock()
	defer t1.mu.Unlock()
	for _, p := range []string{"a/b/c/f", "a/b2/f", "a/f", "ab/f", "f"} {
		t1.put(p, present, remote.Attr{})
	}
	t1.dropBelow("a/b")
	held := func() []string { return slices.Sorted(slices.Values(t1.folders.Keys())) }
	if got := fmt.Sprint(held()); got != "[. a a/b2 ab]" {
		t.Errorf("held: %v", got)
	}
	t1.dropBelow("a")
	if got := fmt.Sprint(held()); got != "[. ab]" {
		t.Errorf("held: %v", got)
	}
	t1.dropBelow(".")
	if len(held()) != 0 || len(t1.below) != 0 || t1.count != 0 {
		t.Errorf("held %v, ways %v, %d names", held(), t1.below, t1.count)
	}
}

// A slowListing is one of the folder d that has told its first names.
type slowListing struct {
	*Cache
	root string
	gate chan struct{} // lets the rest come
	told string        // one of those names, of an empty file
	over chan error
}

func listSlowly(t *testing.T) *slowListing {
	t.Helper()
	root := t.TempDir()
	check(t, os.Mkdir(filepath.Join(root, "d"), 0o755))
	for i := range 150 {
		check(t, os.WriteFile(filepath.Join(root, "d", fmt.Sprint(i)), nil, 0o644))
	}
	below := &slowList{remotetest.NewDir(root), make(chan struct{})}
	l := &slowListing{Cache: New(below, fiveSeconds), root: root, gate: below.gate, over: make(chan error, 1)}
	t.Cleanup(func() { check(t, l.Close()) })
	go func() {
		l.over <- l.ReadDir(t.Context(), "d", func(batch []remote.Entry) error {
			if l.told == "" {
				l.told = "d/" + batch[0].Name
			}
			return nil
		})
	}()
	synctest.Wait()
	return l
}

// What a listing tells of a name is as old as that is, however long the rest took.
func TestListingLivesFromItsArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listSlowly(t)
		time.Sleep(4 * time.Second)
		close(l.gate)
		check(t, <-l.over)
		check(t, os.WriteFile(filepath.Join(l.root, l.told), []byte("more"), 0o644))
		time.Sleep(2 * time.Second)
		if a, err := l.Lstat(t.Context(), l.told); err != nil || a.Size != 4 {
			t.Errorf("%d bytes, %v, six seconds after it was told", a.Size, err)
		}
	})
}

// Nobody is told names by a listing that began longer ago than one is held.
func TestOldListingIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listSlowly(t)
		time.Sleep(10 * time.Second)
		check(t, os.Remove(filepath.Join(l.root, l.told)))
		names := make(chan int, 1)
		go func() {
			n := 0
			_ = l.ReadDir(t.Context(), "d", func(batch []remote.Entry) error {
				for _, e := range batch {
					if "d/"+e.Name == l.told {
						t.Errorf("%s is told, and others removed it long ago", l.told)
					}
				}
				n += len(batch)
				return nil
			})
			names <- n
		}()
		synctest.Wait()
		close(l.gate)
		check(t, <-l.over)
		if n := <-names; n != 149 {
			t.Errorf("%d names, want 149", n)
		}
	})
}

// A name of which the server said, after its folder was listed, that it is not there, may
// be given to something of which nothing is known.
func TestListingHasWhatCameToAnAbsentName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) {
			d.Before = func(_ context.Context, op, path string) error {
				if op == "lstat" && path == "d/new" {
					<-answer
				}
				return nil
			}
		})
		b.disk(t, "d/old", "")
		b.disk(t, "unknown", "")
		asked := make(chan error)
		go func() {
			_, err := b.Lstat(t.Context(), "d/new")
			asked <- err
		}()
		synctest.Wait()
		listDir(t, b, "d")
		close(answer)
		if err := <-asked; !errors.Is(err, syscall.ENOENT) {
			t.Fatal(err)
		}
		check(t, b.Rename(t.Context(), "unknown", "d/new", false))
		if names := listDir(t, b, "d"); !slices.Contains(names, "d/new") {
			t.Errorf("%q lacks what was renamed", names)
		}
	})
}
