package integration

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// goSource makes $L/gosrc, a part of Go's own source, which the site's user may
// change. Where Go is in root's module cache it is read-only, and nobody else may
// read it.
func (s *site) goSource(t testing.TB) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").CombinedOutput()
	if err != nil {
		t.Fatalf("go env GOROOT: %v: %s", err, root)
	}
	for _, name := range []string{"encoding", "archive"} {
		must(t, os.CopyFS(s.Path("gosrc/"+name), os.DirFS(filepath.Join(strings.TrimSpace(string(root)), "src", name))))
	}
	must(t, filepath.WalkDir(s.Path("gosrc"), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, s.User.UID, s.User.GID))
	}))
}

// dropCaches has the kernel forget all files that nobody uses, as it does when it
// needs memory. Only root can make it.
func dropCaches(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
	}
}

// TestLinksForgotten pins that links made through the mount are one file also when
// the kernel has forgotten them.
func TestLinksForgotten(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.mount(t)
		s.sh(t, s.point, `mkdir -p d/e; echo one >d/one; ln d/one d/two; ln d/two d/e/three; echo other >other; stat -c %i d/one d/e/three >"$L/before"`)
		dropCaches(t)
		s.sh(t, s.point, `mv d moved; stat -c %i moved/one moved/e/three >"$L/after"; cmp "$L/before" "$L/after"
			test "$(find moved -type f -printf '%i\n' | sort -u | wc -l)" = 1`)
		dropCaches(t)
		s.sh(t, s.point, `echo more >>moved/two; test "$(cat moved/e/three)" = "$(printf 'one\nmore')"; rm moved/one`)
		dropCaches(t)
		s.sh(t, s.point, `test moved/two -ef moved/e/three; mv other moved/e/three; ! test moved/two -ef moved/e/three
			test "$(cat moved/two moved/e/three)" = "$(printf 'one\nmore\nother')"; rm -r moved; test -z "$(ls -A)"`)
	})
}

// sourceTree makes $L/src: a part of Go's own source, for its many small files,
// and beside it what copying programs stumble over. Times are whole seconds,
// since SFTP has no others.
const sourceTree = `
	cp -r gosrc src
	cd src
	mkdir -p empty deep/er/and/deeper odd
	chmod 700 empty
	chmod 1777 odd
	printf 'x' >'odd/with blank'
	printf 'x' >"odd/$(printf 'line\nbreak')"
	printf 'x' >"odd/$(printf 'latin-\344')"
	printf 'x' >'odd/ünïcode'
	printf 'x' >'odd/-dash'
	printf 'x' >"odd/quote'\"\\"
	printf 'x' >odd/$(head -c 200 /dev/zero | tr '\0' n)
	: >odd/nothing
	echo secret >odd/readonly; chmod 400 odd/readonly
	echo run >odd/run; chmod 755 odd/run
	ln -s run odd/relative
	ln -s /etc/hostname odd/absolute
	ln -s nowhere odd/dangling
	echo twice >odd/one; ln odd/one odd/two
	truncate -s 1M odd/sparse; echo end >>odd/sparse
	find . -depth -exec touch -h -d '2011-12-13 14:15:16' {} +
	cd ..
`

const treeFunctions = `
	list() { find "$1" -mindepth 1 \( -type d -printf '%P|%y|%m||%l|%u|%g|%T@\n' -o -printf '%P|%y|%m|%s|%l|%u|%g|%T@\n' \) |
		sed 's/\.[0-9]*$//' | sort; }
	same() { list "$1" >a; list "$2" >b; diff a b; diff -r --no-dereference "$1" "$2"; }
`

// TestTrees copies a tree in and out with the programs people use. What the
// server then has must be the tree, and so must what comes back.
func TestTrees(t *testing.T) {
	t.Parallel() // it takes long
	need(t, "rsync", "tar", "diff")
	for name, script := range map[string]string{
		"cp": `
			cp -a src "$M/copy"
			same src "$R/copy"
			test "$(stat -c %h "$R/copy/odd/one")" = 2
			cp -a "$M/copy" back`,
		"tar": `
			mkdir "$M/copy"
			tar -C src -cf - . | tar -C "$M/copy" -xpf -
			same src "$R/copy"
			mkdir back
			tar -C "$M/copy" -cf - . | tar -C back -xpf -`,
		"rsync": `
			rsync -aH src/ "$M/copy/"
			same src "$R/copy"
			FORGET
			test -z "$(rsync -aHn --itemize-changes src/ "$M/copy/")"
			rsync -aH "$M/copy/" back/`,
	} {
		t.Run(name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, u lab.User) {
				s := newSite(t, u)
				m := s.mount(t)
				s.goSource(t)
				s.sh(t, s.Dir, sourceTree)
				first, then, _ := strings.Cut(script, "FORGET")
				s.sh(t, s.Dir, treeFunctions+first)
				dropCaches(t)
				s.sh(t, s.Dir, treeFunctions+then+`
					same src back
					grep -r -c 'package json' "$M/copy/encoding" >grepped
					rm -r "$M/copy"
					test -z "$(ls -A "$M")"`)
				unmount(t, m)
				if left := names(t, s.remote); len(left) > 0 {
					t.Errorf("left on the server: %v", left)
				}
			})
		})
	}
}
