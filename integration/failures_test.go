package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// The exit codes of the program, as its manual has them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitAuth        = 3
	exitHostKey     = 4
	exitUnreachable = 5
	exitMountpoint  = 7
)

// mountFails mounts in a way that cannot work, and looks at the exit code, the
// message, its hint, and that nothing is mounted. Each is tried in the
// foreground and in the background, since the reason takes another way there.
func (s *site) mountFails(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	s.failsAs(t, code, says, nil, args...)
}

// failsAs is mountFails with a program and arguments before ours, to run it in.
func (s *site) failsAs(t *testing.T, code int, says string, in []string, args ...string) {
	t.Helper()
	for _, mode := range [][]string{{"mount", "--foreground"}, {"mount"}} {
		line := append(append(append([]string{}, in...), binary), append(mode, args...)...)
		_, stderr, got := s.run(t, line[0], line[1:]...)
		if got != code {
			t.Errorf("%v: exit code %d, want %d:\n%s", mode, got, code, stderr)
		}
		if !strings.Contains(strings.ToLower(stderr), says) {
			t.Errorf("%v: the message does not say %q:\n%s", mode, says, stderr)
		}
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		if !strings.Contains(stderr, "remotemount: error: ") ||
			code != exitUsage && !strings.HasPrefix(lines[len(lines)-1], "remotemount: hint: ") {
			t.Errorf("%v: not an error with a hint:\n%s", mode, stderr)
		}
		if mounts, err := lab.MountsBelow(s.Dir); err != nil || len(mounts) > 0 {
			t.Errorf("%v: mounted: %v %v", mode, mounts, err)
		}
	}
}

// with are the flags of the site's server, and the mountpoint.
func (s *site) with(t testing.TB, flags ...string) []string {
	t.Helper()
	args := append(s.connect(t, s.sshd.Port), flags...)
	return append(args, s.address(), s.point)
}

func TestRefusedLogin(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		var options []string
		if u.UID == 0 {
			options = []string{"PasswordAuthentication yes"} // sshd itself needs root for this
		}
		s := newSite(t, u, options...)
		other, err := s.StartSSHD() // its key is not known to the first
		must(t, err)
		t.Cleanup(func() { must(t, other.Kill()) })
		base := []string{"--port", fmt.Sprint(s.sshd.Port), "--known-hosts", s.sshd.KnownHosts, "--ssh-config", "none"}
		target := []string{s.address(), s.point}
		t.Run("key", func(t *testing.T) {
			s.mountFails(t, exitAuth, "127.0.0.1", append(append(base, "--identity", other.Identity), target...)...)
		})
		t.Run("password", func(t *testing.T) {
			must(t, s.WriteFile("password", []byte("wrong\n"), 0o600))
			s.mountFails(t, exitAuth, "127.0.0.1", append(append(base, "--password-file", s.Path("password")), target...)...)
		})
		t.Run("missing key", func(t *testing.T) {
			s.mountFails(t, exitAuth, "nowhere", append(append(base, "--identity", s.Path("nowhere")), target...)...)
		})
	})
}

func TestWrongHostKey(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		other, err := s.StartSSHD()
		must(t, err)
		t.Cleanup(func() { must(t, other.Kill()) })
		args := func(known, policy string) []string {
			return []string{
				"--port", fmt.Sprint(s.sshd.Port), "--identity", s.sshd.Identity, "--known-hosts", known,
				"--host-key-policy", policy, "--ssh-config", "none", s.address(), s.point,
			}
		}
		t.Run("unknown", func(t *testing.T) {
			must(t, s.WriteFile("empty", nil, 0o600))
			s.mountFails(t, exitHostKey, "not known", args(s.Path("empty"), "strict")...)
		})
		t.Run("changed", func(t *testing.T) {
			line := strings.Replace(other.KnownHost(other.Port), fmt.Sprint(other.Port), fmt.Sprint(s.sshd.Port), 1)
			must(t, s.WriteFile("changed", []byte(line), 0o600))
			s.mountFails(t, exitHostKey, "changed", args(s.Path("changed"), "auto")...)
			wantContent(t, s.Path("changed"), line)
		})
	})
}

func TestUnreachable(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		args := s.with(t)
		must(t, s.sshd.Kill())
		s.mountFails(t, exitUnreachable, "refused", args...)
		s.mountFails(t, exitUnreachable, "no-such-host.invalid", "--ssh-config", "none", "no-such-host.invalid:", s.point)
	})
}

func TestBadRemoteFolder(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		must(t, s.WriteFile("remote/file", nil, 0o644))
		for _, folder := range []string{"/missing", "/file"} {
			s.mountFails(t, exitFailed, folder, append(s.connect(t, s.sshd.Port), s.address()+folder, s.point)...)
		}
	})
}

func TestBadMountpoint(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		must(t, s.Mkdir("full", 0o755))
		must(t, s.WriteFile("full/file", nil, 0o644))
		for point, says := range map[string]string{"missing": "missing", "full/file": "full/file", "full": "empty"} {
			t.Run(point, func(t *testing.T) {
				args := append(s.connect(t, s.sshd.Port), s.address(), s.Path(point))
				s.mountFails(t, exitMountpoint, says, args...)
			})
		}
	})
}

func TestUsage(t *testing.T) {
	s := newSite(t, currentUser(t))
	s.mountFails(t, exitUsage, "--no-such-flag", s.with(t, "--no-such-flag")...)
	s.mountFails(t, exitUsage, "allow_otter", s.with(t, "-o", "allow_otter")...)
	s.mountFails(t, exitUsage, "mountpoint", s.address())
}

func currentUser(t testing.TB) lab.User {
	t.Helper()
	users, err := lab.Users()
	if err != nil {
		missing(t, err.Error())
	}
	return users[0]
}

// TestNoFUSE hides what FUSE needs in a mount namespace, which takes root.
func TestNoFUSE(t *testing.T) {
	users, err := lab.Users()
	if err != nil {
		missing(t, err.Error())
	}
	if users[0].UID != 0 {
		t.Skip("hiding /dev/fuse takes root")
	}
	need(t, "unshare", "setpriv")
	s := newSite(t, users[0])
	hide := func(what, then string) []string {
		return []string{"unshare", "--mount", "sh", "-eu", "-c", what + `; exec ` + then + ` "$@"`, "sh"}
	}
	t.Run("no device", func(t *testing.T) {
		empty := s.Path("empty")
		must(t, s.Mkdir("empty", 0o755))
		must(t, s.WriteFile("empty/null", nil, 0o666)) // Go opens it at start
		s.failsAs(t, exitMountpoint, "/dev/fuse", hide("mount --bind '"+empty+"' /dev", ""), s.with(t)...)
	})
	t.Run("no fusermount3", func(t *testing.T) {
		ordinary := newSite(t, users[1])
		var all []string
		for _, dir := range []string{"/usr/bin", "/bin"} {
			for _, name := range []string{"fusermount3", "fusermount"} {
				if path, err := filepath.EvalSymlinks(filepath.Join(dir, name)); err == nil {
					all = append(all, path)
				}
			}
		}
		script := "true"
		for _, path := range all {
			script += "; mount --bind /dev/null " + path
		}
		id := fmt.Sprint(users[1].UID)
		as := "setpriv --reuid=" + id + " --regid=" + fmt.Sprint(users[1].GID) + " --clear-groups env HOME=" + ordinary.Home + " XDG_RUNTIME_DIR=" + ordinary.Run
		// The namespace is root's to make, so the outer program is root's.
		root := &site{Lab: rootLab(ordinary, users[0]), sshd: ordinary.sshd, remote: ordinary.remote, point: ordinary.point}
		root.failsAs(t, exitMountpoint, "fusermount3", hide(script, as), ordinary.with(t)...)
	})
}

// rootLab is another user's lab in root's hands.
func rootLab(s *site, root lab.User) *lab.Lab {
	l := *s.Lab
	l.User = root
	return &l
}

// TestCommandsRunWhereCalled pins where a mount in the background runs the commands
// it was given, and with which environment. The login itself fails.
func TestCommandsRunWhereCalled(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u, "PasswordAuthentication yes")
		note := func(name string) string { return fmt.Sprintf(`(pwd; echo "$HOME") >%s; echo wrong`, s.Path(name)) }
		flags := []string{"mount", "--port", fmt.Sprint(s.sshd.Port), "--known-hosts", s.sshd.KnownHosts, "--ssh-config", "none"}
		for name, more := range map[string][]string{
			"password": {"--password-command", note("password")},
			"proxy":    {"-o", "ProxyCommand=" + strings.ReplaceAll("sh -c '"+note("proxy")+"'", ",", `\,`)},
		} {
			_, stderr, code := s.run(t, binary, slices.Concat(flags, more, []string{s.address(), s.point})...)
			if code == 0 {
				t.Errorf("%s: mounted", name)
			}
			got, err := os.ReadFile(s.Path(name))
			if err != nil || string(got) != s.Dir+"\n"+s.Home+"\n" {
				t.Errorf("%s: it was run in %q: %v: %s", name, got, err, stderr)
			}
		}
	})
}

// TestPasswordIsNotShown pins that a secret is in no argument and no message.
func TestPasswordIsNotShown(t *testing.T) {
	s := newSite(t, currentUser(t))
	must(t, s.WriteFile("password", []byte("hunter2-not-shown\n"), 0o600))
	args := []string{
		"mount", "--foreground", "--log-level", "debug", "--port", fmt.Sprint(s.sshd.Port), "--known-hosts", s.sshd.KnownHosts,
		"--ssh-config", "none", "--password-file", s.Path("password"), s.address(), s.point,
	}
	stdout, stderr, _ := s.run(t, binary, args...)
	if strings.Contains(stdout+stderr+s.sshd.Log(), "hunter2") {
		t.Error("the password was shown")
	}
}
