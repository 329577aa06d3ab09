package fsnode_test

import (
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

const hidden = ".remotemount-hidden-"

// onDisk are the names in a folder behind the mount, the hidden ones as "*".
func onDisk(t testing.TB, dir string) []string {
	t.Helper()
	list := names(t, dir)
	for i, name := range list {
		if strings.HasPrefix(name, hidden) {
			list[i] = "*"
		}
	}
	return list
}

// eventually waits for what happens after close(2) has returned.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within five seconds", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// closed waits until that many files are closed for the mount too. close(2) does not wait
// for the kernel's RELEASE, and until then a file may be in use by another descriptor.
func (m *served) closed(files int) {
	m.t.Helper()
	eventually(m.t, "the closing", func() bool { return m.ask(command{Op: "calls"}).Calls["close"] >= files })
}

// goesOn uses a file that holds "before", and to which no name leads any more.
func goesOn(t *testing.T, f *os.File) {
	t.Helper()
	_, err := f.WriteString(" and after")
	check(t, err)
	check(t, f.Chmod(0o600))
	st, err := f.Stat()
	check(t, err)
	if sys := st.Sys().(*syscall.Stat_t); sys.Nlink != 0 || st.Size() != 16 || st.Mode() != 0o600 {
		t.Errorf("%d links, %d bytes, %v", sys.Nlink, st.Size(), st.Mode())
	}
	_, err = f.Seek(0, io.SeekStart)
	check(t, err)
	if data, err := io.ReadAll(f); err != nil || string(data) != "before and after" {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestRemovedFileStaysUsable(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		f, err := os.Create(m.path("f"))
		check(t, err)
		_, err = f.WriteString("before")
		check(t, err)
		check(t, os.Remove(m.path("f")))
		absent(t, m.path("f"))
		same(t, "in the mount", names(t, m.mnt))
		same(t, "on the server", onDisk(t, m.dir), "*")

		goesOn(t, f)
		// The name can be used again meanwhile.
		write(t, m.path("f"), "another")
		check(t, f.Close())
		eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 1 })
		content(t, m.path("f"), "another")
	})
}

func TestRemovedFileInRemovedFolder(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		check(t, os.MkdirAll(m.path("a/b"), 0o755))
		write(t, m.path("a/b/f"), "data")
		f, err := os.Open(m.path("a/b/f"))
		check(t, err)
		check(t, os.RemoveAll(m.path("a")))
		absent(t, m.path("a"), m.disk("a"))
		if data, err := io.ReadAll(f); err != nil || string(data) != "data" {
			t.Errorf("read %q, %v", data, err)
		}
		check(t, f.Close())
		eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 0 })
	})
}

// To programs a folder that only hidden files are left in is empty.
func TestRenameOntoFolderWithHiddenFiles(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	check(t, os.Mkdir(m.path("new"), 0o755))
	check(t, os.Mkdir(m.path("old"), 0o755))
	write(t, m.path("old/f"), "data")
	f, err := os.Open(m.path("old/f"))
	check(t, err)
	check(t, os.Remove(m.path("old/f")))
	check(t, syscall.Rename(m.path("new"), m.path("old")))
	same(t, "in the mount", names(t, m.mnt), "old")
	check(t, f.Close())
	eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 1 })
}

func TestOneOfTwoNamesOfAnOpenFile(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("a"), "data")
	check(t, os.Link(m.path("a"), m.path("b")))
	f, err := os.Open(m.path("a"))
	check(t, err)
	check(t, os.Remove(m.path("a")))
	same(t, "on the server", onDisk(t, m.dir), "b")
	check(t, os.Remove(m.path("b")))
	same(t, "on the server", onDisk(t, m.dir), "*")
	check(t, f.Close())
	eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 0 })
}

func TestUnmountRemovesHiddenFiles(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	f, err := os.Create(m.path("f"))
	check(t, err)
	check(t, os.Remove(m.path("f")))
	if r := m.ask(command{Op: "unmount"}); syscall.Errno(r.Errno) != syscall.EBUSY {
		t.Errorf("unmount while a file is open: %v", r.Err)
	}
	check(t, f.Close())
	m.must(command{Op: "unmount"})
	same(t, "on the server", onDisk(t, m.dir))
}

// TestClosedWhileHidden pins that a file whose last handle goes while it is given
// its hidden name is removed all the same.
func TestClosedWhileHidden(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	f, err := os.Create(m.path("f"))
	check(t, err)
	m.must(command{Op: "hold", Path: "rename"})
	removed := make(chan error, 1)
	go func() { removed <- os.Remove(m.path("f")) }()
	eventually(t, "the renaming", func() bool { return m.ask(command{Op: "calls"}).Calls["rename"] > 0 })
	check(t, f.Close())
	eventually(t, "the closing", func() bool { return m.ask(command{Op: "calls"}).Stats.OpenFiles == 0 })
	m.must(command{Op: "let", Path: "rename"})
	check(t, <-removed)
	eventually(t, "removal", func() bool { return len(onDisk(t, m.dir)) == 0 })
}

// TestHiddenFileAfterAnOutage pins that a removed file whose last handle was closed
// while the server was away goes from it when it is back, or at the unmount.
func TestHiddenFileAfterAnOutage(t *testing.T) {
	for _, end := range []string{"back", "unmount"} {
		t.Run(end, func(t *testing.T) {
			m := mount(t, setup{AttrTimeout: cached})
			f, err := os.Create(m.path("f"))
			check(t, err)
			check(t, os.Remove(m.path("f")))
			m.must(command{Op: "fail", Path: "remove", Errno: int(syscall.ETIMEDOUT)})
			check(t, f.Close())
			eventually(t, "a try", func() bool { return m.ask(command{Op: "calls"}).Calls["remove"] > 0 })
			same(t, "in the mount", names(t, m.mnt))
			m.must(command{Op: "fail", Path: "remove"})
			if end == "unmount" {
				m.end()
			}
			eventually(t, "removal", func() bool { return len(onDisk(t, m.dir)) == 0 })
		})
	}
}

// A file that is replaced while it is open goes on as one that is removed.
func TestReplacedFileStaysUsable(t *testing.T) {
	eachWay(t, func(t *testing.T, m *served) {
		f, err := os.Create(m.path("f"))
		check(t, err)
		_, err = f.WriteString("before")
		check(t, err)
		write(t, m.path("new"), "another")
		check(t, os.Rename(m.path("new"), m.path("f")))
		same(t, "in the mount", names(t, m.mnt), "f")
		same(t, "on the server", onDisk(t, m.dir), "*", "f")
		content(t, m.path("f"), "another")

		goesOn(t, f)
		if st := lstat(t, m.path("f")); st.Nlink != 1 || st.Mode&0o777 != 0o644 {
			t.Errorf("the new file: %d links, mode %o", st.Nlink, st.Mode)
		}
		check(t, f.Close())
		eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 1 })
		content(t, m.disk("f"), "another")
	})
}

// Each replaced file that is open has a name of its own, in a folder that is empty to
// programs without them.
func TestReplacedFileInRemovedFolder(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	check(t, os.Mkdir(m.path("a"), 0o755))
	write(t, m.path("a/f"), "0")
	var open []*os.File
	for i := range 3 {
		f, err := os.Open(m.path("a/f"))
		check(t, err)
		open = append(open, f)
		write(t, m.path("new"), fmt.Sprint(i+1))
		check(t, os.Rename(m.path("new"), m.path("a/f")))
	}
	same(t, "on the server", onDisk(t, m.disk("a")), "*", "*", "*", "f")
	check(t, os.RemoveAll(m.path("a")))
	absent(t, m.path("a"), m.disk("a"))
	for i, f := range open {
		if data, err := io.ReadAll(f); err != nil || string(data) != fmt.Sprint(i) {
			t.Errorf("read %q, %v; want %d", data, err, i)
		}
		check(t, f.Close())
	}
	eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 0 })
}

// Where the file has another name, or stays where it is, it gets no hidden one.
func TestNothingHiddenByRename(t *testing.T) {
	for name, c := range map[string]struct {
		rename func(m *served) error
		want   error
		left   []string
	}{
		"not open":            {func(m *served) error { return os.Rename(m.path("new"), m.path("closed")) }, nil, []string{"closed", "f", "link"}},
		"with another name":   {func(m *served) error { return os.Rename(m.path("new"), m.path("f")) }, nil, []string{"closed", "f", "link"}},
		"by its own link":     {func(m *served) error { return os.Rename(m.path("link"), m.path("f")) }, nil, []string{"closed", "f", "link", "new"}},
		"by itself":           {func(m *served) error { return os.Rename(m.path("f"), m.path("f")) }, nil, []string{"closed", "f", "link", "new"}},
		"must not be there":   {func(m *served) error { return noReplace(m.path("new"), m.path("f")) }, syscall.EEXIST, []string{"closed", "f", "link", "new"}},
		"of what is not here": {func(m *served) error { return os.Rename(m.path("none"), m.path("f")) }, syscall.ENOENT, []string{"closed", "f", "link", "new"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := mount(t, setup{AttrTimeout: cached})
			for _, name := range []string{"f", "new", "closed"} {
				write(t, m.path(name), name)
			}
			check(t, os.Link(m.path("f"), m.path("link")))
			m.closed(3)
			f, err := os.Open(m.path("f"))
			check(t, err)
			if err := c.rename(m); !errors.Is(err, c.want) {
				t.Errorf("rename: %v, want %v", err, c.want)
			}
			same(t, "on the server", onDisk(t, m.dir), c.left...)
			if data, err := io.ReadAll(f); err != nil || string(data) != "f" {
				t.Errorf("read %q, %v", data, err)
			}
			check(t, f.Close())
		})
	}
}

func noReplace(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// TestRenameFailsBehindTheHiddenName pins that the name goes again, and the file keeps
// its own.
func TestRenameFailsBehindTheHiddenName(t *testing.T) {
	m := mount(t, setup{}) // what was listed meanwhile counts the name as a link
	write(t, m.path("f"), "old")
	write(t, m.path("new"), "new")
	f, err := os.Open(m.path("f"))
	check(t, err)
	m.must(command{Op: "fail", Path: "rename", Errno: int(syscall.EACCES)})
	wants(t, "rename", os.Rename(m.path("new"), m.path("f")), syscall.EACCES)
	same(t, "in the mount", names(t, m.mnt), "f", "new")
	m.must(command{Op: "fail", Path: "rename"})
	eventually(t, "removal", func() bool { return len(onDisk(t, m.dir)) == 2 })
	if st := lstat(t, m.path("f")); st.Nlink != 1 {
		t.Errorf("%d links", st.Nlink)
	}
	check(t, os.Rename(m.path("new"), m.path("f")))
	same(t, "on the server", onDisk(t, m.dir), "*", "f")
	check(t, f.Close())
	eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 1 })
}

// TestClosedWhileReplaced pins that a file whose last handle goes while it is replaced
// leaves no hidden name.
func TestClosedWhileReplaced(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("f"), "old")
	write(t, m.path("new"), "new")
	f, err := os.Open(m.path("f"))
	check(t, err)
	m.must(command{Op: "hold", Path: "rename"})
	renamed := make(chan error, 1)
	go func() { renamed <- os.Rename(m.path("new"), m.path("f")) }()
	eventually(t, "the renaming", func() bool { return m.ask(command{Op: "calls"}).Calls["rename"] > 0 })
	check(t, f.Close())
	eventually(t, "the closing", func() bool { return m.ask(command{Op: "calls"}).Stats.OpenFiles == 0 })
	m.must(command{Op: "let", Path: "rename"})
	check(t, <-renamed)
	eventually(t, "removal", func() bool { return len(onDisk(t, m.dir)) == 1 })
	content(t, m.path("f"), "new")
}

// Work beside the mount replaces as the mount does.
func TestReplacedBesidesTheMount(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("f"), "old")
	write(t, m.disk("new"), "another")
	f, err := os.Open(m.path("f"))
	check(t, err)
	m.must(command{Op: "rename", Path: "new", To: "f"})
	same(t, "in the mount", names(t, m.mnt), "f")
	same(t, "on the server", onDisk(t, m.dir), "*", "f")
	content(t, m.path("f"), "another")
	check(t, f.Close())
	eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 1 })
}
