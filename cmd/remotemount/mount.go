package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/bookmark"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
)

func mountCommand() *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Usage:     "make a folder of the server a folder here",
		UsageText: "remotemount mount [flags] REMOTE MOUNTPOINT",
		Description: "REMOTE is [user@]host:[path], sftp://[user@]host[:port]/path, or the NAME of a\n" +
			"remote that was added. A path without a leading / starts where the user lands.\n" +
			"The command returns when the mount works, or says why it does not.",
		Flags:  append(append(mountFlags(), connectionFlags()...), hiddenMountFlags()...),
		Action: mountAction,
	}
}

func mountFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "foreground", Aliases: []string{"f"}, Usage: "stay in the foreground, with messages on standard error"},
		&cli.StringSliceFlag{Name: "option", Aliases: []string{"o"}, Usage: "`OPTIONS` of sshfs and mount(8), between commas"},
		&cli.BoolFlag{Name: "read-only", Usage: "refuse every change"},
		&cli.BoolFlag{Name: "allow-other", Usage: "let other users in, as owner and mode allow"},
		&cli.BoolFlag{Name: "default-permissions", Usage: "have the kernel check owner and mode; follows from --allow-other"},
		&cli.GenericFlag{Name: "attr-timeout", Value: new(config.Duration), DefaultText: "5s", Usage: "believe attributes and listings for `TIME`; 0 asks each time"},
		&cli.GenericFlag{Name: "cache-memory", Value: new(config.Size), DefaultText: "256M", Usage: "`SIZE` of memory for reading ahead, writing behind and caching"},
		&cli.GenericFlag{Name: "retry", Value: new(config.Duration), DefaultText: "10m", Usage: "keep written data for `TIME` while the server cannot be reached"},
		&cli.BoolFlag{Name: "follow-symlinks", Usage: "show what symbolic links lead to"},
		&cli.BoolFlag{Name: "replace-by-moving", Usage: "where the server cannot rename over a file, move the old one aside first"},
		&cli.BoolFlag{Name: "multiuser", Usage: "give new files to who makes them; for a privileged user on the server"},
		&cli.BoolFlag{Name: "wait", Usage: "mount also while the server cannot be reached, and connect when it can"},
		bookmarkFlag{&cli.GenericFlag{Name: "bookmark", Value: new(bookmarkName), Usage: "show the folder at the side of file managers while it is mounted, under `NAME`"}},
		&cli.BoolFlag{Name: "no-notify", Usage: "show no notice on the desktop when the mount is away, disabled or loses data"},
		&cli.StringFlag{Name: "subtype", DefaultText: "sshfs", Usage: "filesystem `TYPE` shown after fuse."},
		&cli.StringFlag{Name: "sync", Usage: "keep --sync-dir in step with the mount: `push|pull|two-way`"},
		&cli.StringFlag{Name: "sync-dir", Usage: "local `FOLDER` for --sync"},
		&cli.StringFlag{Name: "sync-every", DefaultText: "5m", Usage: "look for changes on the server every `TIME`"},
		&cli.StringFlag{Name: "metrics", Usage: "serve Prometheus figures at `ADDRESS`, as localhost:9100"},
		&cli.StringFlag{Name: "log-level", DefaultText: "warn", Usage: "write messages from this level on: `debug|info|warn|error`"},
		&cli.StringFlag{Name: "log-file", Usage: "write messages to `FILE` in place of standard error or syslog"},
	}
}

func hiddenMountFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: backgroundFlag, Hidden: true},
		&cli.BoolFlag{Name: "sloppy", Hidden: true}, // mount(8)'s -s
		&cli.BoolFlag{Name: "C", Hidden: true},      // sshfs's: nothing is compressed
		&cli.BoolFlag{Name: "s", Hidden: true},      // sshfs's: threads are ours
	}
}

// A mounting is what mount was told, checked.
type mounting struct {
	options.Settings
	target     target
	mountpoint string // absolute, without symbolic links
	given      string // the mountpoint as the user wrote it, made absolute
	level      slog.Level
}

func mountAction(c *cli.Context) error {
	args, err := arguments(c, "REMOTE", "MOUNTPOINT")
	if err != nil {
		return err
	}
	if looksRemote(args[1]) && !looksRemote(args[0]) {
		return turnedRound(args[1], args[0])
	}
	if fd := c.Int(backgroundFlag); fd > 0 {
		return inBackground(c, fd, args[0], args[1])
	}
	m, err := newMounting(c, args[0])
	if err != nil {
		return err
	}
	if err := m.local(args[1]); err != nil {
		return err
	}
	if err := m.readStdin(c.App.Reader); err != nil {
		return err
	}
	if c.Bool("foreground") || m.Debug {
		return m.foreground(c.App.ErrWriter)
	}
	return m.background(c)
}

func turnedRound(remote, mountpoint string) error {
	return usageHint(fmt.Sprintf("mount: %s is the remote, and stands second", remote),
		"remotemount mount "+shellQuote(remote)+" "+shellQuote(mountpoint))
}

// newMounting reads options and flags; flags go before options.
func newMounting(c *cli.Context, remote string) (*mounting, error) {
	m := &mounting{}
	for _, text := range c.StringSlice("option") {
		if err := m.Parse(text, c.Bool("sloppy")); err != nil {
			return nil, err
		}
	}
	said, err := connectionFrom(c)
	if err != nil {
		return nil, err
	}
	m.Connection = said.Over(absoluteConnection(m.Connection))
	m.readFlags(c)
	m.Finish()
	if err := m.check(); err != nil {
		return nil, err
	}
	m.target, err = newTarget(remote, m.Connection)
	m.target.dir = address.Join(m.target.dir, strings.Trim(m.Subdir, "/"))
	m.target.batch, m.target.memory = m.Batch, m.cacheMemory()/4
	m.target.replaces, m.target.whoami = m.ReplaceByMoving, m.IDMap == "user"
	return m, err
}

// absoluteConnection is for paths that came through -o.
func absoluteConnection(c config.Connection) config.Connection {
	c.Identities, c.KnownHosts = paths(c.Identities), paths(c.KnownHosts)
	c.PasswordFile, c.SSHConfig = absolute(c.PasswordFile), absolute(c.SSHConfig)
	return c
}

func (m *mounting) readFlags(c *cli.Context) {
	m.ReadOnly = m.ReadOnly || c.Bool("read-only")
	m.AllowOther = m.AllowOther || c.Bool("allow-other")
	m.MultiUser = m.MultiUser || c.Bool("multiuser")
	m.FollowSymlinks = m.FollowSymlinks || c.Bool("follow-symlinks")
	m.ReplaceByMoving = m.ReplaceByMoving || c.Bool("replace-by-moving")
	m.NoNotify = m.NoNotify || c.Bool("no-notify")
	m.Wait = m.Wait || c.Bool("wait")
	if name, ok := c.Generic("bookmark").(*bookmarkName); ok && c.IsSet("bookmark") {
		m.Bookmark = name.label
	}
	if c.IsSet("default-permissions") {
		on := c.Bool("default-permissions")
		m.DefaultPermissions = &on
	}
	if c.IsSet("attr-timeout") {
		d := time.Duration(duration(c, "attr-timeout"))
		m.AttrTimeout = &d
	}
	if size, ok := c.Generic("cache-memory").(*config.Size); ok && c.IsSet("cache-memory") {
		m.CacheMemory = int64(*size)
	}
	for name, field := range map[string]*string{
		"subtype": &m.Subtype, "sync": &m.SyncMode, "sync-dir": &m.SyncDir, "sync-every": &m.SyncEvery,
		"metrics": &m.Metrics, "log-level": &m.LogLevel, "log-file": &m.LogFile,
	} {
		if c.IsSet(name) {
			*field = c.String(name)
		}
	}
}

// Memory below this would leave no room for reading ahead at all.
const leastMemory = 8 << 20

func (m *mounting) check() error {
	var err error
	if m.level, err = parseLevel(m.LogLevel); err != nil {
		return usage("--log-level %q: %w", m.LogLevel, err)
	}
	if m.CacheMemory != 0 && m.CacheMemory < leastMemory {
		return usage("--cache-memory %s: at least %s", config.FormatSize(m.CacheMemory), config.FormatSize(leastMemory))
	}
	if strings.ContainsAny(m.Subtype, " ,.\n\\") {
		return usage("--subtype %q: one word", m.Subtype)
	}
	if m.Bookmark != nil {
		if err := bookmark.CheckName(*m.Bookmark); err != nil {
			return usage("--bookmark: %w", err)
		}
	}
	if err := m.Connection.Check(); err != nil {
		return usage("%w", err)
	}
	if err := m.Settings.Check(); err != nil {
		return err
	}
	if slices.Contains(m.Kernel, "nosymfollow") && os.Geteuid() != 0 {
		return usageHint("-o nosymfollow: only root can mount so, as fusermount3 does not know the option",
			"contain_symlinks=strict keeps links inside the mount")
	}
	m.SyncDir, m.LogFile = absolute(m.SyncDir), absolute(m.LogFile)
	return m.checkSync()
}

// local looks at everything here that mounting needs.
func (m *mounting) local(path string) error {
	if err := mountpoint.System(m.AllowOther || m.AllowRoot); err != nil {
		return err
	}
	client := control.NewClient(getenv)
	check := mountpoint.Check{NonEmpty: m.NonEmpty, Ours: func(at string) bool {
		_, err := client.Status(context.Background(), at)
		return err == nil
	}}
	resolved, err := check.Run(path)
	m.mountpoint, m.given = resolved, absolute(path)
	return err
}

// readStdin takes what standard input was said to hold: a key, or a password.
func (m *mounting) readStdin(in io.Reader) error {
	key := false
	for _, file := range m.target.conn.Identities {
		key = key || file == "-"
	}
	switch {
	case key && m.PasswordStdin:
		return usage("standard input cannot hold the key and the password both")
	case m.PasswordStdin:
		line, err := firstLine(in)
		if err != nil {
			return fail(exitAuth, fmt.Errorf("password on standard input: %w", err), "")
		}
		m.target.secret = line
	case key:
		text, err := io.ReadAll(io.LimitReader(in, 1<<20))
		if err != nil {
			return fmt.Errorf("key on standard input: %w", err)
		}
		m.target.stdin = text
	}
	return nil
}

// foreground mounts in this process, and returns when the mount has ended.
func (m *mounting) foreground(errOut io.Writer) error {
	write := writeTo(errOut)
	if m.LogFile != "" {
		f, err := os.OpenFile(m.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { go func() { _ = f.Close() }() }() // written line by line; on the mount itself it may wait
		write = writeFile(f)
	}
	write, endLog := behind(write)
	defer endLog()
	log := logger(m.level, write)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	defer signal.Stop(signals)
	return m.serve(host{
		prompt: newPrompter(), signals: signals, log: log,
		keyLog: logger(min(m.level, slog.LevelInfo), writeTo(errOut)),
		ready:  notifyReady,
	})
}

// source is what the mount table shows: REMOTE as it was given. A URL could in
// principle hold a password; it was refused when it was read.
func (m *mounting) source() string {
	if m.Source != "" {
		return m.Source
	}
	return m.target.given
}
