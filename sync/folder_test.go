package sync

import (
	"os"
	"path/filepath"
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
