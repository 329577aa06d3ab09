package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// TestOtherUsers is what another user of this machine can see or do of a mount, its
// socket and what is kept for it. The scripts must fail, and leave no mark; they run
// as that user, which only root can try.
func TestOtherUsers(t *testing.T) {
	users, err := lab.Users()
	switch {
	case err != nil:
		missing(t, err.Error())
	case len(users) < 2:
		t.Skip("becoming another user takes root")
	}
	s := newSite(t, users[1])
	must(t, s.WriteFile("remote/file", []byte("secret text\n"), 0o666))
	must(t, os.Chmod(s.remote, 0o777))
	must(t, s.WriteFile("password", []byte("hunter2-hunter2\n"), 0o600))
	m := s.mount(t, "--password-file", s.Path("password"), "--log-file", s.Path("log"), "--log-level", "debug")
	_, stderr, code := s.run(t, binary, "remote", "add", "--user", "me", "work", "host:/")
	if code != 0 {
		t.Fatal(stderr)
	}
	s.sh(t, s.Dir, `cat "$M/file"; cat "$M/nothing" || true`)
	vars := fmt.Sprintf("M='%s' H='%s' X='%s' L='%s' P=%d U=%d B='%s'\n", s.point, s.Home, s.Run, s.Dir, m.PID(), s.User.UID, binary)
	attempts := 0
	for name, script := range map[string]string{
		"read a file":           `cat "$M/file"`,
		"list the mount":        `ls "$M"`,
		"make a file":           `: >"$M/mark"`,
		"enter the mount":       `cd "$M"`,
		"stat in it":            `stat "$M/file"`,
		"unmount":               `fusermount3 -u "$M"`,
		"unmount, lazily":       `fusermount3 -uz "$M"`,
		"unmount by us":         `"$B" unmount "$M"`,
		"unmount by force":      `"$B" unmount --force "$M"`,
		"status":                `"$B" status "$M"`,
		"end the process":       `kill "$P"`,
		"the runtime folder":    `ls "$X/remotemount"`,
		"the socket":            `for s in "$X"/remotemount/*.sock; do test -S "$s"; done`,
		"locks of connections":  `ls "$X/remotemount/slots"`,
		"named remotes":         `cat "$H/.config/remotemount/remotes/work.toml"`,
		"the folder of remotes": `ls "$H/.config/remotemount/remotes"`,
		"the log":               `cat "$L/log"`,
		"environment":           `cat "/proc/$P/environ"`,
		"memory":                `head -c 1 "/proc/$P/mem"`,
		"descriptors":           `ls "/proc/$P/fd/"`,
		"a core":                `gcore "$P" 2>/dev/null || cat "/proc/$P/maps"`,
		"the connection":        `echo 1 >/sys/fs/fuse/connections/$(stat -c %d / 2>/dev/null)/abort`,
		"a password in ps":      `tr '\0' ' ' <"/proc/$P/cmdline" | grep hunter2`,
	} {
		attempts++
		cmd := exec.CommandContext(context.Background(), "/bin/sh", "-eu", "-c", vars+script)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin", "LC_ALL=C", "HOME=/nonexistent"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "secret text") || strings.Contains(string(out), "hunter2") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if _, err := os.Stat(s.remote + "/mark"); err == nil {
		t.Error("a file was made in the mount")
	}
	s.sh(t, s.point, `test "$(cat file)" = "secret text"`) // it still works
	if log, err := os.ReadFile(s.Path("log")); err != nil || strings.Contains(string(log), "hunter2") {
		t.Errorf("the password is in the log: %v", err)
	}
	t.Logf("%d attempts by another user", attempts)
}
