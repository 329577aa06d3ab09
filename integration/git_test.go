package integration

import (
	"strings"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

const gitConfig = `
	git config --global user.name Somebody
	git config --global user.email somebody@example.org
	git config --global init.defaultBranch main
	git config --global core.fsync all
	git config --global gc.auto 0
`

// TestGit works in a repository in the mount.
func TestGit(t *testing.T) {
	need(t, "git")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.mount(t)
		s.goSource(t)
		s.sh(t, s.point, gitConfig+`
			git init -q repo
			cd repo
			cp -r "$L/gosrc/encoding" .
			git add .
			git commit -q -m first
			test -z "$(git status --porcelain)"
			echo more >>encoding/encoding.go
			git mv encoding/json/decode.go encoding/json/renamed.go
			test "$(git status --porcelain | wc -l)" = 2
			git commit -q -a -m second
			git checkout -q -b branch HEAD~1
			test -f encoding/json/decode.go
			git checkout -q main
			git merge -q branch
			git gc -q --prune=now
			git fsck --strict
			cd ..
			git clone -q --no-local repo clone
			git clone -q repo "$L/outside"
			test "$(git -C clone rev-parse HEAD)" = "$(git -C "$R/repo" -c safe.directory='*' rev-parse HEAD)"
			diff -r --exclude=.git repo "$L/outside"
			rm -rf repo clone
			test -z "$(ls -A)"`)
	})
}

// TestGitStatusIsCheap pins that what git remembers of a file (inode, size,
// mtime, ctime, owner) is still so at the next call and after a remount: it then
// reads no file again. "sum_scan" is how many git read, in its own trace.
func TestGitStatusIsCheap(t *testing.T) {
	need(t, "git")
	const status = `
		cd "$M/repo"
		rm -f "$L/trace"
		GIT_TRACE2_EVENT="$L/trace" git status --porcelain
		grep -o '"refresh/sum_[a-z]*","value":"[0-9]*"' "$L/trace"`
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.goSource(t)
		s.sh(t, s.point, gitConfig+`
			git init -q repo
			cd repo
			cp -r "$L/gosrc/encoding" .
			git add .
			git commit -q -m first
			sleep 2 # git reads again what is as new as its index
			git status`)
		check := func(when string) {
			t.Helper()
			if out := s.sh(t, s.point, status); !strings.Contains(out, `"refresh/sum_scan","value":"0"`) {
				t.Errorf("%s: %s", when, out)
			}
		}
		check("second status")
		unmount(t, m)
		s.mount(t)
		check("after a remount")
	})
}
