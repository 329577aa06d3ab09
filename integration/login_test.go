package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReconnectAsks has a server change its password while data waits: reconnect asks
// for the new one where it is run, and the data goes out.
func TestReconnectAsks(t *testing.T) {
	x := newLiar(t)
	old, new := "password", "another-password"
	x.password.Store(&old)
	args := append([]string{"mount", "--foreground", "--timeout", "3s"}, x.args...)
	m, err := x.StartMount(x.Command(context.Background(), binary, append(args, x.remote, x.point)...), x.point)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endMount(t, m) })
	s := &site{Lab: x.Lab, point: x.point, remote: x.Path("root")}
	must(t, x.WriteFile("askpass", []byte("#!/bin/sh\necho \"$1\" >>"+x.Path("asked")+"\ncat "+x.Path("typed")+"\n"), 0o755))
	must(t, x.WriteFile("typed", []byte("wrong\n"), 0o600))
	reconnect := func() (string, int) {
		_, stderr, code := s.run(t, "env", "SSH_ASKPASS="+x.Path("askpass"), "SSH_ASKPASS_REQUIRE=force", binary, "reconnect", x.point)
		return stderr, code
	}
	x.password.Store(&new)
	writer := s.start(t, `exec 3>"$M/precious"; echo first >&3; mkdir "$L/open"; while ! test -e "$L/go"; do sleep 0.1; done; echo data >&3; exec 3>&-`)
	eventually(t, 10*time.Second, "the file is open", func() bool { return exists(x.Path("open")) })
	x.hangUp()
	must(t, x.Mkdir("go", 0o755))
	eventually(t, 20*time.Second, "the login is refused", func() bool { return s.status(t).State == "disabled" })
	if said, code := reconnect(); code != 3 {
		t.Errorf("with a wrong password: exit code %d: %s", code, said)
	}
	if _, stderr, code := s.run(t, binary, "reconnect", x.point); code != 3 {
		t.Errorf("with nobody to ask: exit code %d: %s", code, stderr)
	}
	must(t, x.WriteFile("typed", []byte(new+"\n"), 0o600))
	if said, code := reconnect(); code != 0 {
		t.Errorf("with the right password: exit code %d: %s", code, said)
	}
	writer.succeeds(t)
	if got, err := os.ReadFile(x.Path("root/precious")); err != nil || string(got) != "first\ndata\n" {
		t.Errorf("on the server: %q, %v", got, err)
	}
	if asked, err := os.ReadFile(x.Path("asked")); err != nil || !strings.Contains(strings.ToLower(string(asked)), "password") {
		t.Errorf("it asked %q, %v", asked, err)
	}
	if strings.Contains(m.Output(), new) {
		t.Error("the password is in the log")
	}
}

// TestUnmountTellsLoss unmounts a mount whose login is refused while data of a program
// that was killed waits: it says what it waits for, ends when data is given up, and tells
// what was lost.
func TestUnmountTellsLoss(t *testing.T) {
	d := newDistant(t, ordinary(t))
	d.mountToEnd(t, away("--retry", "6s")...)
	holder := d.hold(t, 1<<20)
	keys := filepath.Join(filepath.Dir(d.sshd.Identity), "authorized_keys")
	must(t, os.WriteFile(keys, nil, 0o644))
	d.link.Cut()
	d.write(t)
	eventually(t, 30*time.Second, "the remote is disabled", func() bool { return d.status(t).State == "disabled" })
	holder.signal(t, syscall.SIGKILL)
	holder.code(t, 10*time.Second)
	began := time.Now()
	var code int
	var said string
	eventually(t, 20*time.Second, "the dead program's file is closed", func() bool {
		_, said, code = d.run(t, binary, "unmount", d.point)
		return code != 7
	})
	took := time.Since(began)
	if code != 1 || !strings.Contains(said, "lost") || !strings.Contains(said, "disabled") {
		t.Errorf("exit code %d: %s", code, said)
	}
	t.Logf("after %v: %s", took.Round(time.Millisecond), said)
	if took > 20*time.Second {
		t.Errorf("it took %v at --retry 6s", took)
	}
}
