package cache

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

func readAt(t testing.TB, f remote.File, off, n int64) []byte {
	t.Helper()
	p := make([]byte, n)
	if got, err := f.ReadAt(t.Context(), p, off); int64(got) < n {
		t.Errorf("ReadAt %d: %d of %d bytes, %v", off, got, n, err)
	}
	return p
}

// However many have a file open, it is fetched once, and takes its memory once.
func TestDataIsHeldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, many = 4 << 20, 8
		data := noise(size)
		b := newBench(t, fiveSeconds, slow)
		b.disk(t, "f", string(data))
		var files [many]remote.File
		for i := range files {
			files[i] = b.open(t, "f", remote.FlagRead)
		}
		for i := int64(0); i < size; i += 64 << 10 {
			off := i * 37 % size // not in order
			for _, f := range files {
				if !bytes.Equal(readAt(t, f, off, 4096), data[off:off+4096]) {
					t.Fatalf("not what is at %d", off)
				}
			}
		}
		if held := b.Stats().Bytes; held > size+size/8 {
			t.Errorf("%d bytes held of a file of %d", held, size)
		}
		if n := b.dir.Calls()["read"]; n > size/(64<<10) {
			t.Errorf("%d reads", n)
		}
		for _, f := range files[1:] {
			check(t, f.Close(t.Context()))
		}
		b.costs(t, "reading what another File fetched that is closed", free, func() { readAt(t, files[0], 37*64<<10, 4096) })
		check(t, files[0].Close(t.Context()))
		if held := b.Stats().Bytes; held != 0 {
			t.Errorf("%d bytes held after the last Close", held)
		}
	})
}

// Who opens a file sees it as it is then, also when a change shows neither in its size
// nor, since times are whole seconds, in its time.
func TestSharedDataIsNoOlderThanTheOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		b.disk(t, "f", "before")
		stamp := time.Unix(1e9, 0)
		set := func(data string) {
			b.disk(t, "f", data)
			check(t, os.Chtimes(filepath.Join(b.root, "f"), stamp, stamp))
		}
		set("before")
		first := b.open(t, "f", remote.FlagRead)
		readAt(t, first, 0, 6)
		time.Sleep(500 * time.Millisecond)
		set("behind")
		second := b.open(t, "f", remote.FlagRead)
		if got := readAt(t, second, 0, 6); string(got) != "behind" {
			t.Errorf("the file was opened after it changed, and reads as %q", got)
		}
		time.Sleep(3 * time.Second)
		third := b.open(t, "f", remote.FlagRead)
		readAt(t, third, 0, 6)
		fourth := b.open(t, "f", remote.FlagRead)
		b.costs(t, "reading what was read when its time had settled", free, func() { readAt(t, fourth, 0, 6) })
		for _, f := range []remote.File{first, second, third, fourth} {
			check(t, f.Close(t.Context()))
		}
	})
}

// A fetch ends with the File that began it, and who waits for it beside does not fail.
func TestCloseBesideReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := noise(1 << 20)
		b := newBench(t, fiveSeconds, slow)
		b.disk(t, "f", string(data))
		stays := b.open(t, "f", remote.FlagRead)
		var goes [3]remote.File
		for i := range goes {
			goes[i] = b.open(t, "f", remote.FlagRead)
		}
		for i, f := range goes {
			off := int64(i) * 256 << 10
			go func() { _, _ = f.ReadAt(t.Context(), make([]byte, 4096), off) }()
			time.Sleep(time.Millisecond)
			var all sync.WaitGroup
			all.Go(func() {
				if !bytes.Equal(readAt(t, stays, off, 4096), data[off:off+4096]) {
					t.Errorf("not what is at %d", off)
				}
			})
			time.Sleep(time.Millisecond)
			check(t, f.Close(t.Context()))
			all.Wait()
		}
		check(t, stays.Close(t.Context()))
	})
}

// A file that was replaced is not the one in its place.
func TestReplacedDataIsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		local := filepath.Join(b.root, "f")
		put := func(data string, at int64) {
			b.disk(t, "new", data)
			check(t, os.Chtimes(filepath.Join(b.root, "new"), time.Unix(at, 0), time.Unix(at, 0)))
			check(t, os.Rename(filepath.Join(b.root, "new"), local))
		}
		put("old", 1e9)
		tail := b.open(t, "f", remote.FlagRead)
		readAt(t, tail, 0, 3)
		put("new", 1e9+10)
		time.Sleep(6 * time.Second)
		b.sizeOf(t, "f") // tells what the open File does not have
		other := b.open(t, "f", remote.FlagRead)
		for range 2 {
			if got := readAt(t, tail, 0, 3); string(got) != "old" {
				t.Errorf("the replaced file reads as %q", got)
			}
			if got := readAt(t, other, 0, 3); string(got) != "new" {
				t.Errorf("the one in its place reads as %q", got)
			}
			time.Sleep(6 * time.Second)
		}
		check(t, tail.Close(t.Context()))
		check(t, other.Close(t.Context()))
	})
}

// Who keeps a file open, by its name or by a link, reads what others make of it, also
// when it was written here meanwhile.
func TestOpenFileShowsOthers(t *testing.T) {
	for path, look := range map[string]func(*Cache, context.Context, string) (remote.Attr, error){
		"f": (*Cache).Lstat,
		"l": (*Cache).Stat,
	} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, fiveSeconds, nil)
				b.disk(t, "f", "before")
				check(t, os.Symlink("f", filepath.Join(b.root, "l")))
				b.list(t, ".")
				r := b.open(t, path, remote.FlagRead)
				readAt(t, r, 0, 6)
				w := b.open(t, "f", flagWrite)
				_, err := w.WriteAt(t.Context(), []byte("beside"), 0)
				check(t, err)
				_, err = w.Flush(t.Context())
				check(t, err)
				check(t, w.Close(t.Context()))
				if got := readAt(t, r, 0, 6); string(got) != "beside" {
					t.Errorf("written here, it reads as %q", got)
				}
				time.Sleep(10 * time.Second)
				b.disk(t, "f", "others")
				check(t, os.Chtimes(filepath.Join(b.root, "f"), time.Unix(2e9, 0), time.Unix(2e9, 0)))
				_, err = look(b.Cache, t.Context(), path)
				check(t, err)
				if got := readAt(t, r, 0, 6); string(got) != "others" {
					t.Errorf("written by others, it reads as %q", got)
				}
			})
		})
	}
}

// What is written through one File is flushed by that one, or ends with it.
func TestFlushIsOfOneFile(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "f", "data")
	var files [3]remote.File
	for i := range files {
		files[i] = b.open(t, "f", flagWrite)
		write(t, files[i], 0)
	}
	for i, end := range []func() error{
		func() error { _, err := files[0].Flush(t.Context()); return err },
		func() error { _, err := files[1].Sync(t.Context()); return err },
		func() error { return files[2].Close(t.Context()) },
	} {
		if !b.files.isWritten("f") {
			t.Errorf("nothing is written after %d of three ended", i)
		}
		check(t, end())
	}
	if b.files.isWritten("f") {
		t.Error("something is written after all three ended")
	}
}
