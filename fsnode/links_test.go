package fsnode_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/fsnode"
)

// The server makes links to files of this machine. No program here may be led to
// them, whatever it does with the link.
func TestLinksOfTheServerStayInside(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	secret := filepath.Join(filepath.Dir(m.mnt), "secret")
	write(t, secret, "secret")
	check(t, os.MkdirAll(m.disk("a/b"), 0o755))
	check(t, os.Symlink(".", m.disk("here")))
	check(t, os.Symlink("../..", m.disk("a/b/top")))
	for name, target := range map[string]string{
		"absolute":      secret,
		"up":            "../secret",
		"a/b/up":        "../../../secret",
		"dots":          "./.././secret",
		"twice":         "here/here/../secret",
		"chain":         "a/b/top/../secret",
		"a/b/through":   "top/../secret",
		"a/after":       "b/../../../secret",
		"proc":          "/proc/self/root" + secret,
		"point":         m.mnt + "/../secret",
		"a/folder":      "../..",
		"not-there-yet": filepath.Dir(secret) + "/new",
	} {
		check(t, os.Symlink(target, m.disk(name)))
		_, err := os.Readlink(m.path(name))
		wants(t, "readlink "+name, err, syscall.EPERM)
		_, err = os.ReadFile(m.path(name))
		wants(t, "read "+name, err, syscall.EPERM)
		wants(t, "write "+name, os.WriteFile(m.path(name), []byte("x"), 0o644), syscall.EPERM)
		_, err = os.ReadDir(m.path(name))
		wants(t, "list "+name, err, syscall.EPERM)
		if st := lstat(t, m.path(name)); st.Mode&unix.S_IFMT != unix.S_IFLNK {
			t.Errorf("%s is not a link any more: %o", name, st.Mode)
		}
	}
	content(t, secret, "secret")
	absent(t, filepath.Dir(secret)+"/new")
	if got := m.must(command{Op: "calls"}).Stats.RefusedLinks; got != 12 {
		t.Errorf("%d links counted", got)
	}
	check(t, os.Remove(m.path("absolute"))) // it can be taken away
	absent(t, m.disk("absolute"))
}

// A link is judged where it is now, by all names it has.
func TestLinksMoved(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	check(t, os.MkdirAll(m.disk("a/b"), 0o755))
	write(t, m.disk("f"), "inside")
	check(t, os.Symlink("../../f", m.disk("a/b/l")))
	content(t, m.path("a/b/l"), "inside")

	check(t, os.Rename(m.path("a/b"), m.path("b"))) // with its folder
	_, err := os.Readlink(m.path("b/l"))
	wants(t, "one folder higher", err, syscall.EPERM)
	check(t, os.Rename(m.path("b"), m.path("a/b")))
	content(t, m.path("a/b/l"), "inside")

	check(t, os.Link(m.path("a/b/l"), m.path("l"))) // a second name, at the top
	for _, name := range []string{"l", "a/b/l"} {
		_, err = os.Readlink(m.path(name))
		wants(t, name+" of two names", err, syscall.EPERM)
	}
	check(t, os.Remove(m.path("l")))
	content(t, m.path("a/b/l"), "inside")
}

// What a program here made is shown to it as it made it, wherever it moves it:
// cp -a, tar and rsync look at what they made. But only that, and only there.
func TestLinksMadeHere(t *testing.T) {
	m := mount(t, setup{})
	shows := func(name, target string) {
		t.Helper()
		if got, err := os.Readlink(m.path(name)); err != nil || got != target {
			t.Errorf("%s -> %q, %v", name, got, err)
		}
	}
	check(t, os.MkdirAll(m.path("a/b"), 0o755))
	check(t, os.Symlink("/out/side", m.path("a/b/l")))
	check(t, os.Symlink("../../x", m.path("k")))
	shows("a/b/l", "/out/side")
	check(t, os.Rename(m.path("a"), m.path("c"))) // with folders
	check(t, os.Rename(m.path("c/b/l"), m.path("c/l")))
	check(t, os.Rename(m.path("c/l"), m.path("k"))) // as rsync replaces a link
	shows("k", "/out/side")
	check(t, os.Link(m.path("k"), m.path("j")))
	check(t, os.Remove(m.path("k")))
	shows("j", "/out/side")

	refused := func(what, name string) {
		t.Helper()
		_, err := os.Readlink(m.path(name))
		wants(t, what, err, syscall.EPERM)
	}
	check(t, os.Symlink("/out/side", m.disk("elsewhere")))
	refused("the same text under another name", "elsewhere")
	check(t, os.Symlink("/out/side", m.disk("k")))
	refused("under a name that was removed", "k")
	check(t, os.Remove(m.disk("j")))
	check(t, os.Symlink("/out/sidf", m.disk("j")))
	refused("another text", "j")
	check(t, os.Remove(m.disk("j")))
	write(t, m.path("j"), "a file")
	check(t, os.Remove(m.disk("j")))
	check(t, os.Symlink("/out/side", m.disk("j")))
	refused("where a file was made since", "j")
}

func TestLinksByOption(t *testing.T) {
	dir := t.TempDir()
	point := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	texts := map[string]string{
		"name": "d/f", "d/up": "../f", "out": "../f", "mount": point + "/f", "server": dir + "/d/f", "d/server": dir + "/f", "far": "/etc/passwd",
	}
	for name, text := range texts {
		check(t, os.Symlink(text, filepath.Join(dir, name)))
	}
	const no = ""
	for option, tc := range map[string]struct {
		setup
		shown map[string]string // other than the texts
	}{
		"strict": {setup{Contain: fsnode.ContainStrict},
			map[string]string{"d/up": no, "out": no, "mount": no, "server": no, "d/server": no, "far": no}},
		"default":   {setup{}, map[string]string{"out": no, "server": no, "d/server": no, "far": no}},
		"transform": {setup{Transform: true}, map[string]string{"out": no, "server": "d/f", "d/server": "../f", "far": no}},
		"strict, transform": {setup{Contain: fsnode.ContainStrict, Transform: true},
			map[string]string{"d/up": no, "out": no, "mount": no, "server": "d/f", "d/server": no, "far": no}},
		"none":            {setup{Contain: fsnode.ContainNothing}, nil},
		"none, transform": {setup{Contain: fsnode.ContainNothing, Transform: true}, map[string]string{"server": "d/f", "d/server": "../f"}},
	} {
		tc.setup.Dir, tc.setup.Point = dir, point
		m := mount(t, tc.setup)
		for name, text := range texts {
			want, other := tc.shown[name]
			if !other {
				want = text
			}
			switch got, err := os.Readlink(m.path(name)); {
			case want == no:
				wants(t, option+": "+name, err, syscall.EPERM)
			case err != nil || got != want:
				t.Errorf("%s: %s -> %q, %v; want %q", option, name, got, err, want)
			}
		}
		m.end()
	}
}

// A mount of root's that follows no link at all.
func TestNoSymFollow(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("fusermount3 has no nosymfollow: this takes root")
	}
	m := mount(t, setup{Options: []string{"nosymfollow"}})
	write(t, m.disk("f"), "x")
	check(t, os.Symlink("f", m.disk("l")))
	if got, err := os.Readlink(m.path("l")); err != nil || got != "f" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := os.ReadFile(m.path("l"))
	wants(t, "following", err, syscall.ELOOP)
}

// The longest text that there can be is shown whole.
func TestLongLink(t *testing.T) {
	m := mount(t, setup{Contain: fsnode.ContainNothing})
	long := strings.Repeat("x/", 2047) + "x"
	check(t, os.Symlink(long, m.disk("long")))
	if got, err := os.Readlink(m.path("long")); err != nil || got != long {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
