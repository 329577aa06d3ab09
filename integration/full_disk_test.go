package integration

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/integration/lab"
)

// smallDisk puts a filesystem of so many bytes at remote/disk, which takes root.
func (s *site) smallDisk(t testing.TB, size string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk takes root")
	}
	must(t, s.Mkdir("remote/disk", 0o755))
	must(t, unix.Mount("tmpfs", s.onServer("disk"), "tmpfs", 0, "mode=777,size="+size))
	t.Cleanup(func() {
		if err := unix.Unmount(s.onServer("disk"), unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting the small disk: %v", err)
		}
	})
}

// TestDiskFull writes more than there is room for. Whatever way a program takes,
// one of its calls must say ENOSPC; and when there is room again all is well.
func TestDiskFull(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.smallDisk(t, "8M")
		s.mount(t)
		s.noise(t, "large", 24<<20)
		s.noise(t, "small", 300<<10)
		full := func(t *testing.T, script string) {
			t.Helper()
			j := s.start(t, `cd "$M/disk"; `+script)
			code := j.code(t, commandTime)
			if code == 0 || !j.says(syscall.ENOSPC) {
				t.Errorf("exit code %d: %q", code, j.out.String())
			}
			// The mount need not know yet of what was put there behind its back.
			s.sh(t, s.point, `rm -f disk/* "$R/disk/filler"; test -z "$(ls -A "$R/disk")"`)
		}
		t.Run("write", func(t *testing.T) { full(t, `exec cat "$L/large" >file`) })
		t.Run("cp", func(t *testing.T) { full(t, `exec cp "$L/large" file`) })
		t.Run("fsync", func(t *testing.T) { full(t, `exec dd if="$L/large" of=file bs=64k conv=fsync status=none`) })
		t.Run("close", func(t *testing.T) {
			// One write that memory takes at once: only close can tell.
			full(t, `head -c 8200000 /dev/zero >"$R/disk/filler"; exec cp "$L/small" file`)
		})
		t.Run("room again", func(t *testing.T) {
			s.sh(t, s.point, `cp "$L/small" disk/file; cmp "$L/small" "$R/disk/file"`)
		})
	})
}
