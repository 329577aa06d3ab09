package fsnode_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
)

// What changes through FS.Remote shows at once, though the kernel may believe
// what it has for a minute.
func TestChangesBesidesTheMountShow(t *testing.T) {
	m := mount(t, setup{AttrTimeout: 60 * cached})
	check(t, os.Mkdir(m.path("d"), 0o755))
	write(t, m.path("d/f"), "old content")
	absent(t, m.path("d/new"))
	content(t, m.path("d/f"), "old content")
	same(t, "listing", names(t, m.path("d")), "f")
	same(t, "listing again", names(t, m.path("d")), "f")

	m.must(command{Op: "write", Path: "d/new", Data: "made"})
	content(t, m.path("d/new"), "made")
	same(t, "with a new file", names(t, m.path("d")), "f", "new")

	f, err := os.Open(m.path("d/f"))
	check(t, err)
	m.must(command{Op: "write", Path: "d/f", Data: "new"})
	if st := lstat(t, m.path("d/f")); st.Size != 3 {
		t.Errorf("size %d", st.Size)
	}
	if data, err := io.ReadAll(f); err != nil || string(data) != "new" {
		t.Errorf("an open file reads %q, %v", data, err)
	}
	check(t, f.Close())

	m.must(command{Op: "rename", Path: "d", To: "e"})
	absent(t, m.path("d"))
	content(t, m.path("e/f"), "new")
	m.must(command{Op: "mkdir", Path: "d"})
	m.must(command{Op: "rename", Path: "e/f", To: "d/g"})
	content(t, m.path("d/g"), "new")
	absent(t, m.path("e/f"))
	m.must(command{Op: "remove", Path: "d/g"})
	absent(t, m.path("d/g"))
	m.must(command{Op: "rmdir", Path: "d"})
	absent(t, m.path("d"))
	same(t, "in the end", names(t, m.mnt), "e")
}

func TestRemovedBesidesWhileOpen(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	write(t, m.path("f"), "content")
	f, err := os.Open(m.path("f"))
	check(t, err)
	m.must(command{Op: "remove", Path: "f"})
	absent(t, m.path("f"))
	same(t, "on the server", onDisk(t, m.dir), "*")
	if data, err := io.ReadAll(f); err != nil || string(data) != "content" {
		t.Errorf("read %q, %v", data, err)
	}
	check(t, f.Close())
	eventually(t, "removal at the last close", func() bool { return len(onDisk(t, m.dir)) == 0 })
}

// Telling the kernel waits for its locks, which requests hold that wait for us:
// nothing of ours may be held meanwhile.
func TestBusyFolderChangedFromBothSides(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	check(t, os.Mkdir(m.path("d"), 0o755))
	var programs sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		programs.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				a, b := m.path(fmt.Sprintf("d/%d-%d", i, n%3)), m.path(fmt.Sprintf("d/x%d-%d", i, n%5))
				err := errors.Join(os.WriteFile(a, []byte("x"), 0o644), os.Rename(a, b))
				if _, err2 := os.ReadDir(m.path("d")); err != nil || err2 != nil {
					t.Errorf("%v, %v", err, err2)
					return
				}
			}
		})
	}
	for n := range 150 {
		name := fmt.Sprintf("d/s%d", n%7)
		m.must(command{Op: "write", Path: name, Data: "y"})
		m.must(command{Op: "rename", Path: name, To: name + "r"})
		m.must(command{Op: "remove", Path: name + "r"})
	}
	close(stop)
	programs.Wait()
}

// Programs that rename folders to and fro, with others at work below them: every
// file stays what it is.
func TestRenamesUnderLoad(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	check(t, os.MkdirAll(m.path("a/b/c"), 0o755))
	write(t, m.path("a/b/c/f"), "content")
	dir, err := os.Open(m.path("a/b/c"))
	check(t, err)
	defer func() { _ = dir.Close() }()
	root, err := os.OpenRoot(m.path("a/b/c"))
	check(t, err)
	defer func() { _ = root.Close() }()
	var programs sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		programs.Go(func() {
			name := fmt.Sprint("own", i)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if data, err := root.ReadFile("f"); err != nil || string(data) != "content" {
					t.Errorf("f: %q, %v", data, err)
					return
				}
				if err := errors.Join(root.WriteFile(name, []byte(name), 0o644), root.Remove(name)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 200 {
		check(t, os.Rename(m.path("a"), m.path("z")))
		check(t, os.Rename(m.path("z/b"), m.path("z/y")))
		check(t, os.Rename(m.path("z/y"), m.path("z/b")))
		check(t, os.Rename(m.path("z"), m.path("a")))
	}
	close(stop)
	programs.Wait()
	same(t, "in the end", names(t, m.path("a/b/c")), "f")
}
