package fsnode_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestRename(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		check(t, os.MkdirAll(m.path("a/b"), 0o755))
		check(t, os.Mkdir(m.path("c"), 0o755))
		write(t, m.path("a/b/f"), "moved")
		write(t, m.path("over"), "old")
		ino := lstat(t, m.path("a/b/f")).Ino
		open, err := os.Open(m.path("a/b/f"))
		check(t, err)
		defer func() { _ = open.Close() }()

		check(t, os.Rename(m.path("a"), m.path("c/a")))
		absent(t, m.path("a"), m.disk("a"))
		content(t, m.path("c/a/b/f"), "moved")
		check(t, os.Rename(m.path("c/a/b/f"), m.path("over")))
		content(t, m.path("over"), "moved")
		content(t, m.disk("over"), "moved")
		if got := lstat(t, m.path("over")).Ino; got != ino {
			t.Errorf("inode number %d, was %d", got, ino)
		}
		// The new file at the old place is another one.
		check(t, os.MkdirAll(m.path("a/b"), 0o755))
		write(t, m.path("a/b/f"), "new")
		if got := lstat(t, m.path("a/b/f")).Ino; got == ino {
			t.Error("a moved file and a new one have the same inode number")
		}
		data, err := io.ReadAll(open)
		if check(t, err); string(data) != "moved" {
			t.Errorf("the open file reads %q", data)
		}
		same(t, "root", names(t, m.mnt), "a", "c", "over")

		wants(t, "onto a folder with files", syscall.Rename(m.path("c"), m.path("a")), syscall.ENOTEMPTY)
		wants(t, "RENAME_NOREPLACE", unix.Renameat2(unix.AT_FDCWD, m.path("over"), unix.AT_FDCWD, m.path("a/b/f"),
			unix.RENAME_NOREPLACE), syscall.EEXIST)
		check(t, unix.Renameat2(unix.AT_FDCWD, m.path("over"), unix.AT_FDCWD, m.path("a/b/g"), unix.RENAME_NOREPLACE))
		content(t, m.disk("a/b/g"), "moved")
	})
}

func TestFileReplacedWhileOpen(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		write(t, m.path("f"), "old")
		write(t, m.path("tmp"), "new content")
		f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
		check(t, err)
		check(t, os.Rename(m.path("tmp"), m.path("f")))
		_, err = f.WriteAt([]byte("OLD and longer"), 0)
		check(t, err)
		st, err := f.Stat()
		if check(t, err); st.Size() != 14 || st.Sys().(*syscall.Stat_t).Nlink != 0 {
			t.Errorf("the old file has %d bytes and %d links", st.Size(), st.Sys().(*syscall.Stat_t).Nlink)
		}
		check(t, f.Truncate(3))
		check(t, f.Close())
		content(t, m.path("f"), "new content")
		content(t, m.disk("f"), "new content")
	})
}

func TestSymlinks(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		for i, target := range []string{"f", "/abs/olute", "../out", strings.Repeat("x", 1000)} {
			name := fmt.Sprint("l", i)
			check(t, os.Symlink(target, m.path(name)))
			for _, path := range []string{m.path(name), m.disk(name)} {
				if got, err := os.Readlink(path); err != nil || got != target {
					t.Errorf("%s -> %.30q, %v", path, got, err)
				}
			}
			if st := lstat(t, m.path(name)); st.Size != int64(len(target)) || st.Mode&unix.S_IFMT != unix.S_IFLNK {
				t.Errorf("%s: size %d mode %o", name, st.Size, st.Mode)
			}
		}
		write(t, m.path("f"), "through")
		content(t, m.path("l0"), "through")
		wants(t, "symlink onto a name", os.Symlink("f", m.path("l0")), syscall.EEXIST)
		check(t, os.Remove(m.path("l0")))
		content(t, m.path("f"), "through")
	})
}

func TestHardLinks(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		check(t, os.Mkdir(m.path("d"), 0o755))
		write(t, m.path("a"), "one")
		check(t, os.Link(m.path("a"), m.path("d/b")))
		a, b := lstat(t, m.path("a")), lstat(t, m.path("d/b"))
		if a.Ino != b.Ino || a.Nlink != 2 {
			t.Errorf("inodes %d and %d, %d links", a.Ino, b.Ino, a.Nlink)
		}
		// Written by one name, read by the other.
		write(t, m.path("a"), "longer than before")
		content(t, m.path("d/b"), "longer than before")
		if st := lstat(t, m.path("d/b")); st.Size != 18 {
			t.Errorf("size %d by the other name", st.Size)
		}
		// The first name goes, also by a rename of the second.
		check(t, os.Remove(m.path("a")))
		content(t, m.path("d/b"), "longer than before")
		check(t, os.Link(m.path("d/b"), m.path("a")))
		check(t, os.Rename(m.path("d/b"), m.path("c")))
		check(t, os.Remove(m.path("a")))
		write(t, m.path("c"), "last")
		content(t, m.disk("c"), "last")
		same(t, "root", names(t, m.mnt), "c", "d")
		same(t, "d", names(t, m.path("d")))
	})
}

// Another machine replaces one of two names: they are not the same file any more.
func TestHardLinkReplacedElsewhere(t *testing.T) {
	m := mount(t, setup{})
	write(t, m.path("a"), "one")
	check(t, os.Link(m.path("a"), m.path("b")))
	lstat(t, m.path("a"))
	write(t, m.disk("new"), "theirs")
	check(t, os.Rename(m.disk("new"), m.disk("b")))
	content(t, m.path("b"), "theirs")
	content(t, m.path("a"), "one")
}

// TestHardLinkChangedElsewhere pins that the names of a file which another machine has
// written to are one file still.
func TestHardLinkChangedElsewhere(t *testing.T) {
	m := mount(t, setup{AttrTimeout: 100 * time.Millisecond})
	check(t, os.Mkdir(m.path("d"), 0o755))
	write(t, m.path("a"), "one")
	check(t, os.Link(m.path("a"), m.path("d/b")))
	ino := lstat(t, m.path("a")).Ino
	for _, text := range []string{" two", " three"} {
		f, err := os.OpenFile(m.disk("a"), os.O_APPEND|os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteString(text)
		check(t, errors.Join(err, f.Close()))
		time.Sleep(200 * time.Millisecond)
		for _, name := range []string{"d/b", "a"} {
			if st := lstat(t, m.path(name)); st.Ino != ino || st.Nlink != 2 {
				t.Errorf("%s: inode %d with %d links, want %d with 2", name, st.Ino, st.Nlink, ino)
			}
		}
	}
	content(t, m.path("d/b"), "one two three")
}

func TestListing(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		var want []string
		sizes := map[string]int64{}
		for i := range 1234 {
			name := fmt.Sprintf("file-%04d", i)
			write(t, m.disk(name), strings.Repeat("x", i))
			want, sizes[name] = append(want, name), int64(i)
		}
		check(t, os.Mkdir(m.disk("zdir"), 0o755))
		check(t, os.Symlink("x", m.disk("zlink")))
		want = append(want, "zdir", "zlink")
		m.must(command{Op: "reset"})
		d, err := os.Open(m.mnt)
		check(t, err)
		defer func() { _ = d.Close() }()
		var got []string
		for {
			entries, err := d.ReadDir(1) // as ls -l does it: a name, then what it is
			if errors.Is(err, io.EOF) {
				break
			}
			check(t, err)
			for _, e := range entries {
				info, err := e.Info()
				check(t, err)
				if info.Mode().IsRegular() && info.Size() != sizes[e.Name()] || info.Mode().Type() != e.Type() {
					t.Fatalf("%s: %d bytes, %v, listed as %v", e.Name(), info.Size(), info.Mode(), e.Type())
				}
				got = append(got, e.Name())
			}
		}
		slices.Sort(got)
		same(t, "listing", got, want...)
		if calls := m.must(command{Op: "calls"}).Calls; m.AttrTimeout > 0 && (calls["readdir"] != 1 || calls["lstat"] > 1) {
			t.Errorf("ls -l took %v", calls)
		}
	})
}

// The first names are there before the listing is over, and a listing that fails
// in its middle says so.
func TestListingSeeksAndRewinds(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		for i := range 500 {
			write(t, m.disk(fmt.Sprintf("%03d-%s", i, strings.Repeat("n", 100))), "")
		}
		d, err := os.Open(m.mnt)
		check(t, err)
		defer func() { _ = d.Close() }()
		first, err := d.Readdirnames(-1)
		check(t, err)
		write(t, m.path("later"), "")
		_, err = d.Seek(0, io.SeekStart)
		check(t, err)
		second, err := d.Readdirnames(-1)
		check(t, err)
		if len(first) != 500 || len(second) != 501 {
			t.Errorf("%d names, then %d", len(first), len(second))
		}
	})
}

func TestListingWhileRemoving(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		check(t, os.Mkdir(m.path("d"), 0o755))
		for i := range 2000 {
			write(t, m.disk(fmt.Sprintf("d/%04d", i)), "")
		}
		check(t, os.RemoveAll(m.path("d")))
		absent(t, m.path("d"), m.disk("d"))
	})
}

func TestChangesElsewhereShow(t *testing.T) {
	m := mount(t, setup{})
	write(t, m.disk("f"), "one")
	content(t, m.path("f"), "one")
	write(t, m.disk("f"), "two") // the same size, and perhaps the same second
	content(t, m.path("f"), "two")
	check(t, os.Remove(m.disk("f")))
	absent(t, m.path("f"))
	check(t, os.Mkdir(m.disk("f"), 0o755)) // another type under the same name
	if st := lstat(t, m.path("f")); st.Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Errorf("mode %o", st.Mode)
	}
	write(t, m.disk("f/g"), "in it")
	content(t, m.path("f/g"), "in it")
}

// Close-to-open: what another machine wrote shows at the next open at the
// latest, also within the attribute timeout, and when size and second are those
// that were there.
func TestCloseToOpen(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("f"), "one")
	content(t, m.path("f"), "one")
	write(t, m.disk("f"), "two")
	content(t, m.path("f"), "two")
	write(t, m.disk("f"), "longer")
	f, err := os.Open(m.path("f"))
	check(t, err)
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err != nil || st.Size() != 6 {
		t.Errorf("size %d after open, %v", st.Size(), err)
	}
}

// Pages are kept for a file that has not changed for long, by the server's clock: what
// is written tells that.
func TestPagesAreKept(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("clock"), "now")
	before := m.must(command{Op: "calls"}).Calls
	write(t, m.disk("f"), "settled")
	old := []unix.Timeval{{Sec: 1e9}, {Sec: 1e9}}
	check(t, unix.Lutimes(m.disk("f"), old))
	content(t, m.path("f"), "settled")
	content(t, m.path("f"), "settled")
	if calls := m.must(command{Op: "calls"}).Calls; calls["read"]-before["read"] > 1 || calls["open"]-before["open"] != 2 {
		t.Errorf("read twice: %v", calls)
	}
	write(t, m.disk("f"), "changed")
	content(t, m.path("f"), "changed")
}

func TestInodeNumbersStay(t *testing.T) {
	dir := t.TempDir()
	look := func() uint64 {
		m := mount(t, setup{AttrTimeout: cached, Dir: dir, Point: t.TempDir()})
		defer m.end()
		check(t, os.MkdirAll(m.path("a/b"), 0o755))
		return lstat(t, m.path("a/b")).Ino
	}
	if one, two := look(), look(); one != two {
		t.Errorf("%d, and %d after mounting again", one, two)
	}
}

func TestReadOnly(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached, ReadOnly: true})
	write(t, m.disk("f"), "x")
	content(t, m.path("f"), "x")
	wants(t, "write", os.WriteFile(m.path("f"), nil, 0), syscall.EROFS)
	wants(t, "mkdir", os.Mkdir(m.path("d"), 0o755), syscall.EROFS)
}

func TestErrnosPass(t *testing.T) {
	m := mount(t, setup{})
	check(t, os.Mkdir(m.path("d"), 0o755))
	for _, errno := range []syscall.Errno{unix.ETIMEDOUT, unix.EACCES, unix.ENODEV, unix.ENOSPC, unix.EDQUOT, unix.EIO} {
		m.must(command{Op: "fail", Path: "lstat", Errno: int(errno)})
		_, err := os.Lstat(m.path("some"))
		wants(t, "lstat", err, errno)
		m.must(command{Op: "fail", Path: "lstat"})
		m.must(command{Op: "fail", Path: "mkdir", Errno: int(errno)})
		wants(t, "mkdir", os.Mkdir(m.path("new"), 0o755), errno)
		m.must(command{Op: "fail", Path: "mkdir"})
	}
}

// A write that fails late shows at close, and fsync.
func TestLateErrorsShow(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached, WriteBehind: true})
	for name, finish := range map[string]func(*os.File) error{
		"close": func(f *os.File) error { return f.Close() },
		"fsync": func(f *os.File) error { return errors.Join(f.Sync(), f.Close()) },
	} {
		f, err := os.Create(m.path(name))
		check(t, err)
		_, err = f.WriteString("data")
		check(t, err)
		m.must(command{Op: "fail", Path: "send", Errno: int(syscall.ENOSPC)})
		wants(t, name, finish(f), syscall.ENOSPC)
		m.must(command{Op: "fail", Path: "send"})
	}
}

// A flush for somebody else's fsync does not swallow the error of the one who
// wrote.
func TestLateErrorsShowToEach(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached, WriteBehind: true})
	f, err := os.Create(m.path("f"))
	check(t, err)
	other, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteString("data")
	check(t, err)
	m.must(command{Op: "fail", Path: "send", Errno: int(syscall.EDQUOT)})
	wants(t, "fsync by another handle", other.Sync(), syscall.EDQUOT)
	m.must(command{Op: "fail", Path: "send"})
	wants(t, "close by the writer", f.Close(), syscall.EDQUOT)
	check(t, other.Close())
}

func TestDeepPaths(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	deep := filepath.Join(slices.Repeat([]string{"folder"}, 50)...)
	check(t, os.MkdirAll(m.path(deep), 0o755))
	odd := deep + "/new\nline \xff\\ \"q\""
	write(t, m.path(odd), "x")
	content(t, m.disk(odd), "x")
	same(t, "deep", names(t, m.path(deep)), filepath.Base(odd))
}
