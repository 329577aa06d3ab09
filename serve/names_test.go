package serve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// renamed calls renameByLink on "from/old" and "to/new", with the rights of an
// ordinary user, when prepare has been there.
func renamed(t *testing.T, prepare func(dir string)) (dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"from", "to"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(dir, "from/old"), []byte("text"), 0o644))
	if os.Geteuid() == 0 {
		for _, name := range []string{"from", "to", "from/old"} {
			must(t, os.Chown(filepath.Join(dir, name), 65534, 65534))
		}
	}
	prepare(dir)
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "from"), 0o755) })
	from, err := os.Open(filepath.Join(dir, "from"))
	must(t, err)
	defer func() { _ = from.Close() }()
	to, err := os.Open(filepath.Join(dir, "to"))
	must(t, err)
	defer func() { _ = to.Close() }()
	asNobody(t, func() { err = renameByLink(int(from.Fd()), "old", int(to.Fd()), "new") })
	return dir, err
}

func TestRenameByLink(t *testing.T) {
	for _, c := range []struct {
		name     string
		prepare  func(dir string)
		old, new bool // what is there afterwards
		want     error
	}{
		{"a file", func(string) {}, false, true, nil},
		{"onto a file", func(dir string) { must(t, os.WriteFile(filepath.Join(dir, "to/new"), nil, 0o644)) }, true, true, unix.EEXIST},
		{"out of a folder that keeps its names", func(dir string) { must(t, os.Chmod(filepath.Join(dir, "from"), 0o555)) }, true, false, unix.EACCES},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := renamed(t, c.prepare)
			_, noOld := os.Lstat(filepath.Join(dir, "from/old"))
			_, noNew := os.Lstat(filepath.Join(dir, "to/new"))
			if !errors.Is(err, c.want) || (noOld == nil) != c.old || (noNew == nil) != c.new {
				t.Errorf("%v; old %v, new %v", err, noOld, noNew)
			}
		})
	}
}

// An unlink whose answer says nothing of what it did leaves the second name.
func TestUnlinkFirst(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "new"), nil, 0o644))
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "kept"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "kept/other"), nil, 0o644))
	must(t, os.Chmod(filepath.Join(dir, "kept"), 0o555))
	t.Cleanup(func() { must(t, os.Chmod(filepath.Join(dir, "kept"), 0o755)) })
	f, err := os.Open(dir)
	must(t, err)
	defer func() { _ = f.Close() }()
	for first, want := range map[string]error{"gone": nil, "folder": unix.EISDIR, "kept/other": unix.EACCES} {
		asNobody(t, func() {
			if first == "folder" && os.Geteuid() == 0 {
				want = unix.EACCES
			}
			err = unlinkFirst(int(f.Fd()), first, int(f.Fd()), "new")
		})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", first, err, want)
		}
		if _, err := os.Lstat(filepath.Join(dir, "new")); err != nil {
			t.Errorf("%s: %v", first, err)
		}
	}
}
