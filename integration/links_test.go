package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// honest are the links that people have in their folders. Each is made on the
// server, in $R, and used through the mount, by $M, before and after a remount:
// none may be refused. "local" are made by programs here.
var honest = map[string]struct{ server, local, use string }{
	"a release that is current": {
		server: `mkdir -p releases/7 && echo seven >releases/7/version && ln -s releases/7 current`,
		use:    `test "$(cat current/version)" = seven; ls current/ >/dev/null; cd current; test -f version`,
	},
	"node_modules": {
		server: `mkdir -p node_modules/.bin node_modules/tool/bin packages/ours
			echo '#!/bin/sh' >node_modules/tool/bin/tool.js; chmod +x node_modules/tool/bin/tool.js
			ln -s ../tool/bin/tool.js node_modules/.bin/tool
			ln -s ../packages/ours node_modules/ours; echo x >packages/ours/index.js`,
		use: `./node_modules/.bin/tool; test "$(cat node_modules/ours/index.js)" = x`,
	},
	"pnpm": {
		server: `mkdir -p node_modules/.pnpm/a@1/node_modules/a node_modules/.pnpm/b@2/node_modules/b
			echo b >node_modules/.pnpm/b@2/node_modules/b/index.js
			ln -s ../../b@2/node_modules/b node_modules/.pnpm/a@1/node_modules/b
			ln -s .pnpm/a@1/node_modules/a node_modules/a`,
		use: `test "$(cat node_modules/a/../b/index.js)" = b`,
	},
	"a chain of libraries": {
		server: `mkdir lib && echo elf >lib/lib.so.1.2.3
			ln -s lib.so.1.2.3 lib/lib.so.1.2; ln -s lib.so.1.2 lib/lib.so.1; ln -s lib.so.1 lib/lib.so`,
		use: `test "$(cat lib/lib.so)" = elf; test "$(readlink -f lib/lib.so)" = "$PWD/lib/lib.so.1.2.3"`,
	},
	"links in a venv": {
		server: `mkdir -p venv/bin venv/lib/python3 && echo py >venv/bin/python3.11
			ln -s python3.11 venv/bin/python3; ln -s python3 venv/bin/python; ln -s lib venv/lib64`,
		use: `test "$(cat venv/bin/python)" = py; ls venv/lib64/python3 >/dev/null`,
	},
	"alternatives": {
		server: `mkdir -p etc/alternatives bin && echo vi >bin/vim.basic
			ln -s ../../bin/vim.basic etc/alternatives/vi; ln -s ../etc/alternatives/vi bin/vi`,
		use: `test "$(cat bin/vi)" = vi`,
	},
	"a folder that leads up": {
		server: `mkdir -p site/static && echo css >site/static/a.css && ln -s .. site/static/all && ln -s . site/self`,
		use:    `test "$(cat site/self/static/all/static/a.css)" = css`,
	},
	"nix profiles": {
		server: `mkdir -p store/abc-tool/bin profiles && echo t >store/abc-tool/bin/t
			ln -s ../store/abc-tool profiles/profile-1-link; ln -s profile-1-link profiles/profile`,
		use: `test "$(cat profiles/profile/bin/t)" = t`,
	},
	"latest backup": {
		server: `mkdir -p backup/2026-01-01 backup/2026-01-02 && echo two >backup/2026-01-02/f && ln -s ./2026-01-02/ backup/latest`,
		use:    `test "$(cat backup/latest/f)" = two`,
	},
	"links of git": {
		local: `git init -q repo && cd repo && mkdir -p a/b && echo x >a/f && ln -s ../f a/b/f && ln -s a/b dir &&
			git add . && git -c user.name=n -c user.email=e@x commit -q -m links && git worktree add -q ../tree 2>/dev/null`,
		use: `cd repo; test -z "$(git status --porcelain)"; test "$(cat dir/f)" = x; cd ../tree; test -z "$(git status --porcelain)"`,
	},
	"absolute, made here, below the mountpoint": {
		local: `mkdir -p data && echo d >data/f && ln -s "$PWD/data" abs && ln -s "$PWD/data/f" data/abs`,
		use:   `test "$(cat abs/f)" = d; test "$(cat data/abs)" = d; test "$(readlink abs)" = "$PWD/data"`,
	},
}

func TestHonestLinks(t *testing.T) {
	need(t, "git")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		refused := 0
		for name, tc := range honest {
			s.sh(t, s.remote, "mkdir '"+name+"'; cd '"+name+"'; "+tc.server)
		}
		for pass := range 2 {
			m := s.mount(t)
			for name, tc := range honest {
				if pass == 0 && tc.local != "" {
					s.sh(t, s.point, "cd '"+name+"'; "+tc.local)
				}
				script := "M='" + s.point + "'; cd '" + s.point + "/" + name + "'\n" + tc.use
				if stdout, stderr, code := s.run(t, "sh", "-eu", "-c", script); code != 0 {
					t.Errorf("%s, mounted %d times: %d\n%s%s", name, pass+1, code, stdout, stderr)
					refused++
				}
			}
			if strings.Contains(m.Output(), "refused") {
				t.Errorf("refused: %s", m.Output())
			}
			unmount(t, m)
		}
		t.Logf("%d honest layouts, %d refused", len(honest), refused)
	})
}

// TestOutwardLinks copies a tree with absolute and outward links into the mount,
// twice, and asks git about it, before and after a remount. What a program here
// made it sees as it made it; after a remount a link that leads out is the
// server's word, and cannot be read, but replaced and removed.
func TestOutwardLinks(t *testing.T) {
	need(t, "git", "rsync", "tar")
	const tree = `
		mkdir -p src/a/b
		echo x >src/f
		ln -s /etc/hostname src/abs
		ln -s ../../../outside src/a/b/out
		ln -s ../../f src/a/b/in
		ln -s nowhere src/dangling
		list() { find "$1" -mindepth 1 -printf '%P|%y|%l\n' | sort; }
		same() { list "$1" >"$L/one"; list "$2" >"$L/two"; diff "$L/one" "$L/two"; }
	`
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.sh(t, s.Dir, tree+`
			cp -a src "$M/cp"; same src "$M/cp"; same src "$R/cp"
			cp -a --remove-destination src/. "$M/cp/"; same src "$R/cp"
			mkdir "$M/tar"
			tar -C src -cf t.tar .
			tar -C "$M/tar" -xpf t.tar; same src "$M/tar"; same src "$R/tar"
			tar -C "$M/tar" -xpf t.tar; same src "$R/tar"
			tar -C "$M/tar" -cf back.tar .
			rsync -a src/ "$M/rsync/"; same src "$R/rsync"
			test -z "$(rsync -a --itemize-changes src/ "$M/rsync/")"
			same src "$M/rsync"`)
		s.sh(t, s.point, gitConfig+`
			cp -a "$L/src" git; cd git
			git init -q; git add .; git commit -q -m one
			sleep 2; git status >/dev/null
			test -z "$(git status --porcelain)"`)
		unmount(t, m)

		m = s.mount(t)
		s.sh(t, s.Dir, `
			cat "$M/cp/abs" 2>err && exit 1; grep -q 'Operation not permitted' err
			test "$(cat "$M/cp/a/b/in")" = x
			ls -l "$M/cp" >/dev/null 2>&1 || true
			list() { find "$1" -mindepth 1 -printf '%P|%y|%l\n' | sort; }
			same() { list "$1" >one; list "$2" >two; diff one two; }
			tar -C "$M/tar" -xpf t.tar; same src "$M/tar"; same src "$R/tar"
			rsync -a src/ "$M/rsync/"; same src "$R/rsync"
			test -z "$(rsync -a --itemize-changes src/ "$M/rsync/")"
			cp -a --remove-destination src/. "$M/cp/"; same src "$M/cp"; same src "$R/cp"
			test -z "$(git -C "$M/git" status --porcelain)"
			rm -r "$M/cp" "$M/tar" "$M/rsync" "$M/git"; test -z "$(ls -A "$R")"`)
		unmount(t, m)
		if !strings.Contains(m.Output(), "transform_symlinks") {
			t.Errorf("nothing told: %s", m.Output())
		}
	})
}

// TestLinkOptions sees the options on the command line, and what status tells.
func TestLinkOptions(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.sh(t, s.remote, `mkdir d; echo x >d/f; ln -s /etc/hostname far; ln -s ../d/f d/up; ln -s "$R/d/f" own`)
		for option, script := range map[string]string{
			"":                        `! readlink far && readlink d/up && ! readlink own`,
			"contain_symlinks":        `! readlink far && readlink d/up && ! readlink own`,
			"contain_symlinks=strict": `! readlink far && ! readlink d/up && ! readlink own`,
			"no_contain_symlinks":     `readlink far && readlink d/up && readlink own`,
			"transform_symlinks":      `! readlink far && test "$(readlink own)" = d/f && test "$(cat own)" = x`,
		} {
			flags := []string{}
			if option != "" {
				flags = []string{"-o", option}
			}
			m := s.mount(t, flags...)
			if stdout, stderr, code := s.run(t, "sh", "-eu", "-c", "cd '"+s.point+"'; "+script); code != 0 {
				t.Errorf("%q: %s%s", option, stdout, stderr)
			}
			status, _, _ := s.run(t, binary, "status", s.point)
			if told := strings.Contains(status, "lead out of the mount"); told != (option != "no_contain_symlinks") {
				t.Errorf("%q: status says %s", option, status)
			}
			unmount(t, m)
		}
		args := append([]string{"mount", "--foreground", "-o", "nosymfollow"}, s.connect(t, s.sshd.Port)...)
		if u.UID != 0 {
			_, stderr, code := s.run(t, binary, append(args, s.address(), s.point)...)
			if code != 2 || !strings.Contains(stderr, "fusermount3") || !strings.Contains(stderr, "contain_symlinks=strict") {
				t.Errorf("nosymfollow without root: %d, %s", code, stderr)
			}
			return
		}
		m := s.mount(t, "-o", "nosymfollow")
		if _, err := os.ReadFile(s.point + "/d/up"); err == nil {
			t.Error("nosymfollow follows")
		}
		unmount(t, m)
	})
}
