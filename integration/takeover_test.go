package integration

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/integration/lab"
)

// TestTakeover lets another server, which would let the same key in, answer at
// the address of a live mount. Not one request reaches it, the mount says why it
// stopped and goes on stopping when the right server is back, and accepting the
// key brings it back without mounting again.
func TestTakeover(t *testing.T) {
	d := newDistant(t, ordinary(t))
	impostor, err := d.StartSSHD("AuthorizedKeysFile " + filepath.Join(filepath.Dir(d.sshd.Identity), "authorized_keys"))
	must(t, err)
	t.Cleanup(func() { must(t, impostor.Kill()) })
	must(t, d.WriteFile("remote/file", []byte("text\n"), 0o644))
	d.mount(t, away()...)
	d.sh(t, d.point, `test "$(cat file)" = text`)
	connected := d.sessions(t)

	d.link.Redirect(impostor.Addr())
	d.link.Cut()
	d.fails(t, `cat "$M/unseen"`, "permission denied")
	d.fails(t, `echo lost >"$M/new"`, "permission denied")
	d.disabled(t, impostor.HostKey)

	d.link.Redirect(d.sshd.Addr())
	d.fails(t, `cat "$M/unseen"`, "permission denied")
	d.disabled(t, impostor.HostKey)
	if strings.Contains(impostor.Log(), "publickey") || strings.Contains(impostor.Log(), "subsystem") {
		t.Errorf("requests reached the other server:\n%s", impostor.Log())
	}
	if now := d.sessions(t); now != connected {
		t.Errorf("%d sessions of the right server were opened while the mount was disabled", now-connected)
	}

	d.accept(t, d.sshd)
	d.sh(t, d.point, `test "$(cat file)" = text; echo new >new; test ! -e unseen`)

	d.link.Redirect(impostor.Addr())
	d.link.Cut()
	d.fails(t, `echo lost >"$M/new2"`, "permission denied")
	d.accept(t, impostor) // it was the right one after all
	d.sh(t, d.point, `test "$(cat new)" = new`)
	if !strings.Contains(impostor.Log(), "Accepted publickey") {
		t.Errorf("the accepted server was never asked:\n%s", impostor.Log())
	}
}

// fails runs a script that must fail, and say something.
func (d *distant) fails(t testing.TB, script, says string) {
	t.Helper()
	j := d.start(t, script)
	if code := j.code(t, commandTime); code == 0 || !strings.Contains(strings.ToLower(j.out.String()), says) {
		t.Errorf("%s: exit code %d: %s", script, code, j.out.String())
	}
}

// disabled checks that the mount says that it was stopped, and by which keys.
func (d *distant) disabled(t testing.TB, key ssh.PublicKey) {
	t.Helper()
	st := d.status(t)
	if st.State != "disabled" || !strings.Contains(st.LastError, ssh.FingerprintSHA256(key)) ||
		!strings.Contains(st.LastError, ssh.FingerprintSHA256(d.sshd.HostKey)) {
		t.Errorf("status says %q: %q", st.State, st.LastError)
	}
}

// accept accepts the key of a server at the link's address, after which the mount
// must come back on its own.
func (d *distant) accept(t testing.TB, server *lab.SSHD) {
	t.Helper()
	port := strconv.Itoa(d.link.Port())
	stdout, stderr, code := d.run(t, binary, "hostkey", "accept", "127.0.0.1", "--port", port, "--ssh-config", "none",
		"--known-hosts", d.Path("known_hosts-"+port), "--fingerprint", ssh.FingerprintSHA256(server.HostKey))
	if code != 0 {
		t.Fatalf("hostkey accept: exit code %d: %s%s", code, stdout, stderr)
	}
	began := time.Now()
	eventually(t, 30*time.Second, fmt.Sprintf("the mount is back: %+v", d.status(t)), func() bool {
		return d.status(t).State == "connected"
	})
	t.Logf("back %v after the key was accepted", time.Since(began).Round(time.Millisecond))
}

// sessions counts the SFTP sessions that the server has opened so far.
func (s *site) sessions(t testing.TB) int {
	t.Helper()
	return strings.Count(s.sshd.Log(), "Starting session: subsystem 'sftp'")
}
