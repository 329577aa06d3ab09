package bookmark

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// home gives the list of a user, and where it is.
func home(t *testing.T) (*File, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := Open(func(name string) string { return map[string]string{"HOME": dir}[name] })
	if err != nil {
		t.Fatal(err)
	}
	return f, filepath.Join(dir, ".config", "gtk-3.0", "bookmarks")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// What is added, and what is left when that is taken away again.
func TestAddAndRemove(t *testing.T) {
	for name, c := range map[string]struct{ before, folder, name, with, after string }{
		"none":            {"", "/home/me/mnt", "", "file:///home/me/mnt\n", ""},
		"named":           {"", "/home/me/mnt", "At work", "file:///home/me/mnt At work\n", ""},
		"escaped":         {"", "/a b/ä#?%;[]\xff", "", "file:///a%20b/%C3%A4%23%3F%25%3B%5B%5D%FF\n", ""},
		"as GLib":         {"", "/-_.!~*'()&=:@+$,", "", "file:///-_.!~*'()&=:@+$,\n", ""},
		"others":          {"sftp://host/x X\n\r\n garbage\xff\n", "/m", "", "sftp://host/x X\n\r\n garbage\xff\nfile:///m\n", "sftp://host/x X\n\r\n garbage\xff\n"},
		"no end of line":  {"file:///x", "/m", "", "file:///x\nfile:///m\n", "file:///x\n"},
		"there":           {"file:///m Mine\n", "/m", "", "file:///m Mine\n", "file:///m Mine\n"},
		"there, as typed": {"file:///%6D/\r\n", "/m", "", "file:///%6D/\r\n", "file:///%6D/\r\n"},
		"elsewhere":       {"sftp:///m\nfile:///m2\nfile:///%zz\n", "/m", "", "sftp:///m\nfile:///m2\nfile:///%zz\nfile:///m\n", "sftp:///m\nfile:///m2\nfile:///%zz\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, path := home(t)
			if c.before != "" {
				write(t, path, c.before, 0o644)
			}
			line, err := f.Add(c.folder, c.name)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != c.with {
				t.Errorf("added: %q, want %q", got, c.with)
			}
			if added := c.with != c.before; added != (line != "") {
				t.Errorf("the line is %q", line)
			}
			if err := f.Remove(line); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != c.after {
				t.Errorf("taken away: %q, want %q", got, c.after)
			}
		})
	}
}

// A bookmark that the user has renamed, or taken away, is no business of ours any more.
func TestChangedSince(t *testing.T) {
	f, path := home(t)
	line, err := f.Add("/m", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"file:///m Mine\n", "file:///x\n", ""} {
		write(t, path, text, 0o644)
		if err := f.Remove(line); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestModeAndLinksStay(t *testing.T) {
	f, path := home(t)
	real := filepath.Join(t.TempDir(), "dotfiles", "list")
	write(t, real, "file:///x\n", 0o640)
	link := func(to string) {
		t.Helper()
		_ = os.Remove(path) // there may be none
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	relative, err := filepath.Rel(filepath.Dir(path), real)
	if err != nil {
		t.Fatal(err)
	}
	for i, to := range []string{real, relative} {
		link(to)
		if _, err := f.Add(fmt.Sprintf("/m%d", i), ""); err != nil {
			t.Fatal(err)
		}
		if now, err := os.Readlink(path); err != nil || now != to {
			t.Errorf("the link is %q, %v", now, err)
		}
	}
	if got := read(t, real); got != "file:///x\nfile:///m0\nfile:///m1\n" {
		t.Errorf("got %q", got)
	}
	if info, err := os.Stat(real); err != nil || info.Mode() != 0o640 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if err := os.Remove(real); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add("/new", ""); err != nil { // the link leads nowhere yet
		t.Fatal(err)
	}
	if got := read(t, real); got != "file:///new\n" {
		t.Errorf("through a link that led nowhere: %q", got)
	}
	link(path)
	if _, err := f.Add("/m", ""); err == nil {
		t.Error("a link to itself: no error")
	}
}

// Many mounts at a time lose nothing of each other's, and leave nothing else.
func TestManyAtOnce(t *testing.T) {
	f, path := home(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			line, err := f.Add(fmt.Sprintf("/m%d", i), "")
			if err == nil && i%2 == 0 {
				err = f.Remove(line)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := strings.Count(read(t, path), "\n"); got != 10 {
		t.Errorf("%d lines, want 10", got)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// A folder that may not be written leaves the list as it was.
func TestRefused(t *testing.T) {
	_, path := home(t)
	write(t, path, "file:///x\n", 0o644)
	write(t, filepath.Join(path+"d", "x"), "", 0o644)
	blocked := &File{filepath.Join(path, "bookmarks")} // below a file
	if _, err := blocked.Add("/m", ""); err == nil {
		t.Error("no error")
	}
	if _, err := (&File{path + "d"}).Add("/m", ""); err == nil { // a folder
		t.Error("no error")
	}
	if got := read(t, path); got != "file:///x\n" {
		t.Errorf("got %q", got)
	}
	if _, err := Open(func(string) string { return "" }); err == nil {
		t.Error("no home: no error")
	}
	if CheckName("a\nfile:///b") == nil || CheckName("At work") != nil {
		t.Error("names are not checked")
	}
}
