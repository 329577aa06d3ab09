package mountpoint

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const sample = `22 28 0:21 / /proc rw,nosuid - proc proc rw
36 28 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue
90 28 0:77 / /home/me/a\040b rw,nosuid,nodev - fuse.sshfs me@h:a\040b rw,user_id=1000
91 28 0:78 / /home/me/a\040b/c rw - fuse.rclone x rw
92 28 0:79 / /mnt2 rw - tmpfs tmpfs rw
`

func TestParse(t *testing.T) {
	got, err := parse(strings.NewReader(sample))
	if err != nil || len(got) != 5 {
		t.Fatalf("%v, %v", got, err)
	}
	want := Entry{Minor: 77, Mountpoint: "/home/me/a b", Type: "fuse.sshfs", Source: "me@h:a b"}
	if !reflect.DeepEqual(got[2], want) || !got[2].FUSE() || got[1].FUSE() {
		t.Errorf("got %+v, want %+v", got[2], want)
	}
	if e, ok := at(got, "/mnt2"); !ok || e.Type != "tmpfs" {
		t.Errorf("the topmost mount on /mnt2 is %+v, %v", e, ok)
	}
	for path, want := range map[string]string{"/home/me/a b/x/y": "/home/me/a b", "/home/me/a b/c/d": "/home/me/a b/c", "/home/me": "", "/mnt2/x": "", "/home/me/a b": ""} {
		if e, ok := above(got, path); ok != (want != "") || ok && e.Mountpoint != want {
			t.Errorf("above %s: %+v, %v; want %q", path, e, ok, want)
		}
	}
	for _, bad := range []string{"x\n", "1 2 3 4 5 6\n", "1 2 x / / rw - t s\n"} {
		if _, err := parse(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestMountsHere(t *testing.T) {
	entries, err := Mounts()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := at(entries, "/proc"); !ok {
		t.Error("/proc is not in the mount table")
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	empty, full, file, link, loop := filepath.Join(dir, "empty"), filepath.Join(dir, "full"), filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "loop")
	if err := errors.Join(os.Mkdir(empty, 0o755), os.Mkdir(full, 0o755), os.WriteFile(file, nil, 0o600),
		os.WriteFile(filepath.Join(full, "x"), nil, 0o600), os.Symlink(empty, link), os.Symlink("loop", loop)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path     string
		nonempty bool
		want     string // path, or part of the error
	}{
		{empty, false, empty},
		{empty + "/../empty/", false, empty},
		{link, false, empty},
		{loop, false, "too many"},
		{full, true, full},
		{full, false, "not empty"},
		{file, false, "not a folder"},
		{filepath.Join(dir, "none"), false, "no such folder"},
		{filepath.Join(file, "x"), false, "not a directory"},
	} {
		got, err := Check{NonEmpty: c.nonempty}.Run(c.path)
		if filepath.IsAbs(c.want) {
			if err != nil || got != c.want {
				t.Errorf("%s: %q, %v", c.path, got, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
}

func TestUserAllowOther(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fuse.conf")
	for text, want := range map[string]bool{
		"": false, "#user_allow_other\n": false, "user_allow_other": true, " user_allow_other # yes\n": true, "mount_max = 5\nuser_allow_others\n": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := userAllowOther(file); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestQuote(t *testing.T) {
	for path, want := range map[string]string{"/a/b": "/a/b", "/a b": "'/a b'", "it's": `'it'\''s'`, "": "''"} {
		if got := quote(path); got != want {
			t.Errorf("quote(%q) = %s", path, got)
		}
	}
}
