package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A tool is a way to get at the remote folder: a mount, or, when plain is set,
// a command for some of the works.
type tool struct {
	name  string
	title string
	mount func(s *site) *exec.Cmd
	plain map[string]func(s *site) string // by the name of a work: a shell script
	build func(o *options) error
	which func(o *options) string // the program
}

var mountTools = []*tool{
	{
		name: "remotemount", title: "remotemount",
		which: func(o *options) string { return o.binary },
		mount: func(s *site) *exec.Cmd {
			return s.command(s.opt.binary, "mount", "--foreground", "--port", s.port(),
				"--identity", s.sshd.Identity, "--known-hosts", s.known, "--host-key-policy", "strict",
				"--ssh-config", "none", s.address(), s.point)
		},
	},
	{
		name: "sshfs", title: "sshfs",
		which: func(*options) string { return "sshfs" },
		mount: func(s *site) *exec.Cmd { return sshfs(s) },
	},
	{
		name: "sshfs-gcm", title: "sshfs, aes128-gcm",
		which: func(*options) string { return "sshfs" },
		mount: func(s *site) *exec.Cmd { return sshfs(s, "-o", "Ciphers=aes128-gcm@openssh.com") },
	},
	{
		name: "rclone", title: "rclone mount",
		which: func(o *options) string { return o.rclone },
		build: buildRclone,
		mount: rclone,
	},
	{
		name: "plain", title: "plain sftp, ssh",
		which: func(*options) string { return "sftp" },
		plain: map[string]func(s *site) string{
			"read": func(s *site) string { return s.sftp("get "+s.remote+"/big "+s.Path("got")) + "; rm -f got" },
			"write": func(s *site) string {
				return s.sftp("put " + s.Path("source") + " " + s.remote + "/out")
			},
			"tar": func(s *site) string {
				return s.ssh("tar -C " + s.remote + " -cf - small")
			},
			"untar": func(s *site) string {
				return "cat small.tar | " + s.ssh("tar -C "+s.remote+" -xf -")
			},
		},
	},
}

// sshfs keeps its own defaults, but for what the server needs.
func sshfs(s *site, flags ...string) *exec.Cmd {
	args := append([]string{"-f", "-p", s.port(), "-F", "/dev/null", "-o", "IdentityFile=" + s.sshd.Identity,
		"-o", "UserKnownHostsFile=" + s.known, "-o", "StrictHostKeyChecking=yes"}, flags...)
	return s.command("sshfs", append(args, s.address(), s.point)...)
}

// rclone has its full cache, and sends what was written at once: by default it
// waits five seconds. It is not to run hash programs by the server's shell.
func rclone(s *site) *exec.Cmd {
	return s.command(s.opt.rclone, "mount", ":sftp:"+s.remote, s.point,
		"--config", "/dev/null", "--cache-dir", s.Path("cache"),
		"--vfs-cache-mode", "full", "--vfs-write-back", "0",
		"--sftp-host", "127.0.0.1", "--sftp-port", s.port(), "--sftp-user", s.sshd.User,
		"--sftp-key-file", s.sshd.Identity, "--sftp-known-hosts-file", s.known, "--sftp-shell-type", "none")
}

func (s *site) sshFlags(port string) string {
	return strings.Join([]string{port, s.port(), "-F", "/dev/null", "-i", s.sshd.Identity,
		"-o", "UserKnownHostsFile=" + s.known, "-o", "StrictHostKeyChecking=yes"}, " ")
}

func (s *site) sftp(command string) string {
	return "echo '" + command + "' | sftp -q " + s.sshFlags("-P") + " -b - " + s.sshd.User + "@127.0.0.1 >/dev/null"
}

func (s *site) ssh(command string) string {
	return "ssh " + s.sshFlags("-p") + " " + s.sshd.User + "@127.0.0.1 '" + command + "' | cat >/dev/null"
}

// buildRclone takes a while, and happens once.
func buildRclone(o *options) error {
	if _, err := os.Stat(o.rclone); err == nil {
		return nil
	}
	fmt.Println("building rclone ...")
	dir := filepath.Dir(o.rclone)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("go", "install", "-trimpath", "-ldflags=-s -w", "github.com/rclone/rclone@latest")
	cmd.Dir = os.TempDir() // not in a module of ours
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// ready checks that the program is there.
func (t *tool) ready(o *options) error {
	if t.build != nil {
		if err := t.build(o); err != nil {
			return err
		}
	}
	_, err := exec.LookPath(t.which(o))
	return err
}

func (t *tool) does(w *work) bool {
	return t.mount != nil && w.script != nil || t.plain[w.name] != nil
}

var allTools = slices.Concat(mountTools, syncTools)

func toolNames() []string {
	var names []string
	for _, t := range allTools {
		names = append(names, t.name)
	}
	return names
}

func toolNamed(name string) *tool {
	for _, t := range allTools {
		if t.name == name {
			return t
		}
	}
	return nil
}

// version is the line in which the program says its own version: sshfs also
// says those of its libraries. OpenSSH's programs know the flag -V alone.
func (t *tool) version(o *options) string {
	program, flag := t.which(o), "--version"
	if t.name == "plain" {
		program, flag = "ssh", "-V"
	}
	out, err := exec.Command(program, flag).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		if strings.Contains(strings.ToLower(line), filepath.Base(program)) {
			return line
		}
	}
	return lines[0]
}

func (s *site) port() string { return strconv.Itoa(s.portNumber) }
