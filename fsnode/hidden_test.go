package fsnode_test

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
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

		_, err = f.WriteString(" and after")
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
	same(t, "on the server", onDisk(t, m.dir))
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
