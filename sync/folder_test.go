package sync

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// What a folder has beside its permissions, its owner has set there, or the folder above.
func TestFoldersKeepTheirOtherBits(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		put(t, from, "shared/new/f", "text", old)
		must(t, os.Chmod(filepath.Join(from, "shared"), 0o750))
		must(t, os.Mkdir(filepath.Join(to, "shared"), 0o755))
		must(t, unix.Chmod(filepath.Join(to, "shared"), 0o3775))
		p.clean()
		for path, want := range map[string]uint32{"shared": 0o3750, "shared/new": 0o2755} {
			var st unix.Stat_t
			must(t, unix.Lstat(filepath.Join(to, path), &st))
			if st.Mode&0o7777 != want {
				t.Errorf("%v: %s has %o, want %o", mode, path, st.Mode&0o7777, want)
			}
		}
	}
}

// A side that keeps every other second has the time of a folder as it can keep it: it was
// set again on each run, and with --watch each of them called for the next.
func TestTheTimeOfAFolderInSteps(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "d/f", "text", old+1)
	setTime(t, filepath.Join(p.local, "d"), old+1)
	p.runOn(stepped{p.dir})
	sets := atomic.Int64{}
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "setattr" && path == "d" {
			sets.Add(1)
		}
		return nil
	}
	p.runOn(stepped{p.dir})
	if n := sets.Load(); n > 0 {
		t.Errorf("set %d times", n)
	}
	setTime(t, filepath.Join(p.local, "d"), young)
	if p.runOn(stepped{p.dir}); sets.Load() != 1 {
		t.Errorf("set %d times when it differed", sets.Load())
	}
}
