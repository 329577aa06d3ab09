package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/serve"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "let others reach a folder here by SFTP",
		UsageText: "remotemount serve [--listen ADDRESS] --authorized-keys FILE DIR",
		Description: "Nothing outside DIR can be reached, and only with a key from FILE, which has the\n" +
			"form of ssh's authorized_keys. DIR may itself be a mount.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "localhost:2022", Usage: "`ADDRESS` to listen at; :2022 is every network"},
			&cli.StringFlag{Name: "authorized-keys", Usage: "`FILE` of the public keys that may log in"},
			&cli.StringFlag{Name: "host-key-file", DefaultText: "~/.local/state/remotemount/serve_host_key", Usage: "`FILE` of the server's own key; made on first use"},
			&cli.BoolFlag{Name: "read-only", Usage: "refuse every change"},
			&cli.BoolFlag{Name: "allow-sha1", Usage: "let in old clients that know only algorithms with SHA-1"},
			&cli.StringFlag{Name: "log-level", DefaultText: "warn", Usage: "write messages from this level on: `debug|info|warn|error`"},
		},
		Action: serveAction,
	}
}

func serveAction(c *cli.Context) error {
	args, err := arguments(c, "DIR")
	if err != nil {
		return err
	}
	level, err := parseLevel(c.String("log-level"))
	if err != nil {
		return usage("--log-level %q: %w", c.String("log-level"), err)
	}
	server, err := newServer(c, args[0], logger(level, writeTo(c.App.ErrWriter)))
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(c.Context)
	defer stop()
	l, err := net.Listen("tcp", c.String("listen"))
	if err != nil {
		return errors.Join(fail(exitFailed, err, "give another --listen ADDRESS"), server.Close())
	}
	if _, err := fmt.Fprintf(c.App.ErrWriter, "remotemount: serving %s at %s, host key %s\nremotemount: hint: %s\n", args[0], l.Addr(), server.Fingerprint(), serveHint(l.Addr(), server.Fingerprint())); err != nil {
		return errors.Join(err, l.Close(), server.Close())
	}
	if err := notifyReady(); err != nil {
		return errors.Join(err, l.Close(), server.Close())
	}
	err = server.Serve(ctx, l)
	if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, server.Close())
}

// untilSignal ends with the first SIGINT or SIGTERM. The second one ends the program,
// also where a request of a client is stuck in a filesystem.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func serveHint(addr net.Addr, fingerprint string) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host, _ = os.Hostname() // only for the hint
	}
	return fmt.Sprintf("remotemount mount --host-key %s sftp://%s/ MOUNTPOINT", fingerprint, net.JoinHostPort(host, port))
}

func newServer(c *cli.Context, dir string, log *slog.Logger) (*serve.Server, error) {
	file := c.String("authorized-keys")
	if file == "" {
		return nil, usageHint("serve: --authorized-keys is missing", "remotemount key generate makes a key for it")
	}
	authorized, err := openKeyFile(file, log)
	if err != nil {
		return nil, err
	}
	hostKey, err := hostKeyFor(first(c.String("host-key-file"), defaultHostKeyFile()))
	if err != nil {
		return nil, err
	}
	return serve.New(serve.Config{Dir: dir, HostKey: hostKey, ReadKeys: authorized.read, ReadOnly: c.Bool("read-only"), AllowSHA1: c.Bool("allow-sha1"), Log: log})
}

func defaultHostKeyFile() string {
	base := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(home, ".local/state")
	}
	return filepath.Join(base, "remotemount", "serve_host_key")
}

// hostKeyFor reads the server's key, or makes it: a server that shows another
// key at each start would teach its users to accept anything. Another server may
// make it at the same time, so that what counts is what is there afterwards.
func hostKeyFor(path string) (ssh.Signer, error) {
	if path == "" {
		return nil, usage("serve: --host-key-file is needed where there is no home folder")
	}
	text, err := keys.ReadKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		made := makeHostKey(path)
		if text, err = keys.ReadKeyFile(path); errors.Is(err, fs.ErrNotExist) {
			err = made
		}
	}
	var open *keys.PermissionError
	if errors.As(err, &open) {
		return nil, fail(exitFailed, fmt.Errorf("host key %s: %w", path, err), "chmod 600 "+shellQuote(path)+", or take it for stolen: remove it, and serve makes another")
	}
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("host key %s: %w", path, err)
	}
	return signer, nil
}

func makeHostKey(path string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "remotemount serve")
	if err != nil {
		return err
	}
	return writeKey(path, pem.EncodeToMemory(block), false)
}
