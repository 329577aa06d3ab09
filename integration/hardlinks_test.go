package integration

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// linkScripts are what programs do with several names of one file, each in a folder
// of its own. Local filesystems run them without an error.
var linkScripts = map[string]string{
	"chmod goes to the server after another name was removed": `
		echo x >a; chmod 644 a; ln a b; stat a b >/dev/null
		chmod 600 b; rm a; chmod 644 b
		test "$(stat -c %a "$R/$D/b")" = 644`,
	"chmod goes to the server whoever changed it in between": `
		echo x >a; chmod 644 a; ln a b; stat a b >/dev/null
		chmod 600 b; chmod 644 a
		test "$(stat -c %a "$R/$D/a")" = 644
		chmod 600 a; chmod 644 b
		test "$(stat -c %a "$R/$D/a")" = 644`,
	"what is left shows what was changed by the name that went": `
		echo x >a; ln a b; stat a b >/dev/null
		chmod 600 a; echo longer >>a; rm a
		test "$(stat -c '%a %s %h' b)" = '600 9 1'`,
	"three names": `
		echo x >a; ln a b; ln b c; stat a b c >/dev/null
		test "$(stat -c %h a)$(stat -c %h c)" = 33
		chmod 640 c; rm a
		test "$(stat -c '%a %h' b)" = '640 2'; test "$(stat -c '%a %h' c)" = '640 2'
		chmod 600 b; mv c d; rm b
		test "$(stat -c '%a %h' d)" = '600 1'`,
	"counts go up and down": `
		echo x >a; test "$(stat -c %h a)" = 1
		ln a b; test "$(stat -c %h a)" = 2
		rm b; test "$(stat -c %h a)" = 1
		ln a b; test "$(stat -c %h a)" = 2; test "$(stat -c %h b)" = 2
		rm a; test "$(stat -c %h b)" = 1`,
	"counts after a listing": `
		echo x >a; ln a b; ls -l >/dev/null; test "$(stat -c %h a)" = 2
		rm b; ls -l >/dev/null; test "$(stat -c %h a)" = 1
		ln a c; ls -l >/dev/null; test "$(stat -c %h a)" = 2`,
	"a rename over a link": `
		echo x >a; ln a b; ln a c; echo y >new; stat a b c new >/dev/null
		mv new b
		test "$(stat -c %h a)" = 2; test "$(stat -c %h b)" = 1; test "$(cat b)" = y
		mv b c
		test "$(stat -c %h a)" = 1; test "$(stat -c %h c)" = 1; test "$(cat c)" = y`,
	"links in folders that move": `
		mkdir one two; echo x >one/a; ln one/a two/b; stat one/a two/b >/dev/null
		mv two three; chmod 600 three/b; rm one/a
		test "$(stat -c '%a %h' three/b)" = '600 1'
		ln three/b one/c; rm -r one
		test "$(stat -c %h three/b)" = 1`,
	"open by one name, changed by another": `
		echo x >a; ln a b; exec 3<>a; stat a b >/dev/null
		chmod 600 b; echo longer >>b
		test "$(stat -L -c '%a %s' /dev/fd/3)" = '600 9'
		rm a; test "$(stat -L -c %h /dev/fd/3)" = 1; exec 3>&-`,
}

// TestHardLinks pins that what is done by one name of a file shows by all that were
// made here, that counts of links go down too, and that no change is left out because
// of what was true under another name.
func TestHardLinks(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		for name, script := range linkScripts {
			s.sh(t, s.point, "mkdir '"+name+"'")
			if _, err := s.shell(t, s.point, "D='"+name+"'; cd \"$D\"; "+script); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		unmount(t, m)
	})
}

// TestGnuPG pins that gpg works with its home in the mount: it takes locks by link(2)
// and looks at the count of links, again and again.
func TestGnuPG(t *testing.T) {
	need(t, "gpg", "gpg-agent", "gpgconf")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.sh(t, s.point, `
			export GNUPGHOME="$M/gnupg"; mkdir -m 700 gnupg
			for socket in S.gpg-agent S.gpg-agent.extra S.gpg-agent.browser S.gpg-agent.ssh; do # SFTP has no sockets
				printf '%%Assuan%%\nsocket=%s\n' "$L/$socket" >gnupg/$socket
			done
			trap 'gpgconf --kill all' EXIT
			for who in one two; do
				timeout 60 gpg --batch --quiet --passphrase '' --quick-generate-key "$who@example.org" ed25519 sign never
			done
			echo text >text
			timeout 60 gpg --batch --quiet --yes --local-user one@example.org --detach-sign text
			timeout 60 gpg --batch --quiet --verify text.sig text
			test "$(timeout 60 gpg --batch --list-keys | grep -c '^pub')" = 2`)
		unmount(t, m)
	})
}

func init() { jobs["chmod"] = chmodJob } // see inside_test.go

// TestChmodOfOpenFiles pins that a change of mode reaches the server whichever of
// several descriptors and names it comes by.
func TestChmodOfOpenFiles(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.inside(t, "chmod", s.point)
		unmount(t, m)
	})
}

func chmodJob(t *testing.T, dir string) {
	server := filepath.Join(filepath.Dir(dir), "remote")
	path := filepath.Join(dir, "file")
	a, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	must(t, err)
	b, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	must(t, os.Link(path, path+"2"))
	must(t, os.Symlink("file", path+"3"))
	c, err := os.OpenFile(path+"2", os.O_RDWR, 0)
	must(t, err)
	ways := []struct {
		name  string
		chmod func(os.FileMode) error
	}{
		{"the first descriptor", a.Chmod},
		{"the second descriptor", b.Chmod},
		{"a descriptor of the other name", c.Chmod},
		{"the path", func(m os.FileMode) error { return os.Chmod(path, m) }},
		{"the other name", func(m os.FileMode) error { return os.Chmod(path+"2", m) }},
		{"a symbolic link", func(m os.FileMode) error { return os.Chmod(path+"3", m) }},
	}
	for _, one := range ways {
		for _, other := range ways {
			must(t, a.Chmod(0o644))
			must(t, one.chmod(0o600))
			must(t, other.chmod(0o644))
			st, err := os.Stat(filepath.Join(server, "file"))
			must(t, err)
			if st.Mode().Perm() != 0o644 {
				t.Errorf("by %s, and back by %s: the server has %v", one.name, other.name, st.Mode())
			}
		}
	}
	for _, f := range []*os.File{a, b, c} {
		must(t, f.Close())
	}
}

func init() { jobs["exdev"] = exdevJob }

// TestRenameAcrossMounts pins what rename and link say between two mounts of one
// filesystem on the server, by which mv knows that it has to copy, and that this is
// not said of what fails for other reasons.
func TestRenameAcrossMounts(t *testing.T) {
	u := currentUser(t)
	if os.Getuid() != 0 {
		t.Skip("mounting on the server's side takes root")
	}
	s := newSite(t, u)
	for _, dir := range []string{"real", "bound"} {
		must(t, s.Mkdir(s.onServer(dir), 0o755))
	}
	must(t, syscall.Mount(s.onServer("real"), s.onServer("bound"), "", syscall.MS_BIND, ""))
	t.Cleanup(func() { must(t, syscall.Unmount(s.onServer("bound"), 0)) })
	m := s.mount(t)
	s.inside(t, "exdev", s.point)
	s.sh(t, s.point, `
		echo moved >file; mv file bound/; test "$(cat "$R/real/file")" = moved; test ! -e file
		mkdir -p dir/sub; echo x >dir/sub/f; mv dir bound/; test "$(cat "$R/real/dir/sub/f")" = x; test ! -e dir`)
	unmount(t, m)
}

func exdevJob(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("f"), []byte("f"), 0o644))
	must(t, os.WriteFile(at("real/there"), []byte("t"), 0o644))
	must(t, os.MkdirAll(at("d/sub"), 0o755))
	must(t, os.MkdirAll(at("real/full/x"), 0o755))
	must(t, os.MkdirAll(at("real/empty"), 0o755))
	rename := func(from, to string) error { return syscall.Rename(at(from), at(to)) }
	link := func(from, to string) error { return syscall.Link(at(from), at(to)) }
	for _, c := range []struct {
		what     string
		call     func(from, to string) error
		from, to string
		want     syscall.Errno
	}{
		{"rename a file", rename, "f", "bound/f", syscall.EXDEV},
		{"rename a folder", rename, "d", "bound/d", syscall.EXDEV},
		{"rename out of it", rename, "bound/there", "there", syscall.EXDEV},
		{"rename over a file", rename, "f", "bound/there", syscall.EXDEV},
		{"rename over an empty folder", rename, "d", "bound/empty", syscall.EXDEV},
		{"link", link, "f", "bound/f", syscall.EXDEV},
		{"link out of it", link, "bound/there", "there", syscall.EXDEV},
		{"link over what is there", link, "f", "bound/there", syscall.EEXIST},
		{"link in one folder", link, "f", "real/there", syscall.EEXIST},
		{"into itself", rename, "d", "d/sub/d", syscall.EINVAL},
		{"over a full folder", rename, "d", "real/full", syscall.ENOTEMPTY},
		{"what is not there", rename, "none", "bound/none", syscall.ENOENT},
		{"into what is not there", rename, "f", "bound/none/f", syscall.ENOENT},
		{"a mountpoint within its folder", rename, "bound", "elsewhere", syscall.EIO},
	} {
		if err := c.call(c.from, c.to); err != c.want {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}
