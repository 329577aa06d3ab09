package remotetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

func togetherContracts() []contract {
	return []contract{
		{name: "many callers in folders of their own", test: togetherApart},
		{name: "many callers in one folder", test: togetherOneFolder},
		{name: "exclusive creation has one winner", test: togetherExclusive},
		{name: "one File, many writers", test: togetherWriters},
		{name: "many Files on one path", test: togetherOnePath},
		{name: "a look counts what is written while another File closes", test: togetherCloses},
	}
}

// each runs n of them at the same time.
func each(t testing.TB, n int, do func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := do(i); err != nil {
				t.Errorf("number %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

func togetherApart(t *testing.T, f Fixture) {
	each(t, 12, func(i int) error {
		dir := fmt.Sprintf("dir%d", i)
		if _, err := f.Remote.Mkdir(t.Context(), dir, 0o755); err != nil {
			return err
		}
		for j := range 5 {
			if err := oneLife(t.Context(), f.Remote, fmt.Sprintf("%s/file%d", dir, j)); err != nil {
				return err
			}
		}
		return f.Remote.Rmdir(t.Context(), dir)
	})
	if got := names(t, f, "."); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func togetherOneFolder(t *testing.T, f Fixture) {
	each(t, 12, func(i int) error {
		for j := range 5 {
			if err := oneLife(t.Context(), f.Remote, fmt.Sprintf("file%d-%d", i, j)); err != nil {
				return err
			}
			if err := f.Remote.ReadDir(t.Context(), ".", func([]remote.Entry) error { return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if got := names(t, f, "."); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// oneLife makes a file, writes, renames, reads and removes it.
func oneLife(ctx context.Context, r remote.Remote, path string) error {
	file, _, err := r.Open(ctx, path, flagsNew, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(ctx, []byte(path), 0); err != nil {
		return err
	}
	if err := file.Close(ctx); err != nil {
		return err
	}
	if err := r.Rename(ctx, path, path+".new", true); err != nil {
		return err
	}
	file, attr, err := r.Open(ctx, path+".new", flagsRead, 0)
	if err != nil {
		return err
	}
	got := make([]byte, attr.Size)
	if _, err := file.ReadAt(ctx, got, 0); err != nil || string(got) != path {
		return fmt.Errorf("%s holds %q: %w", path, got, err)
	}
	if err := file.Close(ctx); err != nil {
		return err
	}
	return r.Remove(ctx, path+".new")
}

func togetherExclusive(t *testing.T, f Fixture) {
	var mu sync.Mutex
	won := 0
	each(t, 12, func(int) error {
		file, _, err := f.Remote.Open(t.Context(), "lock", flagsNew, 0o644)
		if errors.Is(err, syscall.EEXIST) {
			return nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		won++
		mu.Unlock()
		return file.Close(t.Context())
	})
	if won != 1 {
		t.Errorf("%d callers have made the file, want 1", won)
	}
}

func togetherWriters(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	want := pattern(1 << 20)
	each(t, 8, func(i int) error {
		for off := i * 4096; off < len(want); off += 8 * 4096 {
			if _, err := file.WriteAt(t.Context(), want[off:off+4096], int64(off)); err != nil {
				return err
			}
			if _, err := file.Stat(t.Context()); err != nil {
				return err
			}
		}
		_, err := file.Flush(t.Context())
		return err
	})
	f.holds(t, "file", string(want))
}

// togetherCloses has a File closed while another is written through, as RELEASE does
// that comes when close(2) has long returned.
func togetherCloses(t *testing.T, f Fixture) {
	for i := range 300 {
		name := fmt.Sprint("file", i)
		first, _ := mustOpen(t, f.Remote, name, flagsNew)
		second, _ := mustOpen(t, f.Remote, name, flagsWrite)
		var closing sync.WaitGroup
		closing.Go(func() {
			if err := first.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		mustWrite(t, second, "x", 0)
		if a := f.mustAttr(t, name); a.Size != 1 {
			t.Errorf("Lstat: size %d, want 1", a.Size)
		}
		mustWrite(t, second, "y", 1)
		if a, err := second.Stat(t.Context()); err != nil || a.Size != 2 {
			t.Errorf("Stat: size %d, %v; want 2", a.Size, err)
		}
		closing.Wait()
		if err := second.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// togetherOnePath has Files come, write and go on one path: who looks or reads
// sees all that was written before, through whichever File.
func togetherOnePath(t *testing.T, f Fixture) {
	const piece = 512
	mustOpen(t, f.Remote, "file", flagsNew)
	var mu sync.Mutex
	end := int64(0)
	each(t, 6, func(i int) error {
		for range 12 {
			file, _, err := f.Remote.Open(t.Context(), "file", flagsWrite, 0)
			if err != nil {
				return err
			}
			mu.Lock()
			off := end
			_, err = file.WriteAt(t.Context(), pattern(int(off) + piece)[off:], off)
			end = off + piece
			mu.Unlock()
			if err == nil {
				err = seesAll(t, f.Remote, file, off+piece)
			}
			if err != nil {
				return err
			}
			if err := file.Close(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
	f.holds(t, "file", string(pattern(int(end))))
}

// seesAll fails unless the file holds what was written up to end.
func seesAll(t *testing.T, r remote.Remote, file remote.File, end int64) error {
	if a, err := r.Lstat(t.Context(), "file"); err != nil || a.Size < end {
		return fmt.Errorf("Lstat: size %d, error %v; want at least %d", a.Size, err, end)
	}
	if a, err := file.Stat(t.Context()); err != nil || a.Size < end {
		return fmt.Errorf("Stat: size %d, error %v; want at least %d", a.Size, err, end)
	}
	got := make([]byte, end)
	if n, err := file.ReadAt(t.Context(), got, 0); n < len(got) {
		return fmt.Errorf("ReadAt: %d of %d bytes, %w", n, end, err)
	}
	if string(got) != string(pattern(int(end))) {
		return errors.New("read something else than was written")
	}
	return nil
}
