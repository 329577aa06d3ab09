package sync

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"
)

// A hundred thousand unchanged files took up to 68 MB: half of it for what nobody used.
func TestANameTakesLittle(t *testing.T) {
	if n := unsafe.Sizeof(Named{}); n > 72 {
		t.Errorf("a name takes %d bytes", n)
	}
}

// The names of one folder after the other lie in the same place.
func TestAWalkerKeepsItsRoom(t *testing.T) {
	p, l, names := &pass{}, &[2]listing{}, make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprint("file", i)
	}
	folder := func() {
		for side := range l {
			for _, n := range names {
				l[side].add(Named{Name: n}, nil)
			}
		}
		p.drop(l)
	}
	folder()
	if n := testing.AllocsPerRun(10, folder); n > 0 {
		t.Errorf("%v allocations for a folder", n)
	}
	if room := l[Local].names; len(room) > 0 || room[:1][0].Name != "" {
		t.Error("a name is held on to")
	}
	for range keptRoom + 1 {
		l[Local].add(Named{Name: "f"}, nil)
	}
	if p.drop(l); l[Local].names != nil {
		t.Error("the room for a large folder is held on to")
	}
}

// Where nothing is copied there is nobody to copy.
func TestNoWorkersWithoutWork(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	for i := range 10 {
		at := fmt.Sprintf("d%d/f", i)
		put(t, p.local, at, "text", old)
		put(t, p.remote, at, "text", old)
	}
	most := atomic.Int64{}
	p.dir.Before = func(context.Context, string, string) error {
		most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
		return nil
	}
	p.clean()
	if n := most.Load(); n > 3*listers {
		t.Errorf("%d goroutines", n)
	}
}

func TestACrewGrowsToItsMost(t *testing.T) {
	c, workers := newCrew(2), atomic.Int64{}
	for range 5 {
		c.call(func(tasks <-chan task) {
			workers.Add(1)
			for range tasks {
			}
		})
	}
	if c.end(); workers.Load() != 2 {
		t.Errorf("%d workers", workers.Load())
	}
}
