package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// products are the servers that Debian has, and ours.
func products() []product {
	return []product{
		{name: "OpenSSH", start: openSSH, can: remotetest.OpenSSH()},
		{name: "remotemount serve", start: serving,
			can: remotetest.Capabilities{Hardlinks: true, StatFS: true, PosixRename: true, NoAtime: true}},
		{name: "pkg/sftp's server", start: pkgSFTP,
			lacks: map[string]string{
				"tree/Remove_of_a_folder_is_EISDIR": "Its REMOVE removes an empty folder as well; programs in a mount never ask for that",
				"tree/Rmdir_of_a_file_is_ENOTDIR":   "Its RMDIR removes a file as well; programs in a mount never ask for that",
				"rename/replaces_in_one_step":       "It renames no folder over an empty one",
			},
			user: map[string]string{
				"tree/a_folder_that_is_read-only_is_EACCES": "Of what may not be changed in a folder it says only that it failed",
			},
			can: remotetest.Capabilities{Hardlinks: true, StatFS: true, PosixRename: true, FollowsOut: true, NoAtime: true}},
		{name: "rclone serve sftp", start: rclone, needs: "rclone", flags: []string{"--replace-by-moving", "-o", "idmap=user"},
			apart: "it has a file on the disk some time after it was closed, where the suite looks at once",
			fails: map[string]string{
				"edit and save":  "It empties a file that is opened to append to it",
				"symbolic links": "It has none",
			},
			unsure: map[string]string{
				"git clone, commit, fsck": "It loses a file that is renamed before it has stored it",
				"rsync -a, and again":     "It loses a file that is renamed before it has stored it",
			}},
		{name: "ProFTPD mod_sftp", start: proFTPD, needs: "proftpd", seldom: true,
			can: remotetest.Capabilities{PosixRename: true, StatFS: true, Hardlinks: true, Fsync: true, FollowsOut: true},
			lacks: map[string]string{
				"look/ReadLink_gives_the_target_unchanged":  "Its READLINK tells absolute targets without `..`; those inside of the mount are told as relative ones",
				"look/ReadLink_of_no_link_is_EINVAL":        "It says that it has no READLINK; programs in a mount never ask for that",
				"look/a_loop_of_links_is_ELOOP":             "It says that there is no such file",
				"look/a_path_through_a_file_is_ENOTDIR":     "It says that there is no such file; programs in a mount are told before it is asked",
				"look/a_long_name_is_ENAMETOOLONG":          "It says that there is no such file",
				"open/a_folder_is_EISDIR":                   "It says that permission is denied; programs in a mount are told before it is asked",
				"open/exclusive_is_EEXIST_over_anything":    "Over a folder or a link that leads nowhere it says that permission is denied; nothing is made",
				"open/follows_links":                        "A link that leads nowhere cannot be opened to make its target",
				"open/creates_the_exact_mode":               "Mode 0 is left as it is",
				"attr/modes_are_exact":                      "Mode 0 is left as it is",
				"size/of_a_folder_fails":                    "It says that it was done; programs in a mount never ask for that",
				"tree/Rmdir_of_a_file_is_ENOTDIR":           "Its RMDIR removes a link as well; programs in a mount never ask for that",
				"rename/a_name_onto_itself_changes_nothing": "It fails, and changes nothing; programs in a mount never ask for that",
				"rename/fails_as_rename(2)_does":            "A folder into itself fails as not supported; programs in a mount are told before it is asked",
				"rename/to_another_filesystem_is_EXDEV":     "It moves to another filesystem by copying",
			}},
		{name: "SFTPGo", start: sftpGo, needs: sftpGoProgram, seldom: true,
			lacks: map[string]string{
				"look/a_loop_of_links_is_ELOOP":             "It says only that it failed",
				"look/ReadLink_gives_the_target_unchanged":  "Its READLINK tells absolute targets without `..`, and it keeps absolute ones inside of its folder",
				"rename/replaces_in_one_step":               "It renames no folder over an empty one",
				"rename/a_name_onto_itself_changes_nothing": "It refuses, and changes nothing; programs in a mount never ask for that",
				"rename/fails_as_rename(2)_does":            "It says only that it does not support it",
				"open/exclusive_is_EEXIST_over_anything":    "Over a folder it says that it does not support it; nothing is made",
				"open/a_folder_is_EISDIR":                   "It says that it does not support it; programs in a mount are told before it is asked",
				"alive/removed_goes_on":                     "It finds what is open by its path; a mount keeps what is removed while it is open under a hidden name",
			},
			can: remotetest.Capabilities{StatFS: true, PosixRename: true, NoAtime: true}},
		{name: "AsyncSSH", start: asyncSSH, needs: debianPython,
			user: map[string]string{
				"attr/what_is_not_ours_is_EPERM": "Of a file that may not be given away it says only that it failed",
			},
			can: remotetest.Capabilities{Hardlinks: true, StatFS: true, PosixRename: true, Fsync: true, FollowsOut: true}},
		{name: "dropbear with OpenSSH's sftp-server", start: dropbear, needs: "dropbear", transport: true},
	}
}

// debianPython has the modules that are packages.
const debianPython = "/usr/bin/python3"

func unusedPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

// program starts a server's program and waits until it listens on the port.
func (s *site) program(t testing.TB, port int, name string, args ...string) server {
	t.Helper()
	cmd := s.Command(context.Background(), name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	killGroup(cmd)
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how a server ends is no matter here
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Cancel() // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail(said.String()))
		}
	})
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
			return server{port, s.remote}
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", name, said.String())
		default:
		}
	}
	t.Fatalf("%s does not listen", name)
	return server{}
}

// keyFile is one of the files of the site's own server.
func (s *site) keyFile(name string) string { return filepath.Join(filepath.Dir(s.sshd.Identity), name) }

func rclone(t testing.TB, s *site) server {
	t.Helper()
	port := unusedPort(t)
	at := s.program(t, port, "rclone", "serve", "sftp", "--addr", fmt.Sprintf("127.0.0.1:%d", port), "--config", s.Path("rclone.conf"),
		"--authorized-keys", s.keyFile("authorized_keys"), "--key", s.keyFile("host_key"), "--vfs-cache-mode", "full",
		"--cache-dir", s.Path("rclone-cache"), "--dir-cache-time", "0s", "--vfs-write-back", "0s", s.remote)
	at.path = "/"
	return at
}

// sftpGoProgram is built by `make servers`: it is under the AGPL, and no part of this.
const sftpGoProgram = "../build/sftpgo/sftpgo"

func sftpGo(t testing.TB, s *site) server {
	t.Helper()
	port := unusedPort(t)
	key, err := os.ReadFile(s.keyFile("authorized_keys"))
	must(t, err)
	program := s.Path("sftpgo")
	must(t, os.Link(sftpGoProgram, program))
	templates := s.Path("templates")
	must(t, os.CopyFS(templates, os.DirFS(filepath.Join(filepath.Dir(sftpGoProgram), "templates"))))
	for name, content := range map[string]any{
		"sftpgo.json": map[string]any{
			"smtp": map[string]any{"templates_path": templates},
			"sftpd": map[string]any{
				"bindings":  []any{map[string]any{"address": "127.0.0.1", "port": port}},
				"host_keys": []string{s.keyFile("host_key")},
			},
			"httpd":         map[string]any{"bindings": []any{map[string]any{"port": 0}}},
			"data_provider": map[string]any{"driver": "memory", "name": s.Path("users.json")},
		},
		"users.json": map[string]any{"version": 16, "users": []any{map[string]any{
			"username": s.sshd.User, "status": 1, "home_dir": s.remote, "public_keys": []string{strings.TrimSpace(string(key))},
			"permissions": map[string]any{"/": []string{"*"}},
		}}},
	} {
		text, err := json.Marshal(content)
		must(t, err)
		must(t, s.WriteFile(name, text, 0o600))
	}
	at := s.program(t, port, program, "serve", "--config-dir", s.Dir, "--log-file-path", "", "--log-level", "warn")
	at.path = "/"
	return at
}

func asyncSSH(t testing.TB, s *site) server {
	t.Helper()
	port := unusedPort(t)
	must(t, s.WriteFile("server.py", []byte(`
import asyncio, asyncssh, os, sys
async def main():
    server = await asyncssh.listen('127.0.0.1', int(sys.argv[1]), server_host_keys=[sys.argv[2]],
        authorized_client_keys=sys.argv[3], sftp_factory=True)
    await server.wait_closed()
asyncio.run(main())
`), 0o644))
	return s.program(t, port, debianPython, s.Path("server.py"), fmt.Sprint(port), s.keyFile("host_key"), s.keyFile("authorized_keys"))
}

func proFTPD(t testing.TB, s *site) server {
	t.Helper()
	port := unusedPort(t)
	key, err := exec.Command("ssh-keygen", "-e", "-m", "RFC4716", "-f", s.keyFile("authorized_keys")).Output()
	must(t, err)
	must(t, s.WriteFile("keys", key, 0o644))
	group, err := user.LookupGroupId(fmt.Sprint(s.User.GID))
	must(t, err)
	must(t, s.WriteFile("passwd", fmt.Appendf(nil, "%s:*:%d:%d::%s:/bin/sh\n", s.User.Name, s.User.UID, s.User.GID, s.Home), 0o600))
	must(t, s.WriteFile("group", fmt.Appendf(nil, "%s:x:%d:%s\n", group.Name, s.User.GID, s.User.Name), 0o600))
	must(t, s.WriteFile("proftpd.conf", []byte(strings.NewReplacer("$L", s.Dir, "$PORT", fmt.Sprint(port), "$USER", s.User.Name,
		"$GROUP", group.Name, "$HOSTKEY", s.keyFile("host_key")).Replace(`
ModulePath /usr/lib/proftpd
LoadModule mod_sftp.c
ServerName test
ServerType standalone
DefaultAddress 127.0.0.1
SocketBindTight on
Port $PORT
UseIPv6 off
UseReverseDNS off
User $USER
Group $GROUP
RootLogin on
AuthOrder mod_auth_file.c
AuthUserFile $L/passwd
AuthGroupFile $L/group
RequireValidShell off
UseFtpUsers off
WtmpLog off
TransferLog none
SystemLog $L/proftpd.log
PidFile $L/proftpd.pid
ScoreboardFile none
DelayEngine off
Umask 022
AllowOverwrite on
AllowStoreRestart on
SFTPEngine on
SFTPHostKey $HOSTKEY
SFTPAuthMethods publickey
SFTPAuthorizedUserKeys file:$L/keys
<Global>
  <Limit ALL>
    AllowAll
  </Limit>
</Global>
`)), 0o644))
	must(t, os.Chmod(s.keyFile("host_key"), 0o600))
	return s.program(t, port, "proftpd", "--nodaemon", "--config", s.Path("proftpd.conf"))
}

// dropbear lets users in by the keys in their home folder, which is not the lab's.
func dropbear(t testing.TB, s *site) server {
	t.Helper()
	port := unusedPort(t)
	me, err := user.Lookup(s.User.Name)
	must(t, err)
	dir := filepath.Join(me.HomeDir, ".ssh")
	if _, err := os.Stat(dir); err == nil {
		missing(t, "a user without a folder .ssh")
	}
	must(t, s.Mkdir(dir, 0o700))
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	keys, err := os.ReadFile(s.keyFile("authorized_keys"))
	must(t, err)
	must(t, s.WriteFile(filepath.Join(dir, "authorized_keys"), keys, 0o600))
	if out, err := exec.Command("dropbearconvert", "openssh", "dropbear", s.keyFile("host_key"), s.Path("dropbear.key")).CombinedOutput(); err != nil {
		t.Fatalf("dropbearconvert: %v: %s", err, out)
	}
	must(t, os.Chown(s.Path("dropbear.key"), s.User.UID, s.User.GID))
	return s.program(t, port, "dropbear", "-F", "-E", "-s", "-m", "-p", fmt.Sprintf("127.0.0.1:%d", port), "-r", s.Path("dropbear.key"), "-P", s.Path("dropbear.pid"))
}

// pkgSFTP is github.com/pkg/sftp's own server of the local filesystem, as a child.
func pkgSFTP(t testing.TB, s *site) server {
	t.Helper()
	return server{s.child(t, "pkg/sftp"), s.remote}
}

func init() { jobs["pkg/sftp"] = pkgSFTPJob }

func pkgSFTPJob(t *testing.T, dir string) {
	servers(t, dir, "SSH-2.0-Go", func(ch io.ReadWriteCloser) error {
		server, err := sftp.NewServer(ch)
		if err != nil {
			return err
		}
		return server.Serve()
	})
}

// servers accepts connections on a port that it tells, with the host key of the lab in
// dir, and has each session served. It ends with its standard input.
func servers(t *testing.T, dir, version string, serve func(io.ReadWriteCloser) error) {
	t.Helper()
	keys, err := filepath.Glob(filepath.Join(dir, "sshd-*", "host_key"))
	must(t, err)
	text, err := os.ReadFile(keys[0])
	must(t, err)
	hostKey, err := ssh.ParsePrivateKey(text)
	must(t, err)
	config := &ssh.ServerConfig{ServerVersion: version, NoClientAuth: true}
	config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveChannels(c, config, serve)
		}
	}()
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	must(t, l.Close())
}

func serveChannels(c net.Conn, config *ssh.ServerConfig, serve func(io.ReadWriteCloser) error) {
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		_ = c.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		ch, requests, err := offered.Accept()
		if err != nil {
			continue
		}
		go func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		}()
		go func() {
			_ = serve(ch) // it ends with its client
			_ = ch.Close()
		}()
	}
	_ = conn.Close()
}
