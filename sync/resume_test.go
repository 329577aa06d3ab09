package sync

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cutAfter makes the remote go away after n calls of an operation.
func cutAfter(op string, n int64) func(context.Context, string, string) error {
	var calls atomic.Int64
	return func(_ context.Context, o, _ string) error {
		if o == op && calls.Add(1) > n || calls.Load() > n {
			return syscall.ETIMEDOUT
		}
		return nil
	}
}

func TestResume(t *testing.T) {
	const size = 48 << 20
	for _, mode := range []Mode{Push, Pull} {
		for _, compare := range []Compare{CompareMtime, CompareHash} {
			t.Run(mode.String()+" "+compare.String(), func(t *testing.T) {
				p := newPairing(t, Options{Mode: mode, Compare: compare})
				from, to, op := p.local, p.remote, "write"
				if mode == Pull {
					from, to, op = p.remote, p.local, "read"
				}
				put(t, from, "large", string(pattern(1, size)), old)
				p.dir.Before = cutAfter(op, size/piece-4)
				if _, err := p.try(t.Context()); err == nil {
					t.Fatal("the cut was not noticed")
				}
				wantAbsent(t, to, "large")
				p.dir.Before = nil
				res := p.clean()
				sameTrees(t, p.local, p.remote, true)
				noTemps(t, p.local, p.remote)
				if res.Resumed < 8<<20 || res.Resumed > size-unsure {
					t.Errorf("resumed at %d MiB", res.Resumed>>20)
				}
			})
		}
	}
}

// A partial copy that is not of this version, or not what it says, is not used.
func TestResumeChecksWhatIsThere(t *testing.T) {
	const size = 28 << 20
	good := pattern(1, size)
	for name, damage := range map[string]func([]byte) []byte{
		"start":   func(b []byte) []byte { b[100]++; return b },
		"end":     func(b []byte) []byte { b[10<<20]++; return b },
		"hole":    func(b []byte) []byte { clear(b[8<<20 : 24<<20]); return b }, // within what is unsure or sampled
		"longer":  func(b []byte) []byte { return append(b, bytes.Repeat([]byte("x"), 1<<20)...) },
		"shorter": func(b []byte) []byte { return b[:1<<20] },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPairing(t, Options{Mode: Push})
			put(t, p.local, "large", string(good), old)
			part := newRun(p.config()).part("large", file(size, old))
			put(t, p.remote, part, string(damage(bytes.Clone(good))), young)
			p.clean()
			sameTrees(t, p.local, p.remote, true)
			noTemps(t, p.remote)
		})
	}
}

func TestLeftoversOfDeadRuns(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	mine, other := newRun(p.config()), newRunName(ownerOf("another"), time.Now().Add(-8*24*time.Hour), "")
	now := file(1, old)
	put(t, p.local, "a", "a", old)
	put(t, p.remote, "a", "a", old)
	for _, root := range []string{p.local, p.remote} {
		put(t, root, "dir/"+mine.part("gone", now), "partial", old)
		put(t, root, mine.part("a", now), "partial", old)
		must(t, os.Symlink("x", filepath.Join(root, mine.part("link", now))))
		put(t, root, other.part("abandoned", now), "partial", old)
		put(t, root, tempPrefix+"notes", "somebody's own file", old)
	}
	fresh := newRunName(ownerOf("another"), time.Now(), "").part("in use", now)
	put(t, p.remote, fresh, "partial", old)
	res := p.clean()
	if res.Cleaned != 8 {
		t.Errorf("%d removed", res.Cleaned)
	}
	wantFile(t, p.remote, fresh, "partial")
	wantFile(t, p.local, tempPrefix+"notes", "somebody's own file")
	wantAbsent(t, p.local, fresh)
	must(t, os.Remove(filepath.Join(p.remote, fresh)))
	must(t, os.Remove(filepath.Join(p.remote, tempPrefix+"notes")))
	must(t, os.Remove(filepath.Join(p.local, tempPrefix+"notes")))
	noTemps(t, p.local, p.remote)
}

func TestSparseFiles(t *testing.T) {
	const size = 1 << 40
	for _, mode := range []Mode{Push} {
		p := newPairing(t, Options{Mode: mode})
		at := filepath.Join(p.local, "sparse")
		f, err := os.Create(at)
		must(t, err)
		_, err = f.WriteAt([]byte("in the middle"), size/2)
		must(t, err)
		must(t, f.Truncate(size))
		must(t, f.Close())
		setTime(t, at, old)
		p.clean()
		checkSparse(t, filepath.Join(p.remote, "sparse"), size, size/2, "in the middle")
		if n := p.dir.Calls()["write"]; n > 4 {
			t.Errorf("%d writes", n)
		}
	}
}

func TestSparsePull(t *testing.T) {
	const size = 32 << 20
	p := newPairing(t, Options{Mode: Pull})
	b := make([]byte, size)
	copy(b[20<<20:], "in the middle")
	put(t, p.remote, "sparse", string(b), old)
	p.clean()
	checkSparse(t, filepath.Join(p.local, "sparse"), size, 20<<20, "in the middle")
}

func checkSparse(t *testing.T, at string, size, off int64, text string) {
	t.Helper()
	f, err := os.Open(at)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	info, err := f.Stat()
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	b := make([]byte, len(text))
	if _, err := f.ReadAt(b, off); err != nil || string(b) != text {
		t.Errorf("%q, %v", b, err)
	}
	if info.Size() != size || st.Blocks*512 > 4<<20 {
		t.Errorf("%d bytes long, %d on the disk", info.Size(), st.Blocks*512)
	}
}

// What does not arrive as it was sent must not get its name.
func TestVerifyByContent(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Compare: CompareHash})
	put(t, p.local, "a", "the new content", young)
	put(t, p.remote, "a", "old", old)
	p.dir.Before = once("flush", func(path string) error {
		return os.WriteFile(filepath.Join(p.remote, path), []byte("the bad content"), 0o644)
	})
	p.options.Fsync = FsyncNever
	if res := p.run(); res.FailureCount != 1 {
		t.Errorf("%+v", res)
	}
	wantFile(t, p.remote, "a", "old")
	noTemps(t, p.remote)
}

// A part that is gone on with may have the mode that its source had then.
func TestAResumedPartGetsItsMode(t *testing.T) {
	const size = 28 << 20
	p := newPairing(t, Options{Mode: Push})
	good := pattern(1, size)
	put(t, p.local, "large", string(good), old)
	part := newRun(p.config()).part("large", file(size, old))
	put(t, p.remote, part, string(good[:24<<20]), young)
	must(t, os.Chmod(filepath.Join(p.remote, part), 0o600))
	if res := p.clean(); res.Resumed == 0 {
		t.Error("not gone on with")
	}
	sameTrees(t, p.local, p.remote, true)
}
