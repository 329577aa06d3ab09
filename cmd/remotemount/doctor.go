package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
	"github.com/remotemount/remotemount/keys/nss"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "look step by step why a remote cannot be mounted",
		UsageText:   "remotemount doctor [flags] REMOTE",
		Description: "Looks at FUSE here, the host's name, the way to it, its key, the login, the folder\nand what the server can do. Nothing is written without --write, but the host key at the first\ncontact, as by every verb (--host-key-policy ask asks before).",
		Flags:       append(connectionFlags(), writeFlag()),
		Action:      doctorAction,
	}
}

func writeFlag() cli.Flag {
	return &cli.BoolFlag{Name: "write", Usage: "also try changes, in a folder on the server that is removed again"}
}

// A doctor goes from what is near to what is far; after the first thing that
// fails nothing behind it can be seen.
type doctor struct {
	c      *cli.Context
	out    io.Writer
	target target
	link   *link
	err    error // of the first step that failed
}

func doctorAction(c *cli.Context) error {
	args, err := arguments(c, "REMOTE")
	if err != nil {
		return err
	}
	said, err := connectionFrom(c)
	if err != nil {
		return err
	}
	t, err := newTarget(args[0], said)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := &doctor{c: c, out: c.App.Writer, target: t}
	local := d.localFUSE()
	for _, step := range []func(context.Context){d.settings, d.name, d.reach, d.login, d.folder, d.extensions, d.roundTrip, d.space, d.changes} {
		if d.err == nil {
			step(ctx)
		}
	}
	if d.link != nil {
		err = d.link.close(ctx)
	}
	return errors.Join(first(d.err, local), err)
}

func (d *doctor) say(mark, step, format string, args ...any) {
	_, err := fmt.Fprintf(d.out, "%-5s %-11s %s\n", mark, step, oneLine(fmt.Sprintf(format, args...)))
	if d.err == nil {
		d.err = err
	}
}

func (d *doctor) fail(step string, err error) {
	d.say("FAIL", step, "%v", err)
	d.err = err
}

// localFUSE is no reason to stop: the rest is worth knowing.
func (d *doctor) localFUSE() error {
	var name unix.Utsname
	_ = unix.Uname(&name) // then the release is empty
	if err := mountpoint.System(false); err != nil {
		d.say("FAIL", "fuse", "%v", err)
		return err
	}
	d.say("ok", "fuse", "/dev/fuse can be used; Linux %s", unix.ByteSliceToString(name.Release[:]))
	return nil
}

func (d *doctor) settings(ctx context.Context) {
	l, err := d.target.assemble(ctx, newPrompter(), warnings(d.c), keyNotes(d.c))
	if err != nil {
		d.fail("settings", err)
		return
	}
	d.link = l
	s := l.settings()
	d.say("ok", "settings", "user %s, host %s, port %d, host key as %s", s.User, s.Host, s.Port, s.HostKeyName)
	if err := l.blocked(); err != nil {
		d.fail("host key", err)
	}
}

// direct tells whether we dial the host ourselves.
func (d *doctor) direct() bool {
	return d.link.settings().Direct
}

func (d *doctor) name(ctx context.Context) {
	host := d.link.settings().Host
	if net.ParseIP(host) != nil || !d.direct() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.link.timeout())
	defer cancel()
	addrs, err := nss.LookupHost(ctx, host)
	if err != nil {
		// It may be reached through a jump host of ssh_config, which knows the name.
		d.say("warn", "name", "%v", err)
		return
	}
	d.say("ok", "name", "%s is %s", host, strings.Join(addrs, ", "))
}

func (d *doctor) reach(ctx context.Context) {
	ctx, stop := d.link.clock.start(ctx)
	defer stop()
	began := time.Now()
	if d.link.program != nil {
		if err := d.link.tryProgram(ctx); err != nil {
			d.fail("reach", err)
		}
		return
	}
	conn, err := d.link.client.Dial(ctx)
	if err != nil {
		s := d.link.settings()
		d.fail("reach", fmt.Errorf("%s: %w", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), err))
		return
	}
	took := time.Since(began)
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		d.fail("reach", err)
		return
	}
	d.say("ok", "reach", "connected within %v", took.Round(100*time.Microsecond))
}

func (d *doctor) login(ctx context.Context) {
	began := time.Now()
	if err := d.link.connect(ctx); err != nil {
		d.fail("login", err)
		return
	}
	d.say("ok", "login", "%s, within %v", d.link.pool.Info().Server, time.Since(began).Round(time.Millisecond))
}

func (d *doctor) folder(ctx context.Context) {
	a, err := d.link.pool.Stat(ctx, ".")
	if err != nil {
		d.fail("folder", err)
		return
	}
	defer d.say("ok", "links", "symbolic links are kept inside the mount, for programs that reach it at its mountpoint; for bind mounts and containers: -o contain_symlinks=strict")
	d.say("ok", "folder", "%s, %s, owner %d:%d", d.link.pool.Info().Root, fileMode(a), a.UID, a.GID)
}

// The extensions that matter, and what is missing without them.
var extensions = [...]struct{ name, without string }{
	{"posix-rename@openssh.com", "renaming over a file that is there fails, unless its RENAME replaces; --write tries that, and mounts have --replace-by-moving"},
	{"hardlink@openssh.com", "no hard links"},
	{"statvfs@openssh.com", "df shows nothing true"},
	{"fsync@openssh.com", "fsync ends when the server has the data, which may not be on its disk"},
	{"lsetstat@openssh.com", "symbolic links keep no times"},
	{"limits@openssh.com", "small packets"},
	{"copy-data", "copies inside the mount go through this machine"},
}

func (d *doctor) extensions(context.Context) {
	info := d.link.pool.Info()
	var missing []string
	for _, e := range extensions {
		if _, ok := info.Extensions[e.name]; !ok {
			missing = append(missing, e.name+" ("+e.without+")")
		}
	}
	if len(missing) == 0 {
		d.say("ok", "server", "it can do everything that is used")
		return
	}
	d.say("warn", "server", "it lacks %s", strings.Join(missing, "; "))
}

func (d *doctor) changes(ctx context.Context) {
	if err := showChanges(ctx, d.link.pool, d.c.Bool("write"), d.say); err != nil {
		d.fail("tried", err)
	}
}

func (d *doctor) roundTrip(ctx context.Context) {
	var times []time.Duration
	for range 5 {
		began := time.Now()
		if _, err := d.link.pool.Lstat(ctx, "."); err != nil {
			d.fail("round trip", err)
			return
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	d.say("ok", "round trip", "%v (median of %d)", times[len(times)/2].Round(10*time.Microsecond), len(times))
}

func (d *doctor) space(ctx context.Context) {
	s, err := d.link.pool.StatFS(ctx, ".")
	if err != nil {
		d.say("warn", "space", "%v", err)
		return
	}
	d.say("ok", "space", "%s of %s free", config.FormatSize(int64(s.Bavail*s.Frsize)), config.FormatSize(int64(s.Blocks*s.Frsize)))
}
