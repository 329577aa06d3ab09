package fsnode

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// An endless Remote has folders with so many names that nobody sees the last.
type endless struct {
	remote.Remote
	most int // names there are, unless 0

	mu    sync.Mutex
	given []int // guarded by mu; names handed on, by run
}

func (e *endless) ReadDir(ctx context.Context, _ string, emit func([]remote.Entry) error) error {
	run := e.note(-1, 0)
	for n := 0; e.most == 0 || n < e.most; {
		batch := make([]remote.Entry, 100)
		for i := range batch {
			batch[i] = remote.Entry{Name: fmt.Sprint("name", n+i), Attr: aFile}
		}
		if err := emit(batch); err != nil {
			return err
		}
		n += len(batch)
		e.note(run, len(batch))
	}
	return nil
}

func (e *endless) Info() remote.Info { return remote.Info{} }

// note notes names of a run, a new one when it is -1, and gives its number.
func (e *endless) note(run, names int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run < 0 {
		run = len(e.given)
		e.given = append(e.given, 0)
	}
	e.given[run] += names
	return run
}

// counts gives the runs, and the names of all.
func (e *endless) counts() (runs, names int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.given {
		names += n
	}
	return len(e.given), names
}

// reads reads so many names of a folder from an offset on, as one READDIR after the
// other, and gives the offset behind them.
func (d *dirHandle) reads(t *testing.T, off uint64, count int) uint64 {
	t.Helper()
	for count > 0 {
		answer := min(count, 1000)
		r := &reading{dirHandle: d, list: d.listing(off), path: "."}
		if err := r.read(t.Context(), off, func(_ *reading, e fuse.DirEntry, entry *remote.Entry) bool {
			if answer == 0 {
				return false
			}
			if want := fmt.Sprint("name", off-2); entry != nil && e.Name != want {
				t.Fatalf("%s at %d", e.Name, off)
			}
			answer--
			count--
			off = e.Off
			return true
		}); err != nil {
			t.Fatalf("at %d: %v", off, err)
		}
	}
	return off
}

// A folder without an end is read as it comes: as much of it as is kept is in memory,
// and every place in it can be gone back to.
func TestEndlessListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endless{}
		f := newFilesystem(Config{Remote: e})
		open := func() *dirHandle { return &dirHandle{fs: f, node: f.tree.root} }
		var all []*dirHandle
		held := func(what string, most int64) {
			t.Helper()
			synctest.Wait()
			if n := f.kept.Load(); n > most {
				t.Errorf("%s: %d names are kept", what, n)
			}
			_, given := e.counts()
			t.Logf("%s: %d names kept of %d", what, f.kept.Load(), given)
		}
		d := open()
		all = append(all, d)
		end := d.reads(t, 0, 10)
		held("after ten names", keptNames+100)
		end = d.reads(t, end, 300_000)
		held("after 300,000", keptNames+100)
		d.reads(t, end-1000, 2000)
		if runs, _ := e.counts(); runs != 1 {
			t.Error("a step back listed the folder again")
		}
		d.reads(t, 5, 1000)
		d.reads(t, 200_000, 1000)
		d.reads(t, 0, 1000)
		held("after going back", keptNames+100)
		for range 50 {
			all = append(all, open())
			all[len(all)-1].reads(t, 0, 100_000)
		}
		held("in fifty folders", keptInAll+keptNames+51*(keptLeast+100))
		for _, d := range all[1:] {
			d.close()
		}
		d.reads(t, d.lastOff, 100_000)
		d.close()
		held("when all are closed", 0)
		f.stop()
		f.work.Wait()
	})
}

// A folder of an ordinary size is listed once, wherever its reader goes.
func TestOrdinaryListingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endless{most: keptNames / 100 * 100}
		f := newFilesystem(Config{Remote: e})
		d := &dirHandle{fs: f, node: f.tree.root}
		end := d.reads(t, 0, e.most)
		d.reads(t, 2, 1000)
		d.reads(t, end-500, 500)
		d.reads(t, 30_000, 1000)
		if runs, _ := e.counts(); runs != 1 {
			t.Errorf("listed %d times", runs)
		}
		d.close()
		f.stop()
		f.work.Wait()
	})
}

// place gives what the kernel is told of the entry at an offset.
func (d *dirHandle) place(t *testing.T, off uint64) (slot fuse.EntryOut) {
	t.Helper()
	r, first := &reading{dirHandle: d, list: d.listing(off), path: "."}, true
	if err := r.read(t.Context(), off, func(r *reading, _ fuse.DirEntry, entry *remote.Entry) bool {
		if first {
			r.fill(&slot, entry)
		}
		defer func() { first = false }()
		return first
	}); err != nil {
		t.Fatalf("at %d: %v", off, err)
	}
	return slot
}

// TestListedAttributesAge pins that the attributes of a listing live no longer than
// others, however long the folder is open, and set back nothing that is newer.
func TestListedAttributesAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFilesystem(Config{Remote: &endless{most: 300}, AttrTimeout: 5 * time.Second})
		d := &dirHandle{fs: f, node: f.tree.root}
		if slot := d.place(t, 2); slot.AttrTimeout() != 5*time.Second {
			t.Errorf("at once: %v to live", slot.AttrTimeout())
		}
		synctest.Wait()
		longer := aFile
		longer.Size = 100
		n := f.tree.enter(f.tree.root, ".", "name50", longer)
		if slot := d.place(t, 52); slot.NodeId != 0 || n.told != longer.Stamp() {
			t.Errorf("a file that has grown since: %d bytes", slot.Size)
		}
		time.Sleep(3 * time.Second)
		if slot := d.place(t, 153); slot.AttrTimeout() != 2*time.Second || slot.EntryTimeout() != 2*time.Second {
			t.Errorf("after three seconds: %v and %v to live", slot.AttrTimeout(), slot.EntryTimeout())
		}
		time.Sleep(3 * time.Second)
		if slot := d.place(t, 254); slot.NodeId != 0 {
			t.Errorf("after six seconds: %v to live", slot.AttrTimeout())
		}
		d.close()
		f.stop()
		f.work.Wait()
	})
}
