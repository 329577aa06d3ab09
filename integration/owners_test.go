package integration

import (
	"strings"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// idmap=file: what has no mapping is refused with nomap=error, which is the default as
// with sshfs, and shown as it is with nomap=ignore. Names are listed either way.
func TestNoMap(t *testing.T) {
	u := currentUser(t)
	if u.UID != 0 {
		t.Skip("files of several owners take root")
	}
	s := newSite(t, u)
	must(t, s.WriteFile("users", []byte("root:0\nbin:1234\n"), 0o600))
	s.sh(t, "/", `echo a >"$R/mapped"; chown 1234:0 "$R/mapped"; echo b >"$R/other"; chown 4321:0 "$R/other"; mkdir "$R/dir"; chown 4321 "$R/dir"`)
	for _, flags := range []string{"", ",nomap=error"} {
		m := s.mount(t, "-o", "idmap=file,uidfile="+s.Path("users")+",gidfile="+s.Path("users")+flags)
		s.sh(t, "/", `test "$(ls "$M" | sort | tr '\n' ' ')" = "dir mapped other "
test "$(stat -c %U "$M/mapped")" = bin; cat "$M/mapped"
! cat "$M/other"; ! stat "$M/other"; ! ls "$M/dir"; ! rm "$M/other"; test -e "$R/other"
chown 0 "$M/mapped"; test "$(stat -c %u "$R/mapped")" = 0; ! chown 77 "$M/mapped"; chown bin "$M/mapped"; test "$(stat -c %u "$R/mapped")" = 1234`)
		if out, err := s.shell(t, "/", `LC_ALL=C stat "$M/other"`); err == nil || !strings.Contains(err.Error(), "Operation not permitted") {
			t.Errorf("%q: %s %v", flags, out, err)
		}
		unmount(t, m)
	}
	m := s.mount(t, "-o", "idmap=file,uidfile="+s.Path("users")+",nomap=ignore")
	s.sh(t, "/", `test "$(stat -c %u "$M/other")" = 4321; cat "$M/other"; chown 77 "$M/other"; test "$(stat -c %u "$R/other")" = 77`)
	unmount(t, m)
}

// allow_root lets in root and who mounts, and nobody else.
func TestAllowRoot(t *testing.T) {
	if currentUser(t).UID != 0 {
		t.Skip("to be another user takes root")
	}
	users, err := lab.Users()
	must(t, err)
	s := newSite(t, users[0])
	m := s.mount(t, "-o", "allow_root,attr_timeout=60")
	s.sh(t, "/", `echo x >"$M/f"; mkdir "$M/d"; chmod 777 "$M" "$M/d" "$M/f"; ls -l "$M" "$M/d"; cat "$M/f"`)
	stranger := &site{Lab: &lab.Lab{User: users[1], Dir: s.Dir, Home: s.Home, Run: s.Run}, sshd: s.sshd, remote: s.remote, point: s.point}
	for _, script := range []string{`ls "$M"`, `cat "$M/f"`, `stat "$M/f"`, `cd "$M"`, `echo >"$M/d/g"`, `rm "$M/f"`, `mkdir "$M/e"`, `ln -s x "$M/l"`, `mv "$M/f" "$M/h"`, `df "$M"`, `chmod 700 "$M/f"`} {
		if out, err := stranger.shell(t, "/", script); err == nil {
			t.Errorf("another user: %s: %s", script, out)
		} else if !strings.Contains(strings.ToLower(err.Error()), "permission denied") && !strings.Contains(err.Error(), "can't cd") {
			t.Errorf("another user: %s: %v", script, err)
		}
	}
	s.sh(t, "/", `cat "$M/f"; rm -r "$M/f" "$M/d"`)
	unmount(t, m)
}

func TestDisableHardlink(t *testing.T) {
	s := newSite(t, currentUser(t))
	m := s.mount(t, "-o", "disable_hardlink")
	if _, err := s.shell(t, "/", `echo x >"$M/f"; LC_ALL=C ln "$M/f" "$M/g"`); err == nil || !strings.Contains(err.Error(), "Operation not permitted") {
		t.Errorf("ln: %v", err)
	}
	s.sh(t, "/", `! test -e "$R/g"; cp -l "$M/f" "$M/h" 2>/dev/null || cp "$M/f" "$M/h"`)
	unmount(t, m)
}
