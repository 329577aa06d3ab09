package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// deadMount is the mountpoint of a FUSE filesystem without a process.
func deadMount(t testing.TB, dir string) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	may := func(err error) {
		if isOneOf(err, unix.ENOENT, unix.EPERM, unix.EACCES, unix.ENODEV) && os.Getenv("REMOTEMOUNT_REQUIRE_ALL") != "1" {
			t.Skipf("no mount of FUSE here: %v", err)
		}
		must(t, err)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	may(err)
	may(unix.Mount("dead", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	must(t, unix.Close(fd))
	if _, err := os.Lstat(dir); err == nil {
		t.Fatal("the mount is alive")
	}
}

// One name that cannot be looked at takes no other with it, and is told of.
func TestListingWithADeadMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	var log lines
	s := start(t, func(c *Config) { c.Log = logTo(&log) })
	deadMount(t, filepath.Join(s.dir, "dead"))
	for i := range 250 {
		must(t, os.WriteFile(filepath.Join(s.dir, fmt.Sprint(i)), nil, 0o644))
	}
	names, err := s.client(t).ReadDir("/")
	must(t, err)
	if len(names) != 250 {
		t.Errorf("%d names", len(names))
	}
	if !strings.Contains(log.String(), "left out") || !strings.Contains(log.String(), "dead") {
		t.Errorf("the log says %q", log.String())
	}
}

// A folder that may be listed and not searched is refused: it is not empty.
func TestListingWithoutSearchPermission(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o644))
	f, err := os.Open(dir)
	must(t, err)
	defer func() { _ = f.Close() }()
	must(t, os.Chmod(dir, 0o444))
	t.Cleanup(func() { must(t, os.Chmod(dir, 0o755)) })
	l, n := &listing{dir: f, handler: newHandler(nil, false, logTo(&lines{}))}, 0
	asNobody(t, func() { n, err = l.ListAt(make([]os.FileInfo, 9), 0) })
	if n != 0 || !errors.Is(err, sftp.ErrSSHFxPermissionDenied) {
		t.Errorf("%d names, %v", n, err)
	}
}

// asNobody does something without root's rights over files, where the test has them.
func asNobody(t testing.TB, do func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		must(t, unix.Setfsuid(65534))
		defer func() { must(t, unix.Setfsuid(0)) }()
	}
	do()
}
