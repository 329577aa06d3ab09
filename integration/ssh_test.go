package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

const sftpServer = "/usr/lib/openssh/sftp-server"

// works writes through the mount, and reads on the server's side and back.
func (s *site) works(t testing.TB) {
	t.Helper()
	s.sh(t, "/", `head -c 3000000 /dev/urandom >"$M/big"; cmp "$M/big" "$R/big"
mkdir "$M/d"; echo text >"$M/d/f"; mv "$M/d/f" "$M/d/g"; cat "$R/d/g"; ls -l "$M/d" | grep -q g; rm -r "$M/d" "$M/big"`)
}

// Another program on the server: by its path, as people have it with sudo.
func TestSFTPCommand(t *testing.T) {
	if _, err := os.Stat(sftpServer); err != nil {
		missing(t, sftpServer)
	}
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u, "SetEnv HOME=/empty", "Subsystem other "+sftpServer)
		for _, command := range []string{sftpServer, "env A=1 " + sftpServer + " -e", "other"} {
			m := s.mount(t, "--sftp-command", command)
			s.works(t)
			unmount(t, m)
		}
		m := s.mount(t, "-o", "sftp_server="+sftpServer)
		s.works(t)
		unmount(t, m)
		s.mountFails(t, exitFailed, "no such file here", s.with(t, "--sftp-command", "sh -c 'echo no such file here >&2; exit 127' /")...)
		s.mountFails(t, exitFailed, "nosuchsubsystem", s.with(t, "--sftp-command", "nosuchsubsystem")...)
	})
}

// The system's ssh in place of the built-in one.
func TestSSHCommand(t *testing.T) {
	need(t, "ssh")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t, "--ssh-command", "ssh")
		s.works(t)
		// The process ends, as when the network goes: another one takes its place.
		for _, pid := range children(t, m.PID()) {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		}
		s.works(t)
		// All that reads at once stays below the cap.
		s.sh(t, "/", `head -c 50000000 /dev/zero >"$R/zero"; for i in 1 2 3 4 5 6; do cat "$M/zero" >/dev/null & done; wait; rm "$R/zero"`)
		if n := len(children(t, m.PID())); n > 4 {
			t.Errorf("%d processes", n)
		}
		unmount(t, m)
		m = s.mount(t, "-o", "ssh_command=ssh -q,sftp_server="+sftpServer)
		s.works(t)
		unmount(t, m)
	})
}

func TestSSHCommandFails(t *testing.T) {
	need(t, "ssh")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		other, err := s.StartSSHD()
		must(t, err)
		t.Cleanup(func() { must(t, other.Kill()) })
		flags := func(identity, known, command string, more ...string) []string {
			return append(append([]string{
				"--port", strconv.Itoa(s.sshd.Port), "--identity", identity, "--known-hosts", known,
				"--host-key-policy", "strict", "--ssh-config", "none", "--ssh-command", command, "-o", "IdentitiesOnly=yes",
			}, more...), s.address(), s.point)
		}
		s.mountFails(t, exitAuth, "permission denied", flags(other.Identity, s.sshd.KnownHosts, "ssh")...)
		s.mountFails(t, exitHostKey, "host key verification failed", flags(s.sshd.Identity, "/dev/null", "ssh")...)
		s.mountFails(t, exitFailed, "/not/to/be/found cannot be run", flags(s.sshd.Identity, s.sshd.KnownHosts, "/not/to/be/found")...)
		s.mountFails(t, exitFailed, "ended before sftp", flags(s.sshd.Identity, s.sshd.KnownHosts, "false")...)
		s.mountFails(t, exitUsage, "cannot be handed", flags(s.sshd.Identity, s.sshd.KnownHosts, "ssh", "--host-key", "SHA256:x")...)
		must(t, s.sshd.Kill())
		s.mountFails(t, exitUnreachable, "connection refused", flags(s.sshd.Identity, s.sshd.KnownHosts, "ssh")...)
	})
}

// children are the processes that a process has started.
func children(t testing.TB, pid int) []int {
	t.Helper()
	found, err := lab.Descendants(pid)
	must(t, err)
	return found
}

// With --wait the mount comes to be while the server is away, and works when it is
// there.
func TestMountWaitsForTheServer(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		must(t, s.sshd.Kill())
		began := time.Now()
		m := s.mount(t, "-o", "delay_connect")
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("mounted after %v", took)
		}
		must(t, s.sshd.Start())
		deadline := time.Now().Add(time.Minute)
		for {
			if _, err := s.shell(t, "/", `ls "$M"`); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the server is back, and the mount does not work")
			}
			time.Sleep(200 * time.Millisecond)
		}
		s.works(t)
		unmount(t, m)
		// What the server refuses is told at once.
		must(t, s.WriteFile("empty", nil, 0o600))
		s.mountFails(t, exitHostKey, "not known", "--wait", "--port", fmt.Sprint(s.sshd.Port), "--identity", s.sshd.Identity,
			"--known-hosts", s.Path("empty"), "--host-key-policy", "strict", "--ssh-config", "none", s.address(), s.point)
	})
}

// Called by the name sshfs the program takes its command line, and knows one exit
// code for all that fails.
func TestCalledSSHFS(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		program := s.Path("sshfs")
		must(t, os.Symlink(binary, program))
		options := "IdentityFile=" + s.sshd.Identity + ",UserKnownHostsFile=" + s.sshd.KnownHosts + ",StrictHostKeyChecking=yes,reconnect"
		for _, args := range [][]string{
			{s.address(), s.point, "-o", options, "-p", strconv.Itoa(s.sshd.Port), "-F", "none", "-C"},
			{"-oport=" + strconv.Itoa(s.sshd.Port), "-o" + options, "sshfs#" + s.address(), s.point, "-F/dev/null"},
		} {
			_, stderr, code := s.run(t, program, args...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			s.works(t)
			s.sh(t, "/", `fusermount3 -u "$M"`)
		}
		for _, args := range [][]string{{"--nonsense"}, {s.address()}, {"-o", "nonsense", s.address(), s.point}, {"-p", "1", "-F", "none", s.address(), s.point}} {
			if _, stderr, code := s.run(t, program, args...); code != exitFailed {
				t.Errorf("%q: exit code %d: %s", args, code, stderr)
			}
		}
		if out, _, code := s.run(t, program, "-h"); code != 0 || !strings.Contains(out, "mountpoint [options]") {
			t.Errorf("-h: %d %s", code, out)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if u.UID == 0 { // mount.fuse3 is for root, as mount(8) calls it
			s.throughMount(ctx, t, program, options)
		}
	})
}

// throughMount has mount.fuse3 call the program, as for a line of fstab with the
// type fuse.sshfs.
func (s *site) throughMount(ctx context.Context, t *testing.T, program, options string) {
	t.Helper()
	helper, err := lookup("mount.fuse3")
	if err != nil {
		missing(t, "mount.fuse3")
	}
	cmd := s.Command(ctx, helper, s.address(), s.point, "-t", "fuse.sshfs",
		"-o", "rw,dev,suid,_netdev,"+options+",ssh_config=none,port="+strconv.Itoa(s.sshd.Port))
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mount.fuse3: %v: %s", err, out)
	}
	s.works(t)
	s.sh(t, "/", `fusermount3 -u "$M"`)
}

// lookup finds a program also where an ordinary user's PATH does not look.
func lookup(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", os.ErrNotExist
}
