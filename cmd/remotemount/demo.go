package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
	"github.com/remotemount/remotemount/serve"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "serve a folder, mount it, work in it, and leave nothing behind",
		UsageText: "remotemount demo [MOUNTPOINT]",
		Description: "Needs no other machine: the server is part of the program, and listens on this\n" +
			"machine only. With a MOUNTPOINT and a terminal, the mount stays until Enter is\n" +
			"pressed, to be looked at.",
		Action: demoAction,
	}
}

// A demo has a served folder, a mountpoint, and a mount between the two in a
// process of its own, exactly as a user would start it: a mount in the process
// that works in it could wait for itself.
type demo struct {
	out    io.Writer
	dir    string // of everything temporary
	served string
	point  string
	stay   bool // the mount is to be looked at
	server *serve.Server
	mount  *exec.Cmd
	ended  chan error // the result of the mount's process
}

func demoAction(c *cli.Context) error {
	if c.NArg() > 1 {
		_, err := arguments(c, "MOUNTPOINT")
		return err
	}
	if err := mountpoint.System(false); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := &demo{out: c.App.Writer}
	err := d.prepare(c.Args().First())
	if err == nil {
		err = d.run(ctx, c.App.Reader)
	}
	if clean := d.cleanUp(); err == nil {
		err = clean
	}
	if err == nil {
		_, err = fmt.Fprintln(c.App.Writer, "\nUnmounted; nothing is left behind. Now with a server of yours:\n  remotemount mount user@host:folder ~/mnt")
	}
	return err
}

func (d *demo) prepare(point string) (err error) {
	if d.dir, err = os.MkdirTemp("", "remotemount-demo-"); err != nil {
		return err
	}
	d.served, d.point = filepath.Join(d.dir, "served"), filepath.Join(d.dir, "mnt")
	if point == "" {
		// Sockets and locks too are to leave nothing behind. A mount that is to be
		// looked at is where `status` finds it.
		err = errors.Join(os.Mkdir(d.point, 0o755), os.Setenv("XDG_RUNTIME_DIR", d.dir))
	} else {
		d.stay = term.IsTerminal(int(os.Stdin.Fd()))
		d.point, err = mountpoint.Check{}.Run(point)
	}
	return errors.Join(err, os.Mkdir(d.served, 0o755),
		os.WriteFile(filepath.Join(d.served, "welcome.txt"), []byte("This file is on the server.\n"), 0o644))
}

func (d *demo) run(ctx context.Context, in io.Reader) error {
	addr, err := d.serve(ctx)
	if err != nil {
		return err
	}
	if err := d.start(ctx, addr); err != nil {
		return err
	}
	if err := d.work(ctx); err != nil {
		return err
	}
	if d.stay {
		if err := d.say("\nLook around in %s; Enter ends the demo. ", d.point); err != nil {
			return err
		}
		waitForEnter(ctx, in)
	}
	return d.unmount(ctx)
}

// serve starts the server, with a host key and a user's key made for this run.
func (d *demo) serve(ctx context.Context) (net.Addr, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "remotemount demo")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "key"), pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	authorized, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	if d.server, err = serve.New(serve.Config{Dir: d.served, AuthorizedKeys: []ssh.PublicKey{authorized}}); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = d.server.Serve(ctx, l) }() // ends with Close in cleanUp
	return l.Addr(), d.say("Serving %s on %s, with a key made for this demo.\n", d.served, l.Addr())
}

// start mounts, and returns when the mount works.
func (d *demo) start(ctx context.Context, addr net.Addr) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	remote := fmt.Sprintf("sftp://demo@%s/", addr)
	if err := d.say("\n$ remotemount mount %s %s\n", remote, d.point); err != nil {
		return err
	}
	d.mount = exec.Command(program, "mount", "--foreground", "--ssh-config", "none", "--identity", filepath.Join(d.dir, "key"),
		"--known-hosts", filepath.Join(d.dir, "known_hosts"), "--host-key", d.server.Fingerprint(), "-o", "IdentitiesOnly=yes,BatchMode=yes", remote, d.point)
	var said strings.Builder
	d.mount.Stderr = &said
	d.mount.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us; the mount ends in order
	if err := d.mount.Start(); err != nil {
		return err
	}
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.mount.Wait() }()
	for {
		select {
		case <-ctx.Done():
			return fail(exitFailed, errors.New("interrupted"), "")
		case err := <-d.ended:
			d.ended <- err
			return &failure{max(d.mount.ProcessState.ExitCode(), exitFailed), fmt.Errorf("the mount did not come up: %s", strings.TrimSpace(said.String())), ""}
		case <-time.After(20 * time.Millisecond):
		}
		// Made anew each time: the folder it looks in may be new, too.
		if _, err := control.NewClient(getenv).Status(ctx, d.point); err == nil {
			return nil
		}
	}
}

// work does with ordinary programs what people do, and shows the same on the
// served side.
func (d *demo) work(ctx context.Context) error {
	at := func(name string) string { return filepath.Join(d.point, name) }
	steps := [][]string{
		{"ls", "-l", d.point},
		{"cat", at("welcome.txt")},
		{"mkdir", at("notes")},
		{"cp", at("welcome.txt"), at("notes/first.txt")},
		{"mv", at("notes/first.txt"), at("notes/renamed.txt")},
		{"sh", "-c", "echo 'written through the mount' >> " + shellQuote(at("notes/renamed.txt"))},
	}
	for _, step := range steps {
		if err := d.show(ctx, step...); err != nil {
			return err
		}
	}
	if err := d.say("\nThe same, seen on the server's side:\n"); err != nil {
		return err
	}
	if err := d.show(ctx, "ls", "-lR", d.served); err != nil {
		return err
	}
	if err := d.show(ctx, "cat", filepath.Join(d.served, "notes/renamed.txt")); err != nil {
		return err
	}
	return d.compare()
}

// compare makes sure that what was shown is what should have been.
func (d *demo) compare() error {
	text, err := os.ReadFile(filepath.Join(d.served, "notes/renamed.txt"))
	if err != nil {
		return err
	}
	if string(text) != "This file is on the server.\nwritten through the mount\n" {
		return fmt.Errorf("the served file holds %q", text)
	}
	return nil
}

func (d *demo) show(ctx context.Context, words ...string) error {
	shown := make([]string, len(words))
	for i, w := range words {
		shown[i] = shellQuote(w)
	}
	line := strings.Join(shown, " ")
	if words[0] == "sh" {
		line = words[2]
	}
	if err := d.say("\n$ %s\n", line); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = d.out, d.out
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

func (d *demo) say(format string, args ...any) error {
	_, err := fmt.Fprintf(d.out, format, args...)
	return err
}

func waitForEnter(ctx context.Context, in io.Reader) {
	enter := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(in).ReadString('\n') // the end of input is an answer too
		close(enter)
	}()
	select {
	case <-enter:
	case <-ctx.Done():
	}
}

func (d *demo) unmount(ctx context.Context) error {
	if err := d.say("\n$ remotemount unmount %s\n", d.point); err != nil {
		return err
	}
	if err := unmount(context.WithoutCancel(ctx), d.out, d.point, false); err != nil {
		return err
	}
	return d.awaitMount()
}

func (d *demo) awaitMount() error {
	err := <-d.ended
	d.mount = nil
	return err
}

// cleanUp ends what still runs, and removes what was made, also after an error.
func (d *demo) cleanUp() error {
	var errs error
	if d.mount != nil && d.ended != nil {
		// The first ends in order, the second at once; a third time is not needed.
		for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGTERM} {
			_ = d.mount.Process.Signal(sig) // it may have ended
			select {
			case err := <-d.ended:
				d.mount, errs = nil, err
			case <-time.After(3 * time.Second):
				continue
			}
			break
		}
	}
	if d.server != nil {
		errs = errors.Join(errs, d.server.Close())
	}
	if d.dir != "" {
		errs = errors.Join(errs, d.remove())
	}
	return errs
}

// remove deletes the temporary folder, but never through a mount that stayed.
func (d *demo) remove() error {
	entries, err := mountpoint.Mounts()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Mountpoint, d.dir+"/") {
			return fail(exitMountpoint, fmt.Errorf("%s is still mounted", e.Mountpoint), "remotemount unmount --force "+shellQuote(e.Mountpoint))
		}
	}
	return os.RemoveAll(d.dir)
}
