package cache

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// folders makes folders of files, two levels deep.
func (b *bench) folders(t testing.TB, folders, files int) {
	t.Helper()
	for d := range folders {
		dir := filepath.Join(b.root, fmt.Sprintf("d%d", d))
		check(t, os.MkdirAll(dir, 0o755))
		for f := range files {
			check(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", f)), []byte("data"), 0o644))
		}
	}
}

// walk goes through a tree, each folder before what is in it, and gives the number
// of folders.
func (b *bench) walk(t testing.TB, dir string, sorted bool) int {
	t.Helper()
	var folders []string
	check(t, b.ReadDir(t.Context(), dir, func(batch []remote.Entry) error {
		for _, e := range batch {
			if e.Attr.IsDir() {
				folders = append(folders, remote.Join(dir, e.Name))
			}
		}
		return nil
	}))
	if sorted {
		slices.Sort(folders)
	}
	n := 1
	for _, f := range folders {
		n += b.walk(t, f, sorted)
	}
	return n
}

// A program that lists a tree in order waits for a few round trips.
func TestWalkListsAhead(t *testing.T) {
	for name, sorted := range map[string]bool{"as listed": false, "by name": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, fiveSeconds, slow)
				b.folders(t, 100, 20)
				for i := range 30 {
					check(t, os.MkdirAll(filepath.Join(b.root, fmt.Sprintf("d%d/sub%d/deep", 3*i, i)), 0o755))
				}
				start := time.Now()
				if n := b.walk(t, ".", sorted); n != 161 {
					t.Errorf("%d folders, want 161", n)
				}
				if took, most := time.Since(start), 20*roundTrip; took > most {
					t.Errorf("it took %v, want at most %v", took, most)
				}
				if n := b.dir.Calls()["readdir"]; n != 161 {
					t.Errorf("%d listings, want 161", n)
				}
				t.Logf("%v, %+v", time.Since(start), b.Stats())
			})
		})
	}
}

// A walk that takes longer than a listing lives goes on being guessed, and what is
// read ahead for it is not more than it comes to in that time.
func TestLongWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		b.folders(t, 150, 1)
		names := b.list(t, ".")
		start := time.Now()
		var waited time.Duration
		for _, d := range names {
			before := time.Now()
			b.list(t, d)
			waited += time.Since(before)
			time.Sleep(500 * time.Millisecond)
		}
		if took := time.Since(start); took < time.Minute {
			t.Fatalf("not that long: %v", took)
		}
		if most := 30 * roundTrip; waited > most {
			t.Errorf("waited %v for %d folders, want at most %v", waited, len(names), most)
		}
		if n := b.dir.Calls()["readdir"]; n > 300 {
			t.Errorf("%d listings for %d folders", n, len(names))
		}
		t.Logf("waited %v, %v, %+v", waited, b.dir.Calls(), b.Stats())
	})
}

// Who lists one folder, or jumps about, has nothing listed ahead for long.
func TestJumpingListsLittleAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		b.folders(t, 200, 1)
		b.list(t, ".")
		if n := b.dir.Calls()["readdir"]; n != 1 {
			t.Errorf("%d listings for one", n)
		}
		for i := range 60 {
			b.list(t, fmt.Sprintf("d%d", i*i*7%200))
			time.Sleep(time.Second)
		}
		if n := b.dir.Calls()["readdir"]; n > 100 {
			t.Errorf("%d listings for 60", n)
		}
	})
}

// git status looks at each file it knows, and lists nothing.
func TestLooksListAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		b.folders(t, 50, 20)
		b.sizeOf(t, "d0")
		start := time.Now()
		names := listDisk(t, b.root)
		for _, d := range names {
			b.sizeOf(t, d)
			for f := range 20 {
				if b.sizeOf(t, fmt.Sprintf("%s/f%d", d, f)) != 4 {
					t.Error("wrong size")
				}
			}
		}
		if took, most := time.Since(start), 100*roundTrip; took > most {
			t.Errorf("1000 looks took %v, want at most %v", took, most)
		}
		t.Logf("%v, %v", time.Since(start), b.dir.Calls())
	})
}

// A desktop looks at the root of every new mount for names that are mostly not there,
// and lists it, perhaps at the same time: it goes nowhere from there.
func TestLooksInVainListNothingAhead(t *testing.T) {
	looks := []string{".xdg-volume-info", "autorun.inf", "BDMV", ".Trash", ".Trash-1000", ".hidden"}
	look := func(t *testing.T, b *bench) {
		for _, name := range looks {
			if b.sizeOf(t, name) != -1 {
				t.Errorf("%s is there", name)
			}
		}
	}
	for name, desktop := range map[string]func(t *testing.T, b *bench){
		"looks":       look,
		"then a list": func(t *testing.T, b *bench) { look(t, b); b.list(t, ".") },
		"and a list": func(t *testing.T, b *bench) {
			go func() { time.Sleep(7 * roundTrip / 2); b.list(t, ".") }()
			look(t, b)
		},
		"what is there": func(t *testing.T, b *bench) { look(t, b); b.sizeOf(t, "d7") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, fiveSeconds, slow)
				b.folders(t, 20, 5)
				desktop(t, b)
				time.Sleep(time.Second)
				if n := b.dir.Calls()["readdir"]; n != 1 {
					t.Errorf("%d listings, want that of the root", n)
				}
				if n := b.dir.Calls()["lstat"]; n > mostMisses+1 {
					t.Errorf("%d looks are asked", n)
				}
			})
		})
	}
}

// Whoever makes files one after the other is told at once that none is there yet,
// and the listing that tells it has those made meanwhile.
func TestCreatingAsksForNoNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		for i := range 20 {
			b.disk(t, fmt.Sprintf("d/old%d", i), "")
		}
		for i := range 50 {
			path := fmt.Sprintf("d/new%d", i)
			if b.sizeOf(t, path) != -1 {
				t.Errorf("%s is there", path)
			}
			f, _, err := b.Open(t.Context(), path, flagNew, 0o644)
			check(t, err)
			write(t, f, 0)
			_, err = f.Flush(t.Context())
			check(t, err)
			check(t, f.Close(t.Context()))
			if b.sizeOf(t, path) != 7 {
				t.Errorf("%s has another size", path)
			}
		}
		calls := b.dir.Calls()
		if calls["lstat"] > 5 || calls["readdir"] > 3 {
			t.Errorf("calls %v", calls)
		}
		if got, want := b.list(t, "d"), listDisk(t, filepath.Join(b.root, "d")); !slices.Equal(got, want) {
			t.Errorf("listing %q, want %q", got, want)
		}
	})
}

func testInode(path string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(path))
	return h.Sum64()
}
