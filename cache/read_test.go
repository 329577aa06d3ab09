package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
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

// noise gives n bytes, always the same, with no repetition.
func noise(n int) []byte { return someNoise()[:n] }

var someNoise = sync.OnceValue(func() []byte {
	p := make([]byte, 32<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p)
	return p
})

const roundTrip = 20 * time.Millisecond

func slow(d *remotetest.Dir) { d.Latency = roundTrip }

// readAll reads like the kernel without root: 128 KiB at a time, two under way.
func readAll(t testing.TB, f remote.File, size int) []byte {
	t.Helper()
	const chunk = 128 << 10
	got := make([]byte, size)
	slots := make(chan struct{}, 2)
	var all sync.WaitGroup
	for off := 0; off < size; off += chunk {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			p := got[off:min(off+chunk, size)]
			if n, err := f.ReadAt(t.Context(), p, int64(off)); n < len(p) {
				t.Errorf("ReadAt %d: %d bytes, %v", off, n, err)
			}
		})
	}
	all.Wait()
	return got
}

// A sequential reader waits for a few round trips, not for one per read.
func TestSequentialReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := noise(24 << 20)
		b := newBench(t, fiveSeconds, slow)
		b.disk(t, "f", string(data))
		f := b.open(t, "f", remote.FlagRead)
		start := time.Now()
		got := readAll(t, f, len(data))
		took := time.Since(start)
		if !bytes.Equal(got, data) {
			t.Error("not what is in the file")
		}
		if most := 12 * roundTrip; took > most {
			t.Errorf("24 MiB took %v, want at most %v", took, most)
		}
		if held := b.Stats().Bytes; held > 8<<20 {
			t.Errorf("%d bytes held behind the reader", held)
		}
		if n := b.dir.Calls()["read"]; n > 50 {
			t.Errorf("%d reads", n)
		}
		check(t, f.Close(t.Context()))
		if held := b.Stats().Bytes; held != 0 {
			t.Errorf("%d bytes held after Close", held)
		}
	})
}

func TestSeveralReadersOfOneFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := noise(16 << 20)
		b := newBench(t, fiveSeconds, slow)
		b.disk(t, "f", string(data))
		f := b.open(t, "f", remote.FlagRead)
		start := time.Now()
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				part := len(data) / 4
				for off := i * part; off < (i+1)*part; off += 128 << 10 {
					p := make([]byte, 128<<10)
					if _, err := f.ReadAt(t.Context(), p, int64(off)); err != nil {
						t.Errorf("ReadAt %d: %v", off, err)
					}
					if !bytes.Equal(p, data[off:off+len(p)]) {
						t.Errorf("other data at %d", off)
					}
				}
			})
		}
		all.Wait()
		if took, most := time.Since(start), 12*roundTrip; took > most {
			t.Errorf("four readers took %v, want at most %v", took, most)
		}
	})
}

// The window of a reader that takes its time stays small.
func TestSlowReaderKeepsWindowSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, slow)
		b.disk(t, "f", string(noise(16<<20)))
		f := b.open(t, "f", remote.FlagRead)
		p := make([]byte, 128<<10)
		for off := int64(0); off < 8<<20; off += int64(len(p)) {
			_, err := f.ReadAt(t.Context(), p, off)
			check(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		if held := b.Stats().Bytes; held > 4<<20 {
			t.Errorf("%d bytes held for a reader of 1 MB/s", held)
		}
	})
}

// The first bytes do not wait for what is read ahead.
func TestFirstReadIsSmall(t *testing.T) {
	var biggest atomic.Int64
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "f", string(noise(8<<20)))
	f := b.open(t, "f", remote.FlagRead)
	if _, err := f.ReadAt(t.Context(), make([]byte, 4096), 0); err != nil {
		t.Fatal(err)
	}
	biggest.Store(b.Stats().Bytes)
	if n := biggest.Load(); n > 256<<10 {
		t.Errorf("%d bytes fetched for the first 4 KiB", n)
	}
}

func TestRandomReadsGetBlocks(t *testing.T) { randomReads(t, 0, 200) }

// On a fast link a file that fits into memory is soon read in larger pieces.
func TestRandomReadsGetPieces(t *testing.T) { randomReads(t, 1<<30, persistent+40) }

// randomReads makes 1000 reads of 64 blocks, on a link that carried so many bytes a
// second before.
func randomReads(t *testing.T, rate int64, most int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		data := noise(16 << 20)
		b := newBench(t, fiveSeconds, slow)
		b.link.rate.see(-rate, b.tree.clock())
		b.disk(t, "f", string(data))
		f := b.open(t, "f", remote.FlagRead)
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 1000 {
			off := rnd.IntN(len(data)/4096) * 4096
			p := make([]byte, 4096)
			_, err := f.ReadAt(t.Context(), p, int64(off))
			check(t, err)
			if !bytes.Equal(p, data[off:off+4096]) {
				t.Fatalf("other data at %d", off)
			}
		}
		if n := b.dir.Calls()["read"]; n > most {
			t.Errorf("%d fetches for 1000 reads of 64 blocks", n)
		}
	})
}

// Blocks that are never used again are given up.
func TestUselessBlocksStop(t *testing.T) {
	b := newBench(t, Config{AttrTimeout: time.Minute, Memory: 8 << 20}, func(d *remotetest.Dir) { d.Latency = 2 * time.Millisecond })
	check(t, os.Truncate(makeFile(t, b, "f"), 4<<30))
	f := b.open(t, "f", remote.FlagRead).(*File)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2 * trial {
		_, err := f.ReadAt(t.Context(), make([]byte, 4096), rnd.Int64N(1<<20)*4096)
		check(t, err)
	}
	b.files.mu.Lock()
	f.shelf.discardAll()
	b.files.mu.Unlock()
	for range trial {
		_, err := f.ReadAt(t.Context(), make([]byte, 4096), rnd.Int64N(1<<20)*4096)
		check(t, err)
	}
	if held := b.Stats().Bytes; held != 0 {
		t.Errorf("%d bytes held of %d reads", held, trial)
	}
}

func makeFile(t testing.TB, b *bench, path string) string {
	t.Helper()
	b.disk(t, path, "")
	return filepath.Join(b.root, path)
}

func TestReadObeysContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) { d.Latency = time.Second })
		b.disk(t, "f", "hello")
		f := b.open(t, "f", remote.FlagRead)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := f.ReadAt(ctx, make([]byte, 5), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ReadAt: %v", err)
		}
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("it returned after %v", took)
		}
		time.Sleep(time.Second)
		b.costs(t, "the read that went on", free, func() {
			if n, err := f.ReadAt(t.Context(), make([]byte, 5), 0); n != 5 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	})
}

func TestReadEnds(t *testing.T) {
	for _, cfg := range []Config{{}, fiveSeconds} {
		b := newBench(t, cfg, nil)
		b.disk(t, "f", "hello")
		f := b.open(t, "f", remote.FlagRead)
		for _, c := range []struct {
			off, n int
			want   string
			err    error
		}{{0, 5, "hello", nil}, {0, 9, "hello", io.EOF}, {3, 5, "lo", io.EOF}, {5, 1, "", io.EOF}, {99, 1, "", io.EOF}, {1, 0, "", nil}} {
			p := make([]byte, c.n)
			n, err := f.ReadAt(t.Context(), p, int64(c.off))
			if string(p[:n]) != c.want || err != c.err {
				t.Errorf("ReadAt %d+%d: %q, %v; want %q, %v", c.off, c.n, p[:n], err, c.want, c.err)
			}
		}
	}
}

// A failed read-ahead is not the failure of the read that comes for it later.
func TestFailureIsForOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		b := newBench(t, fiveSeconds, func(d *remotetest.Dir) {
			d.Latency = roundTrip
			d.Before = func(_ context.Context, op, _ string) error {
				if op == "read" && bad.Load() {
					return syscall.EIO
				}
				return nil
			}
		})
		data := noise(4 << 20)
		b.disk(t, "f", string(data))
		f := b.open(t, "f", remote.FlagRead)
		p := make([]byte, 128<<10)
		_, err := f.ReadAt(t.Context(), p, 0)
		check(t, err)
		bad.Store(true)
		if _, err := f.ReadAt(t.Context(), p, 1<<20); !errors.Is(err, syscall.EIO) {
			t.Errorf("ReadAt: %v, want EIO", err)
		}
		_, _ = f.ReadAt(t.Context(), p, 128<<10) // in order: reads ahead, and fails
		bad.Store(false)
		if got := readAll(t, f, len(data)); !bytes.Equal(got, data) {
			t.Error("other data afterwards")
		}
	})
}

func TestWritesDropWhatIsReadAhead(t *testing.T) {
	data := noise(4 << 20)
	for name, change := range map[string]func(t *testing.T, b *bench, f remote.File){
		"same file":  func(t *testing.T, b *bench, f remote.File) { write(t, f, 1<<20) },
		"other file": func(t *testing.T, b *bench, f remote.File) { write(t, b.open(t, "f", flagWrite), 1<<20) },
		"other name": func(t *testing.T, b *bench, f remote.File) {
			check(t, os.Symlink("f", filepath.Join(b.root, "l")))
			write(t, b.open(t, "l", flagWrite), 1<<20)
		},
		"copy": func(t *testing.T, b *bench, f remote.File) {
			b.disk(t, "g", "CHANGED")
			n, err := b.Copy(t.Context(), f, 1<<20, b.open(t, "g", remote.FlagRead), 0, 7)
			if n != 7 || err != nil {
				t.Errorf("Copy: %d, %v", n, err)
			}
		},
		"truncation": func(t *testing.T, b *bench, f remote.File) {
			_, err := b.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetSize, Size: 1 << 20})
			check(t, err)
			write(t, f, 1<<20)
		},
		"truncating open": func(t *testing.T, b *bench, f remote.File) {
			write(t, b.open(t, "f", flagWrite|remote.FlagTruncate), 1<<20)
		},
		"others, and a look": func(t *testing.T, b *bench, f remote.File) {
			b.disk(t, "f", string(data[:1<<20])+"CHANGED")
			b.Forget("f")
			b.sizeOf(t, "f")
		},
		"others, and a listing": func(t *testing.T, b *bench, f remote.File) {
			b.disk(t, "f", string(data[:1<<20])+"CHANGED")
			b.Forget(".")
			b.list(t, ".")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fiveSeconds, nil)
			b.disk(t, "f", string(data))
			b.list(t, ".")
			f := b.open(t, "f", flagWrite)
			readAll(t, f, 2<<20)
			change(t, b, f)
			got := make([]byte, 7)
			if n, err := f.ReadAt(t.Context(), got, 1<<20); n != 7 || string(got) != "CHANGED" {
				t.Errorf("read %q, %v", got[:n], err)
			}
		})
	}
}

func write(t testing.TB, f remote.File, off int64) {
	t.Helper()
	if _, err := f.WriteAt(t.Context(), []byte("CHANGED"), off); err != nil {
		t.Fatal(err)
	}
}

func TestBorrow(t *testing.T) {
	data := noise(3 << 20)
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "f", string(data))
	f := b.open(t, "f", flagWrite).(*File)
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		off, n := rnd.IntN(len(data)), rnd.IntN(1<<20)
		want := data[off:min(off+n, len(data))]
		slices, release, err := f.Borrow(t.Context(), int64(off), n)
		check(t, err)
		if rnd.IntN(10) == 0 { // dropped while it is lent
			b.files.mu.Lock()
			f.shelf.discardAll()
			b.files.mu.Unlock()
		}
		if got := bytes.Join(slices, nil); !bytes.Equal(got, want) {
			t.Fatalf("Borrow %d+%d: %d bytes, and not those", off, n, len(got))
		}
		release()
	}
	check(t, f.Close(t.Context()))
	if _, _, err := f.Borrow(t.Context(), 0, 1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("after Close: %v, want EBADF", err)
	}
}

// What a reader has read is dropped behind it also when its first reads came out of
// order, as the kernel sends them.
func TestOutOfOrderStartIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunk = 1 << 20
		data := noise(32 << 20)
		b := newBench(t, fiveSeconds, slow)
		b.disk(t, "f", string(data))
		f := b.open(t, "f", remote.FlagRead)
		p := make([]byte, chunk)
		for _, i := range []int{3, 2, 1, 0} {
			if _, err := f.ReadAt(t.Context(), p, int64(i)*chunk); err != nil {
				t.Fatal(err)
			}
		}
		for off := 4 * chunk; off < len(data); off += chunk {
			if _, err := f.ReadAt(t.Context(), p, int64(off)); err != nil || !bytes.Equal(p, data[off:off+chunk]) {
				t.Fatalf("at %d: %v, or other data", off, err)
			}
		}
		if held := b.Stats().Bytes; held > 6<<20 {
			t.Errorf("%d bytes held at the end of a reader", held)
		}
	})
}

// What others hold of the memory is not there for file data.
func TestMemoryIsShared(t *testing.T) {
	var besides atomic.Int64
	b := newBench(t, Config{AttrTimeout: time.Minute, Memory: 8 << 20, Besides: besides.Load}, nil)
	b.disk(t, "f", string(noise(6<<20)))
	b.disk(t, "g", "")
	f := b.open(t, "f", remote.FlagRead)
	for off := range int64(6) {
		if _, err := f.ReadAt(t.Context(), make([]byte, 4<<10), (5-off)<<20); err != nil {
			t.Fatal(err)
		}
	}
	before := b.Stats().Bytes
	besides.Store(8<<20 - before + 1)
	g := b.open(t, "g", remote.FlagWrite)
	if _, err := g.WriteAt(t.Context(), []byte("data"), 0); err != nil {
		t.Fatal(err)
	}
	if held := b.Stats().Bytes; held >= before {
		t.Errorf("%d bytes held, as before others wanted them", held)
	}
	check(t, f.Close(t.Context()))
	check(t, g.Close(t.Context()))
}

// What the server copies takes no memory here.
func TestCopyTakesNoMemory(t *testing.T) {
	b := newBench(t, Config{AttrTimeout: time.Minute, Memory: 64 << 20}, nil)
	b.disk(t, "a", string(noise(16<<20)))
	b.disk(t, "b", "data")
	b.list(t, ".")
	a := b.open(t, "a", remote.FlagRead)
	readAt(t, a, 0, 16<<20)
	before := b.Stats().Bytes
	if before < 16<<20 {
		t.Fatalf("%d bytes held", before)
	}
	if n, err := b.Copy(t.Context(), b.open(t, "c", flagNew), 0, b.open(t, "b", remote.FlagRead), 0, 256<<20); n != 4 {
		t.Fatalf("%d bytes copied, %v", n, err)
	}
	if held := b.Stats().Bytes; held < before {
		t.Errorf("%d bytes held, and %d before", held, before)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const limit = 4 << 20
	b := newBench(t, Config{AttrTimeout: time.Minute, Memory: limit}, nil)
	data := noise(8 << 20)
	var all sync.WaitGroup
	for i := range 6 {
		name := string(rune('a' + i))
		b.disk(t, name, string(data))
		f := b.open(t, name, remote.FlagRead)
		all.Go(func() {
			if got := readAll(t, f, len(data)); !bytes.Equal(got, data) {
				t.Errorf("other data in %s", name)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for {
		if held := b.Stats().Bytes; held > limit+12*256<<10 { // 12 reads under way
			t.Errorf("%d bytes held", held)
		}
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}
