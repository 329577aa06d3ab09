package integration

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// A reply is the answer to the nth time that a question is asked.
type reply struct {
	question string
	nth      int
	line     string
}

// onTerminal runs the program at a terminal, and gives what stands on it.
func (s *site) onTerminal(t *testing.T, replies []reply, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	term, err := lab.OnTerminal(s.Command(ctx, binary, args...))
	must(t, err)
	for _, r := range replies {
		if err := term.Answer(r.question, r.nth, r.line); err != nil {
			cancel()
			t.Error(err)
			break
		}
	}
	out, code, err = term.End()
	must(t, err)
	return out, code
}

// lockedKey makes a key with a passphrase that the server takes.
func (s *site) lockedKey(t *testing.T, passphrase string) string {
	t.Helper()
	need(t, "ssh-keygen")
	file := s.Path("locked")
	_, stderr, code := s.run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", file)
	if code != 0 {
		t.Fatal(stderr)
	}
	line, err := os.ReadFile(file + ".pub")
	must(t, err)
	authorized := filepath.Join(filepath.Dir(s.sshd.Identity), "authorized_keys")
	keys, err := os.ReadFile(authorized)
	must(t, err)
	must(t, s.WriteFile(authorized, append(keys, line...), 0o600))
	return file
}

// The program of --ssh-command asks for the passphrase at the terminal, as ssh does,
// and what it has started ends with the mount. Later connections ask nobody.
func TestSSHCommandAsks(t *testing.T) {
	need(t, "ssh")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		args := []string{
			"mount", "--port", strconv.Itoa(s.sshd.Port), "--known-hosts", s.sshd.KnownHosts, "--ssh-config", "none",
			"--identity", s.lockedKey(t, "open sesame"), "--ssh-command", "ssh", "-o", "IdentitiesOnly=yes", s.address(), s.point,
		}
		asks := "Enter passphrase for key"
		t.Run("right", func(t *testing.T) {
			out, code := s.onTerminal(t, []reply{{asks, 1, "wrong"}, {asks, 2, "open sesame"}}, args...)
			if code != 0 || strings.Contains(out, "sesame") {
				t.Fatalf("exit code %d:\n%s", code, out)
			}
			s.works(t)
			// The terminal is gone. Another connection is made for all that is read at once;
			// it cannot ask, and what there is goes on.
			s.sh(t, "/", `head -c 50000000 /dev/zero >"$R/zero"; for i in 1 2 3 4; do cat "$M/zero" >/dev/null & done; wait; rm "$R/zero"`)
			if _, stderr, code := s.run(t, binary, "unmount", s.point); code != 0 {
				t.Errorf("unmount: %d %s", code, stderr)
			}
			s.noSSH(t)
		})
		t.Run("wrong", func(t *testing.T) {
			out, code := s.onTerminal(t, []reply{{asks, 1, "a"}, {asks, 2, "b"}, {asks, 3, "c"}}, args...)
			if code != exitAuth || !strings.Contains(out, "Permission denied") {
				t.Errorf("exit code %d:\n%s", code, out)
			}
			s.noSSH(t)
		})
		t.Run("nobody to ask", func(t *testing.T) {
			s.mountFails(t, exitAuth, "permission denied", args[1:]...)
			s.noSSH(t)
		})
	})
}

// noSSH looks for processes of ssh that are left.
func (s *site) noSSH(t *testing.T) {
	t.Helper()
	var left []string
	for range 50 {
		left = nil
		for _, p := range processesOf(t, s.Lab) {
			if strings.Contains(p, " ssh -x") {
				left = append(left, p)
			}
		}
		if left == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("left: %q", left)
}

// A password that is refused three times is told as that, also when keys were offered
// before; a public key in the place of the private one is named, and the private one.
func TestRefusedPasswordAtTerminal(t *testing.T) {
	u := currentUser(t)
	if u.UID != 0 {
		t.Skip("having sshd check passwords takes root")
	}
	s := newSite(t, u, "PasswordAuthentication yes", "PermitRootLogin yes")
	other, err := s.StartSSHD() // its key is not known to the first
	must(t, err)
	t.Cleanup(func() { must(t, other.Kill()) })
	line, stderr, code := s.run(t, binary, "key", "public", other.Identity)
	if code != 0 {
		t.Fatal(stderr)
	}
	must(t, s.WriteFile(other.Identity+".pub", []byte(line), 0o644))
	asks, three := "password:", []reply{}
	for n := 1; n <= 3; n++ {
		three = append(three, reply{asks, n, "wrong"})
	}
	for identity, hint := range map[string]string{
		other.Identity:          "hint: the password was refused",
		other.Identity + ".pub": "hint: the private key is the file without .pub: --identity " + other.Identity + "\r",
	} {
		out, code := s.onTerminal(t, three, "mount", "--port", strconv.Itoa(s.sshd.Port), "--known-hosts", s.sshd.KnownHosts,
			"--ssh-config", "none", "--identity", identity, s.address(), s.point)
		if code != exitAuth || !strings.Contains(out, hint) {
			t.Errorf("%s: exit code %d:\n%s", identity, code, out)
		}
		if public := strings.HasSuffix(identity, ".pub"); public != strings.Contains(out, "warning: an identity is a public key") {
			t.Errorf("%s: that it is a public key: %v\n%s", identity, public, out)
		}
	}
}
