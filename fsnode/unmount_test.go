package fsnode

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAnotherMountWithOurNumber pins that what somebody mounted in our place is not
// taken for ours when it got the number of the mount that has ended.
func TestAnotherMountWithOurNumber(t *testing.T) {
	if os.Geteuid() != 0 {
		return // it mounts a tmpfs
	}
	point := t.TempDir()
	if err := unix.Mount("none", point, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(point, 0); err != nil {
			t.Error(err)
		}
	})
	m := &FS{point: point, device: deviceOf(point), conn: -1}
	if there, _ := m.place(); there {
		t.Error("it is taken for ours")
	}
}
