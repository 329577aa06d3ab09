package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// commandTime is how long a command of a test may take before it counts as
// hanging.
const commandTime = 3 * time.Minute

// missing skips a test where something cannot be had, or fails it where
// everything must be.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing, and REMOTEMOUNT_REQUIRE_ALL=1", what)
	}
	t.Skipf("%s is missing: integration/setup.sh", what)
}

// need checks for /dev/fuse and programs.
func need(t testing.TB, programs ...string) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, "/dev/fuse")
	}
	for _, p := range append(programs, "/usr/sbin/sshd", "fusermount3") {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p)
		}
	}
}

// eachUser runs a test as everyone it can be run as: root and an ordinary user,
// or the user there is.
func eachUser(t *testing.T, test func(t *testing.T, u lab.User)) {
	t.Helper()
	users, err := lab.Users()
	if err != nil {
		missing(t, err.Error())
	}
	for _, u := range users {
		t.Run(kind(u), func(t *testing.T) { test(t, u) })
	}
}

func kind(u lab.User) string {
	if u.UID == 0 {
		return "root"
	}
	return "ordinary"
}

// A site is a lab with a server, a folder on it and a mountpoint.
type site struct {
	*lab.Lab
	sshd   *lab.SSHD
	remote string // the folder as the server has it
	point  string // where it is mounted
}

// newSite starts a server. options are lines of sshd_config.
func newSite(t testing.TB, u lab.User, options ...string) *site {
	t.Helper()
	need(t)
	l, err := lab.New(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLab(t, l) })
	s := &site{Lab: l, remote: l.Path("remote"), point: l.Path("mnt")}
	must(t, l.Mkdir(s.remote, 0o755))
	must(t, l.Mkdir(s.point, 0o755))
	if s.sshd, err = l.StartSSHD(options...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.sshd.Kill(); err != nil {
			t.Errorf("sshd: %v", err)
		}
		if t.Failed() {
			t.Logf("sshd said:\n%s", tail(s.sshd.Log()))
		}
	})
	return s
}

// closeLab reports what a test has left: mounts, and processes of the lab.
func closeLab(t testing.TB, l *lab.Lab) {
	t.Helper()
	var left []string
	for range 50 {
		if left = processesOf(t, l); len(left) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, p := range left {
		t.Errorf("a process is left: %s", p)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// processesOf are the processes of a lab, as "1234 name arguments".
func processesOf(t testing.TB, l *lab.Lab) (found []string) {
	t.Helper()
	all, err := l.Processes()
	must(t, err)
	for _, p := range all {
		found = append(found, strconv.Itoa(p.PID)+" "+strings.Join(p.Args, " "))
	}
	return found
}

// connect are the flags for the site's server, reached by the given port.
func (s *site) connect(t testing.TB, port int) []string {
	t.Helper()
	known := s.sshd.KnownHosts
	if port != s.sshd.Port {
		known = s.Path("known_hosts-" + strconv.Itoa(port))
		must(t, s.WriteFile(known, []byte(s.sshd.KnownHost(port)), 0o600))
	}
	return []string{
		"--port", strconv.Itoa(port), "--identity", s.sshd.Identity, "--known-hosts", known,
		"--host-key-policy", "strict", "--ssh-config", "none",
	}
}

// address is the REMOTE of the served folder.
func (s *site) address() string { return s.sshd.User + "@127.0.0.1:" + s.remote }

// mount mounts the served folder on the mountpoint.
func (s *site) mount(t testing.TB, flags ...string) *lab.Mount {
	t.Helper()
	return s.mountBy(t, s.sshd.Port, flags...)
}

// mountBy is mount through another port, such as that of a link.
func (s *site) mountBy(t testing.TB, port int, flags ...string) *lab.Mount {
	t.Helper()
	return s.mountAt(t, port, s.address(), s.point, flags...)
}

// mountAt is mountBy with another REMOTE, on another mountpoint.
func (s *site) mountAt(t testing.TB, port int, remote, point string, flags ...string) *lab.Mount {
	t.Helper()
	args := append([]string{"mount", "--foreground"}, s.connect(t, port)...)
	args = append(append(args, flags...), remote, point)
	m, err := s.StartMount(s.Command(context.Background(), binary, args...), point)
	if err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { endMount(t, m) })
	return m
}

// endMount unmounts, and fails the test for what a mount must never say.
func endMount(t testing.TB, m *lab.Mount) {
	t.Helper()
	err := m.Unmount()
	if err != nil && !t.Failed() {
		t.Errorf("unmount: %v", err)
	}
	for _, bad := range []string{"DATA RACE", "panic:", "goroutine "} {
		if strings.Contains(m.Output(), bad) {
			t.Errorf("the mount said %q", bad)
		}
	}
	if t.Failed() {
		t.Logf("the mount said:\n%s", tail(m.Output()))
	}
}

// unmount ends a mount in the middle of a test, which must go well.
func unmount(t testing.TB, m *lab.Mount) {
	t.Helper()
	must(t, m.Unmount())
}

// run runs a program as the site's user in the lab, and gives what it said and
// how it ended. It must not be run in the mount: between fork and exec the child
// would change its folder while the runtime of this process is held up, and with
// it the link that the answer has to come through.
func (s *site) run(t testing.TB, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	var out, errs strings.Builder
	cmd := s.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	killGroup(cmd)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s %v hangs: %s%s", name, args, out.String(), errs.String())
	case err != nil && !errors.As(err, &exit):
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// killGroup lets a command's timeout end its children too.
func killGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
}

// sh runs a shell script in a folder; it must succeed. $R is the folder on the
// server's side, $M the mountpoint, $L the lab.
func (s *site) sh(t testing.TB, dir, script string) string {
	t.Helper()
	stdout, err := s.shell(t, dir, script)
	must(t, err)
	return stdout
}

// shell is sh for a script that may fail. The error has what the script said.
func (s *site) shell(t testing.TB, dir, script string) (string, error) {
	t.Helper()
	script = s.script("cd '"+dir+"'", script)
	stdout, stderr, code := s.run(t, "sh", "-eu", "-c", script)
	if code != 0 {
		return stdout, fmt.Errorf("exit code %d from:\n%s\n%s%s", code, script, tail(stdout), tail(stderr))
	}
	return stdout, nil
}

// script is a script with its variables set. The shell tells of every command on
// standard error: the one at which `set -e` ends a script says nothing itself, if
// it is a test.
func (s *site) script(first, script string) string {
	return fmt.Sprintf("R='%s' M='%s' L='%s'; %s; set -x\n%s", s.remote, s.point, s.Dir, first, script)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tail is the end of a text that may be long.
func tail(s string) string {
	if len(s) > 4000 {
		return "[...]" + s[len(s)-4000:]
	}
	return s
}
