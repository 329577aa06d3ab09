package pool

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What is written while the server is away stays within the bound, by the memory that it
// takes, and what files that have nothing there get beyond it is bounded, too.
func TestWriteMemoryIsWhatIsTaken(t *testing.T) {
	for name, c := range map[string]struct{ files, length, every int }{
		"short and scattered":       {12, 5 << 10, 80 << 10},
		"a bit more than a buffer":  {12, 33 << 10, 80 << 10},
		"whole packets":             {12, 1 << 20, 1 << 20},
		"small and in order":        {12, 700, 700},
		"one packet of many files":  {1000, 255 << 10, 255 << 10},
		"a small one of many files": {1000, 1 << 10, 80 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const bound = 16 << 20
				p := unreachable(t, Config{WriteMemory: bound, Retry: time.Hour}) // nothing is given up while it is counted
				taken, held := int64(0), int64(0)
				var files []*file
				for range c.files {
					f := openFile(p)
					files = append(files, f)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					for i, data := 0, make([]byte, c.length); ; i++ {
						if _, err := f.WriteAt(ctx, data, int64(i*c.every)); err != nil {
							break
						}
					}
					cancel()
				}
				for _, f := range files {
					f.mu.Lock()
					f.send()
					for c := f.out.first; c != nil; c = c.next {
						taken, held = taken+int64(cap(c.buf)), held+int64(len(c.buf))
					}
					f.mu.Unlock()
				}
				if most := int64(bound + writeWindow + (c.files+64)*smallBuffer); taken > most || taken != p.WriteMemory() {
					t.Errorf("%d KiB are taken, %d counted, the bound is %d", taken>>10, p.WriteMemory()>>10, most>>10)
				}
				if held != p.Unacknowledged() || held*2 < taken && c.length > smallBuffer {
					t.Errorf("%d KiB are held, %d counted, in %d KiB", held>>10, p.Unacknowledged()>>10, taken>>10)
				}
				for _, f := range files {
					f.lose(errors.New("the end of the test"))
				}
				if p.WriteMemory() != 0 || p.Unacknowledged() != 0 {
					t.Errorf("%d taken, %d held after the end", p.WriteMemory(), p.Unacknowledged())
				}
			})
		})
	}
}
