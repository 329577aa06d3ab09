package integration

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopSessions stops the processes of all SFTP sessions there are, and tells how many.
func (s *site) stopSessions(t testing.TB) (stopped int) {
	t.Helper()
	all, err := s.sshd.Processes()
	must(t, err)
	for _, pid := range all {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.Contains(title, []byte("internal-sftp")) {
			must(t, syscall.Kill(pid, syscall.SIGSTOP))
			stopped++
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // the server may not find it any more
		}
	}
	return stopped
}

// TestStoppedServer stops OpenSSH's sftp-server, while sshd goes on: whatever is
// asked then is answered by another session, on the same connection.
func TestStoppedServer(t *testing.T) {
	d := newDistant(t, ordinary(t))
	d.mount(t, away("--attr-timeout", "0")...)
	for _, name := range []string{"a", "b", "c"} {
		must(t, d.WriteFile("remote/"+name, []byte("text\n"), 0o644))
	}
	d.sh(t, d.Dir, `stat "$M/a" "$M" >/dev/null`)
	logins := d.link.Stats().Connections
	if d.stopSessions(t) == 0 {
		t.Fatal("there is no session to stop")
	}
	first := d.start(t, `exec stat "$M/b"`)
	time.Sleep(1500 * time.Millisecond)
	began := time.Now()
	d.start(t, `exec cat "$M/c"`).succeeds(t)
	if took := time.Since(began); took > awayTimeout {
		t.Errorf("what was asked beside it took %v", took)
	}
	if code := first.code(t, 3*awayTimeout); code != 0 {
		t.Errorf("what was asked first: exit code %d: %s", code, first.out.String())
	}
	d.sh(t, d.point, `mkdir dir; echo new >dir/new; mv dir/new dir/newer; rm -r dir; ls >/dev/null`)
	if st := d.status(t); st.State != "connected" {
		t.Errorf("status: %s", st.State)
	}
	if now := d.link.Stats().Connections; now != logins {
		t.Errorf("%d logins more than before", now-logins)
	}
}

// TestServerDiesOfWrites has an sftp-server with a limit for the size of files: it
// dies of SIGXFSZ, and its connection lives.
func TestServerDiesOfWrites(t *testing.T) {
	const server = "/usr/lib/openssh/sftp-server"
	if _, err := os.Stat(server); err != nil {
		missing(t, server)
	}
	d := newDistant(t, ordinary(t), "ForceCommand ulimit -f 1024; exec "+server)
	d.mountToEnd(t, away()...)     // its end tells the loss
	d.noise(t, "source", 1800<<10) // too small for further connections
	began := time.Now()
	writer := d.start(t, `exec dd if=source of="$M/file" bs=64k conv=fsync status=none`)
	code := writer.code(t, 30*time.Second)
	if code == 0 || !writer.says(syscall.EIO) {
		t.Errorf("exit code %d: %s", code, writer.out.String())
	}
	t.Logf("EIO after %v", time.Since(began).Round(time.Millisecond))
	d.start(t, `echo other >"$M/other"; test "$(cat "$R/other")" = other`).succeeds(t)
	if logins := d.link.Stats().Connections; logins != 1 {
		t.Errorf("%d logins, want the first alone", logins)
	}
	if lost := d.status(t).Lost; len(lost) == 0 || lost[0].Path != "file" {
		t.Errorf("status says of the loss: %+v", lost)
	}
}

// TestSeenStaysReadable pins what there is to see of a server that is away, long
// after the life of what is cached.
func TestSeenStaysReadable(t *testing.T) {
	d := newDistant(t, ordinary(t))
	d.mount(t, away("--attr-timeout", "1s")...)
	must(t, d.Mkdir("remote/dir", 0o755))
	must(t, d.WriteFile("remote/dir/file", []byte("text\n"), 0o644))
	must(t, os.Symlink("file", d.onServer("dir/link")))
	const look = `ls -l; ls -l dir; stat -c '%n %s %Y' dir/file; readlink dir/link`
	before := d.sh(t, d.point, look)
	time.Sleep(3 * time.Second)
	must(t, d.link.Refuse())
	d.link.Cut()
	for range 3 {
		began := time.Now()
		above := d.sh(t, d.Dir, `ls -l`)
		if took := time.Since(began); took > time.Second || strings.Contains(above, "?") {
			t.Errorf("the folder above, after %v:\n%s", took, above)
		}
		if now := d.sh(t, d.point, look); now != before {
			t.Errorf("it reads differently while away:\n%s\nnot\n%s", now, before)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("looking took %v", took)
		}
		time.Sleep(2 * time.Second)
	}
	text, _, _ := d.run(t, binary, "status", d.point)
	if !strings.Contains(text, "old or older") {
		t.Errorf("status does not say how old it is:\n%s", text)
	}
	must(t, d.link.Accept())
	must(t, d.WriteFile("remote/dir/file", []byte("new text\n"), 0o644))
	eventually(t, 30*time.Second, "the remote is back", func() bool { return d.status(t).State == "connected" })
	time.Sleep(2 * time.Second)
	d.sh(t, d.point, `test "$(cat dir/file)" = "new text"`)
}
