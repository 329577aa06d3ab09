package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/integration/lab"
)

// TestUnlinkWhileOpen pins that an open file lives on without a name, for
// reading and writing, and that nothing of it stays on the server.
func TestUnlinkWhileOpen(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.inside(t, "unlinked", s.point)
		s.sh(t, s.point, `
			echo text >file
			exec 3<file
			rm file
			test ! -e file
			test "$(cat <&3)" = text`)
		unmount(t, m)
		if left := names(t, s.remote); len(left) > 0 {
			t.Errorf("left on the server: %v", left)
		}
	})
}

func unlinkedJob(t *testing.T, dir string) {
	path := filepath.Join(dir, "open")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	_, err = f.WriteString("before ")
	must(t, err)
	must(t, os.Remove(path))
	if list := names(t, dir); len(list) > 0 {
		t.Errorf("the folder still lists %v", list)
	}
	_, err = f.WriteString("after")
	must(t, err)
	must(t, f.Truncate(10))
	got := make([]byte, 10)
	_, err = f.ReadAt(got, 0)
	must(t, err)
	if string(got) != "before aft" {
		t.Errorf("read %q", got)
	}
	must(t, os.WriteFile(path, []byte("another"), 0o600)) // the name is free again
	must(t, f.Close())
	wantContent(t, path, "another")
	must(t, os.Remove(path))
}

// TestMemoryMaps pins that shared maps read and write a file.
func TestMemoryMaps(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.inside(t, "mmap", s.point)
		unmount(t, m)
		got, err := os.ReadFile(filepath.Join(s.remote, "mapped"))
		must(t, err)
		if len(got) != mapSize || !bytes.Equal(got[4090:4096], []byte("mapped")) {
			t.Errorf("the server has %d bytes, %q", len(got), got[4080:4100])
		}
	})
}

const mapSize = 3 * 4096

func mmapJob(t *testing.T, dir string) {
	path := filepath.Join(dir, "mapped")
	must(t, os.WriteFile(path, bytes.Repeat([]byte("."), mapSize), 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	mem, err := unix.Mmap(int(f.Fd()), 0, mapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	if mem[mapSize-1] != '.' {
		t.Errorf("the map shows %q", mem[mapSize-1])
	}
	copy(mem[4090:], "mapped")
	must(t, unix.Msync(mem, unix.MS_SYNC))
	got := make([]byte, 6)
	_, err = f.ReadAt(got, 4090)
	must(t, err)
	if string(got) != "mapped" {
		t.Errorf("read behind the map: %q", got)
	}
	must(t, unix.Munmap(mem))
	must(t, f.Close())
}

// TestLocks pins that flock and fcntl locks hold between open files. They are
// known to this machine only.
func TestLocks(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.mount(t)
		s.inside(t, "locks", s.point)
	})
}

func locksJob(t *testing.T, dir string) {
	path := filepath.Join(dir, "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		t.Cleanup(func() { must(t, f.Close()) })
		return f
	}
	a, b := open(), open()
	must(t, unix.Flock(int(a.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if err := unix.Flock(int(b.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("a second flock: %v", err)
	}
	must(t, unix.Flock(int(a.Fd()), unix.LOCK_UN))
	must(t, unix.Flock(int(b.Fd()), unix.LOCK_EX|unix.LOCK_NB))

	lock := func(f *os.File, kind int16, start int64) error {
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: start, Len: 10})
	}
	must(t, lock(a, unix.F_WRLCK, 0))
	if err := lock(b, unix.F_WRLCK, 5); err != unix.EAGAIN && err != unix.EACCES {
		t.Errorf("an overlapping lock: %v", err)
	}
	must(t, lock(b, unix.F_WRLCK, 10))
}

// TestCopyInside pins that copy_file_range works, and copies what was just
// written.
func TestCopyInside(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.mount(t)
		s.inside(t, "copy", s.point)
		s.sh(t, s.point, `
			head -c 5000000 /dev/urandom >from
			cp --reflink=auto from to
			cmp from to && cmp "$R/from" "$R/to"`)
	})
}

func copyRangeJob(t *testing.T, dir string) {
	src, err := os.Create(filepath.Join(dir, "src"))
	must(t, err)
	dst, err := os.Create(filepath.Join(dir, "dst"))
	must(t, err)
	_, err = src.WriteString("0123456789")
	must(t, err)
	from, to := int64(2), int64(1)
	n, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, 5, 0)
	if n != 5 || err != nil {
		t.Errorf("copy_file_range: %d, %v", n, err)
	}
	must(t, src.Close())
	must(t, dst.Close())
	wantContent(t, filepath.Join(dir, "dst"), "\x0023456")
}

// TestMoveAcross moves a tree from another filesystem in, and out again.
func TestMoveAcross(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.mount(t)
		s.sh(t, s.Dir, `
			mkdir -p tree/sub
			echo one >tree/file
			echo two >tree/sub/file
			chmod 640 tree/file
			ln -s file tree/link
			touch -d '2001-02-03 04:05:06' tree/file tree/sub
			mv tree "$M/moved"
			test ! -e tree
			test "$(cat "$R/moved/sub/file")" = two
			test "$(readlink "$R/moved/link")" = file
			test "$(stat -c '%a %Y' "$R/moved/file")" = "640 $(date -d '2001-02-03 04:05:06' +%s)"
			test "$(stat -c %Y "$R/moved/sub")" = "$(date -d '2001-02-03 04:05:06' +%s)"
			mv "$M/moved" back
			test ! -e "$R/moved"
			test "$(cat back/file)" = one
			test "$(stat -c '%a %Y' back/file)" = "640 $(date -d '2001-02-03 04:05:06' +%s)"`)
	})
}

// TestDF compares what df says of the mount with what it says of the folder.
// The free space may move between the two looks.
func TestDF(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.mount(t)
		for _, column := range []string{"size", "itotal"} {
			out := s.sh(t, s.Dir, fmt.Sprintf(`df --output=%s "$M" | tail -n 1; df --output=%s "$R" | tail -n 1`, column, column))
			if f := strings.Fields(out); len(f) != 2 || f[0] != f[1] || f[0] == "0" && column == "size" {
				t.Errorf("df: %s is %v in the mount and on the server", column, f)
			}
		}
	})
}

// TestLargeFile copies a file through both ways.
func TestLargeFile(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.sh(t, s.Dir, `
			head -c 67108867 /dev/urandom >big
			cp big "$M/big"
			cmp big "$R/big"
			dd if=big of="$M/synced" bs=1M conv=fsync status=none
			cmp big "$R/synced"`)
		unmount(t, m)
		s.mount(t) // without what the kernel has kept
		s.sh(t, s.Dir, `cmp big "$M/big"; dd if="$M/big" bs=3000 status=none | cmp - big`)
	})
}
