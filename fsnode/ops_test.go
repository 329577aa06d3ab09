package fsnode_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const cached = 5 * time.Second

// Every operation is tried with the kernel's caches and without, and with data
// that stays here until a flush.
func eachWay(t *testing.T, test func(t *testing.T, m *served)) {
	t.Helper()
	for name, s := range map[string]setup{
		"cached":   {AttrTimeout: cached, WriteBehind: true},
		"uncached": {},
	} {
		t.Run(name, func(t *testing.T) { test(t, mount(t, s)) })
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, data string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(data), 0o644))
}

func content(t testing.TB, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: %.60q, %v; want %.60q", path, got, err, want)
	}
}

func lstat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func absent(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there (%v)", path, err)
		}
	}
}

// wants checks that what failed as it should.
func wants(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestCreateHasExactMode(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		old := syscall.Umask(0o027)
		defer syscall.Umask(old)
		for _, mode := range []uint32{0o777, 0o644, 0o600, 0o444} {
			name := fmt.Sprintf("f%o", mode)
			f, err := os.OpenFile(m.path(name), os.O_CREATE|os.O_RDWR|os.O_EXCL, os.FileMode(mode))
			check(t, err)
			_, err = f.WriteString("x")
			check(t, err)
			check(t, f.Close())
			for _, path := range []string{m.path(name), m.disk(name)} {
				if got := lstat(t, path).Mode & 0o7777; got != mode&^0o027 {
					t.Errorf("%s: mode %o, want %o", path, got, mode&^0o027)
				}
			}
			content(t, m.disk(name), "x")
		}
		check(t, os.Mkdir(m.path("d"), 0o777))
		if got := lstat(t, m.disk("d")).Mode & 0o7777; got != 0o750 {
			t.Errorf("folder: mode %o", got)
		}
	})
}

func TestExclusiveCreate(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		write(t, m.disk("there"), "kept")
		_, err := os.OpenFile(m.path("there"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		wants(t, "O_EXCL", err, syscall.EEXIST)
		content(t, m.path("there"), "kept")
		// The kernel believes that it is absent, but somebody else made it.
		absent(t, m.path("late"))
		write(t, m.disk("late"), "theirs")
		_, err = os.OpenFile(m.path("late"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		wants(t, "O_EXCL behind an absence", err, syscall.EEXIST)
		f, err := os.OpenFile(m.path("late"), os.O_CREATE|os.O_RDWR, 0o600)
		check(t, err)
		data, err := io.ReadAll(f)
		check(t, errors.Join(err, f.Close()))
		if string(data) != "theirs" {
			t.Errorf("O_CREAT of a file that is there: %q", data)
		}
	})
}

func TestWriteReadTruncate(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		f, err := os.Create(m.path("f"))
		check(t, err)
		defer func() { _ = f.Close() }()
		block := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
		for range 3 {
			_, err := f.Write(block)
			check(t, err)
		}
		check(t, f.Truncate(1<<20+5))
		_, err = f.WriteAt([]byte("end"), 1<<20+10)
		check(t, err)
		if st := lstat(t, m.path("f")); st.Size != 1<<20+13 {
			t.Errorf("size %d before the file is closed", st.Size)
		}
		tail := make([]byte, 13)
		_, err = f.ReadAt(tail, 1<<20)
		check(t, err)
		if want := "01234\x00\x00\x00\x00\x00end"; string(tail) != want {
			t.Errorf("tail %q, want %q", tail, want)
		}
		check(t, f.Close())
		got, err := os.ReadFile(m.disk("f"))
		check(t, err)
		if want := append(append([]byte{}, block...), tail...); !bytes.Equal(got, want) {
			t.Errorf("%d bytes on the disk, not those written", len(got))
		}
		// By path, and open for truncation.
		check(t, os.Truncate(m.path("f"), 3))
		content(t, m.disk("f"), "012")
		write(t, m.path("f"), "new")
		content(t, m.disk("f"), "new")
		content(t, m.path("f"), "new")
	})
}

func TestAppendGoesToTheEndTheServerHas(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		write(t, m.path("log"), "one\n")
		lstat(t, m.path("log")) // the kernel knows four bytes
		f, err := os.OpenFile(m.disk("log"), os.O_APPEND|os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteString("theirs\n")
		check(t, errors.Join(err, f.Close()))
		for _, line := range []string{"two\n", "three\n"} {
			f, err := os.OpenFile(m.path("log"), os.O_APPEND|os.O_WRONLY, 0)
			check(t, err)
			_, err = f.WriteString(line)
			check(t, err)
			_, err = f.WriteString(line)
			check(t, errors.Join(err, f.Close()))
		}
		want := "one\ntheirs\ntwo\ntwo\nthree\nthree\n"
		content(t, m.disk("log"), want)
		content(t, m.path("log"), want)
	})
}

func TestTimes(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		write(t, m.path("f"), "x")
		check(t, os.Symlink("nowhere", m.path("l")))
		check(t, os.Mkdir(m.path("d"), 0o755))
		omit := unix.Timespec{Nsec: unix.UTIME_OMIT}
		for _, name := range []string{"f", "l", "d"} {
			set := func(a, b unix.Timespec) {
				t.Helper()
				check(t, unix.UtimesNanoAt(unix.AT_FDCWD, m.path(name), []unix.Timespec{a, b}, unix.AT_SYMLINK_NOFOLLOW))
			}
			expect := func(atime, mtime int64) {
				t.Helper()
				for _, path := range []string{m.path(name), m.disk(name)} {
					if st := lstat(t, path); st.Atim.Sec != atime || st.Mtim.Sec != mtime {
						t.Errorf("%s: times %d, %d; want %d, %d", path, st.Atim.Sec, st.Mtim.Sec, atime, mtime)
					}
				}
			}
			set(unix.Timespec{Sec: 1000}, unix.Timespec{Sec: 2000})
			expect(1000, 2000)
			set(omit, unix.Timespec{Sec: 3000})
			expect(1000, 3000)
			set(unix.Timespec{Sec: 4000}, omit)
			expect(4000, 3000)
			set(omit, unix.Timespec{Nsec: unix.UTIME_NOW})
			if st := lstat(t, m.disk(name)); time.Now().Unix()-st.Mtim.Sec > 60 || st.Atim.Sec != 4000 {
				t.Errorf("%s: UTIME_NOW gave %d", name, st.Mtim.Sec)
			}
		}
	})
}

// What cp -p does: data, then times, owner and mode of the open file.
func TestTimesOfOpenFileSurviveItsData(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		f, err := os.OpenFile(m.path("f"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
		check(t, err)
		_, err = f.WriteString(strings.Repeat("data", 1000))
		check(t, err)
		times := []unix.Timespec{{Sec: 1000}, {Sec: 2000}}
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), times, 0))
		check(t, f.Chown(os.Getuid(), os.Getgid()))
		check(t, f.Chmod(0o644))
		check(t, f.Close())
		if got := m.must(command{Op: "calls"}).Calls; got["fsetattr"] != 3 {
			t.Errorf("calls %v: what to leave out is the Remote's to know", got)
		}
		for _, path := range []string{m.path("f"), m.disk("f")} {
			if st := lstat(t, path); st.Mtim.Sec != 2000 || st.Size != 4000 {
				t.Errorf("%s: mtime %d size %d", path, st.Mtim.Sec, st.Size)
			}
		}
	})
}

func TestChmodChown(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		write(t, m.path("f"), "x")
		check(t, os.Chmod(m.path("f"), 0o4751))
		if os.Geteuid() == 0 {
			check(t, os.Lchown(m.path("f"), 12, 34))
			check(t, os.Lchown(m.path("f"), -1, 35))
		}
		check(t, os.Chmod(m.path("f"), 0o751))
		for _, path := range []string{m.path("f"), m.disk("f")} {
			st := lstat(t, path)
			if st.Mode&0o7777 != 0o751 {
				t.Errorf("%s: mode %o", path, st.Mode)
			}
			if os.Geteuid() == 0 && (st.Uid != 12 || st.Gid != 35) {
				t.Errorf("%s: owner %d:%d", path, st.Uid, st.Gid)
			}
		}
	})
}

func TestAttributes(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("f"), strings.Repeat("x", 1000))
	check(t, os.Mkdir(m.path("d"), 0o755))
	f, d := lstat(t, m.path("f")), lstat(t, m.path("d"))
	if f.Nlink != 1 || d.Nlink != 1 {
		t.Errorf("links: %d of a file, %d of a folder", f.Nlink, d.Nlink)
	}
	if f.Blocks != 2 || f.Blksize < 64<<10 {
		t.Errorf("%d blocks, blksize %d", f.Blocks, f.Blksize)
	}
	if f.Ctim != f.Mtim {
		t.Errorf("ctime %v, mtime %v", f.Ctim, f.Mtim)
	}
	if f.Ino == d.Ino || f.Ino == 0 || d.Ino == lstat(t, m.mnt).Ino {
		t.Error("inode numbers are not distinct")
	}
}

func TestStatfs(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	var here, there unix.Statfs_t
	check(t, unix.Statfs(m.mnt, &here))
	check(t, unix.Statfs(m.dir, &there))
	if here.Blocks*uint64(here.Frsize) != there.Blocks*uint64(there.Frsize) {
		t.Errorf("%d blocks of %d, want %d of %d", here.Blocks, here.Frsize, there.Blocks, there.Frsize)
	}
	m.must(command{Op: "fail", Path: "statfs", Errno: int(syscall.EOPNOTSUPP)})
	check(t, unix.Statfs(m.mnt, &here))
	if here.Bavail == 0 || here.Namelen == 0 {
		t.Error("a server that does not tell its space has none")
	}
}

func TestMmap(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		write(t, m.path("f"), strings.Repeat("a", 10000))
		f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
		check(t, err)
		page, err := unix.Mmap(int(f.Fd()), 0, 10000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		check(t, err)
		copy(page[5000:], "mapped")
		check(t, unix.Msync(page, unix.MS_SYNC))
		other, err := os.Open(m.path("f"))
		check(t, err)
		got := make([]byte, 6)
		_, err = other.ReadAt(got, 5000)
		check(t, errors.Join(err, other.Close()))
		if string(got) != "mapped" {
			t.Errorf("read %q", got)
		}
		copy(page[0:], "start")
		check(t, unix.Munmap(page))
		check(t, f.Close())
		data, err := os.ReadFile(m.disk("f"))
		check(t, err)
		if string(data[:5]) != "start" || string(data[5000:5006]) != "mapped" || len(data) != 10000 {
			t.Errorf("on the disk: %q %q of %d bytes", data[:5], data[5000:5006], len(data))
		}
	})
}

func TestCopyFileRange(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		data := strings.Repeat("some data ", 100000)
		write(t, m.path("src"), data)
		copyTo := func(name string) {
			t.Helper()
			src, err := os.Open(m.path("src"))
			check(t, err)
			dst, err := os.Create(m.path(name))
			check(t, err)
			for done := 0; done < len(data); {
				n, err := unix.CopyFileRange(int(src.Fd()), nil, int(dst.Fd()), nil, len(data)-done, 0)
				check(t, err)
				if n == 0 {
					t.Fatal("the copy ended early")
				}
				done += n
			}
			check(t, errors.Join(src.Close(), dst.Close()))
			content(t, m.disk(name), data)
			content(t, m.path(name), data)
		}
		m.must(command{Op: "reset"})
		copyTo("dst")
		if calls := m.must(command{Op: "calls"}).Calls; calls["copy"] == 0 || calls["write"] > 0 {
			t.Errorf("not copied on the server: %v", calls)
		}
		// A server that cannot: the kernel copies, and asks no more.
		m.must(command{Op: "fail", Path: "copy", Errno: int(syscall.EOPNOTSUPP)})
		copyTo("dst2")
		m.must(command{Op: "reset"})
		copyTo("dst3")
		if calls := m.must(command{Op: "calls"}).Calls; calls["copy"] > 0 {
			t.Errorf("asked again: %v", calls)
		}
	})
}

func TestLocksAreLocal(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("f"), "x")
	open := func() *os.File {
		f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
		check(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	a, b := open(), open()
	check(t, unix.Flock(int(a.Fd()), unix.LOCK_EX))
	wants(t, "second flock", unix.Flock(int(b.Fd()), unix.LOCK_EX|unix.LOCK_NB), syscall.EWOULDBLOCK)
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	check(t, unix.FcntlFlock(a.Fd(), unix.F_OFD_SETLK, &lock))
	lock = unix.Flock_t{Type: unix.F_WRLCK}
	wants(t, "second fcntl lock", unix.FcntlFlock(b.Fd(), unix.F_OFD_SETLK, &lock), syscall.EAGAIN)
}

func TestWhatIsNotThere(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("f"), "x")
	buf := make([]byte, 10)
	_, err := unix.Lgetxattr(m.path("f"), "user.a", buf)
	wants(t, "getxattr", err, syscall.EOPNOTSUPP)
	wants(t, "setxattr", unix.Lsetxattr(m.path("f"), "user.a", buf, 0), syscall.EOPNOTSUPP)
	wants(t, "mkfifo", unix.Mkfifo(m.path("p"), 0o644), syscall.EPERM)
	write(t, m.path("g"), "x")
	wants(t, "exchange", unix.Renameat2(unix.AT_FDCWD, m.path("f"), unix.AT_FDCWD, m.path("g"), unix.RENAME_EXCHANGE), syscall.EINVAL)
	f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
	check(t, err)
	defer func() { _ = f.Close() }()
	_, err = unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	wants(t, "ioctl", err, syscall.ENOTTY)
	wants(t, "punch hole", unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 1), syscall.EOPNOTSUPP)
	check(t, unix.Fallocate(int(f.Fd()), 0, 0, 100))
	if st := lstat(t, m.disk("f")); st.Size != 100 {
		t.Errorf("size %d after fallocate", st.Size)
	}
	_, err = os.OpenFile(m.path(strings.Repeat("n", 256)), os.O_CREATE, 0o644)
	wants(t, "long name", err, syscall.ENAMETOOLONG)
}
