// Desktop gives a script a desktop's user with a real server behind a slow link, and
// sees to it that nothing of both is left.
//
//	go run ./integration/desktop [flags] SCRIPT
//
// The script is run as the ordinary user of the tests, on a session bus of its own. In
// its environment are REMOTEMOUNT, the program; FLAGS and REMOTE, what to give to it;
// SERVED, the folder on the server, with 1,000 pictures in SERVED/pictures; SHOTS, a
// folder whose files are kept. HOME is empty.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/integration/link"
)

func main() {
	binary := flag.String("binary", "build/remotemount", "remotemount's `program`")
	out := flag.String("out", "build/desktop", "`folder` for what the script leaves in SHOTS")
	rtt := flag.Duration("rtt", 20*time.Millisecond, "round-trip `time` of the link")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*binary, *out, *rtt, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "desktop:", err)
		os.Exit(1)
	}
}

func run(binary, out string, rtt time.Duration, script string) (err error) {
	users, err := lab.Users()
	if err != nil {
		return err
	}
	l, err := lab.New(users[len(users)-1])
	if err != nil {
		return err
	}
	before := strays(l.User)
	defer func() { err = errors.Join(err, end(l), removeStrays(l.User, before)) }()
	sshd, err := l.StartSSHD()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sshd.Kill()) }()
	slow, err := link.New(sshd.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, slow.Close()) }()
	slow.SetDelay(rtt / 2)
	known, served, shots := l.Path("known_hosts"), l.Path("served"), l.Path("shots")
	err = errors.Join(l.WriteFile(known, []byte(sshd.KnownHost(slow.Port())), 0o600),
		l.Mkdir(served, 0o755), l.Mkdir(shots, 0o755), pictures(l, filepath.Join(served, "pictures"), 1000))
	if err != nil {
		return err
	}
	env, err := environment(binary, script)
	if err != nil {
		return err
	}
	err = session(l, script, shots, append(env, "REMOTE="+sshd.User+"@127.0.0.1:"+served, "SERVED="+served, "SHOTS="+shots,
		"FLAGS=--port "+strconv.Itoa(slow.Port())+" --identity "+sshd.Identity+" --known-hosts "+known+
			" --host-key-policy strict --ssh-config none"))
	return errors.Join(err, keep(shots, out))
}

func environment(binary, script string) ([]string, error) {
	program, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(script)
	return []string{"REMOTEMOUNT=" + program}, err
}

// session runs the script, which is read here: its user may not be able to. An
// interrupt ends the script, which has things to undo.
func session(l *lab.Lab, script, shots string, env []string) (err error) {
	text, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(shots, "session.log")) // desktops say much that is no matter
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cmd := l.Command(ctx, "dbus-run-session", "--", "sh", "-c", string(text), script)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // so that the script alone is told of an interrupt
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd.Run()
}

// keep copies what the script left for us.
func keep(shots, out string) error {
	files, err := os.ReadDir(shots)
	if err == nil {
		err = os.MkdirAll(out, 0o755)
	}
	for _, f := range files {
		data, readErr := os.ReadFile(filepath.Join(shots, f.Name()))
		if err = errors.Join(err, readErr); err == nil {
			err = os.WriteFile(filepath.Join(out, f.Name()), data, 0o644)
		}
	}
	return err
}

// lingering is how long programs may take to see that their bus is gone.
const lingering = 10 * time.Second

// end says what the script has left, ends it, and removes the rest.
func end(l *lab.Lab) error {
	var left []lab.Process
	var err error
	for until := time.Now().Add(lingering); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if left, err = l.Processes(); err != nil || len(left) == 0 {
			break
		}
	}
	for _, p := range left {
		err = errors.Join(err, fmt.Errorf("a process is left: %d %.200q", p.PID, p.Args), syscall.Kill(p.PID, syscall.SIGKILL))
	}
	mounts, tableErr := lab.MountsBelow(l.Dir)
	err = errors.Join(err, tableErr)
	for _, m := range mounts {
		err = errors.Join(err, fmt.Errorf("a mount is left: %s", m), exec.Command("fusermount3", "-uz", m).Run())
	}
	return errors.Join(err, l.Close())
}

// strays are what programs of a desktop leave outside of their user's home: an X server
// the folder of its socket, a LibreOffice that is killed its own.
func strays(u lab.User) (paths []string) {
	for _, pattern := range []string{"/tmp/.X11-unix", fmt.Sprintf("/tmp/OSL_PIPE_%d_*", u.UID)} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		paths = append(paths, found...)
	}
	return paths
}

// removeStrays removes those that were not there before. A folder with the sockets of
// others stays.
func removeStrays(u lab.User, before []string) error {
	var err error
	for _, path := range strays(u) {
		if slices.Contains(before, path) {
			continue
		}
		if rm := os.Remove(path); !errors.Is(rm, syscall.ENOTEMPTY) {
			err = errors.Join(err, rm)
		}
	}
	return err
}
