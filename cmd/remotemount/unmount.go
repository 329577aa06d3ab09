package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
)

func unmountCommand() *cli.Command {
	return &cli.Command{
		Name:      "unmount",
		Aliases:   []string{"umount"},
		Usage:     "take a mount away, with everything written on the server",
		UsageText: "remotemount unmount [--force] MOUNTPOINT",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "within two seconds, also while it is in use; data not yet on the server is lost"},
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "MOUNTPOINT")
			if err != nil {
				return err
			}
			return unmount(c.Context, c.App.ErrWriter, args[0], c.Bool("force"))
		},
	}
}

// With --force a mount has so long to answer, and so long to obey, before it is
// taken away from outside; the rest of the two seconds is for that.
const (
	forceAnswer = 400 * time.Millisecond
	forceTime   = time.Second
)

func unmount(ctx context.Context, errOut io.Writer, path string, force bool) error {
	at, err := mountpoint.Resolve(path)
	if errors.Is(err, syscall.ENOTCONN) {
		at, err = path, nil
	}
	if err != nil {
		return notMounted(ctx, "unmount", path)
	}
	client := control.NewClient(getenv)
	asked, cancel := ctx, func() {}
	if force {
		asked, cancel = context.WithTimeout(ctx, forceAnswer)
	}
	st, statusErr := client.Status(asked, at)
	cancel()
	u := unmounting{client, st, writeTo(errOut)}
	switch {
	case statusErr == nil && force:
		return u.force(ctx)
	case statusErr == nil:
		return u.orderly(ctx)
	case force && !errors.Is(statusErr, control.ErrNone), mountpoint.Dead(at):
		// It is ours and stuck, or its process is dead.
		if err := mountpoint.Abort(at); err != nil {
			return fail(exitMountpoint, err, "fusermount3 -uz "+shellQuote(at))
		}
		return nil
	case !errors.Is(statusErr, control.ErrNone):
		return fail(exitFailed, fmt.Errorf("unmount %s: it does not answer: %w", at, statusErr), "remotemount unmount --force "+shellQuote(at))
	}
	return notMounted(ctx, "unmount", at)
}

// notMounted is for a verb that was given what is no mountpoint of ours. Somebody may
// have given the remote that is mounted.
func notMounted(ctx context.Context, verb, path string) error {
	hint := "remotemount status lists the mounts"
	all, _ := control.NewClient(getenv).All(ctx) // none is an answer
	for _, s := range all {
		if given := filepath.Base(path); s.Remote == path || s.Remote == given || strings.HasPrefix(s.Remote, given+":") {
			hint = s.Remote + " is mounted at " + shellQuote(s.Mountpoint) + ": remotemount " + verb + " " + shellQuote(s.Mountpoint)
		}
	}
	return fail(exitMountpoint, fmt.Errorf("%s %s: no mount of remotemount is there", verb, path), hint)
}

// An unmounting is about one live mount.
type unmounting struct {
	client *control.Client
	mount  control.Status // before
	say    func(slog.Level, string)
}

func (u *unmounting) orderly(ctx context.Context) error {
	end := openProcess(u.mount.PID)
	defer end.close()
	defer time.AfterFunc(tellAfter, u.tellWaiting).Stop()
	type result struct {
		control.Outcome
		err error
	}
	outcome := make(chan result, 1)
	go func() {
		o, err := u.client.Outcome(ctx, u.mount.Mountpoint)
		outcome <- result{o, err}
	}()
	done, err := u.client.Unmount(ctx, u.mount.Mountpoint, false)
	if errors.Is(err, syscall.EBUSY) {
		return fail(exitMountpoint, fmt.Errorf("unmount %s: files there are in use", u.mount.Mountpoint),
			fmt.Sprintf("fuser -vm %s shows by whom; remotemount unmount --force %[1]s does not wait", shellQuote(u.mount.Mountpoint)))
	}
	if err != nil && !errors.Is(err, control.ErrNone) && !control.Died(err) { // somebody else may have ended it
		return err
	}
	if done.InUse > 0 {
		u.tellInUse(done)
		return nil
	}
	u.await(ctx, end)
	if err := u.clear(); err != nil {
		return err
	}
	switch o := <-outcome; {
	case o.err == nil && o.Lost != "":
		return fail(exitFailed, fmt.Errorf("unmount %s: it is unmounted, but %s", u.mount.Mountpoint, o.Lost), "")
	case o.err != nil && u.mount.Unacknowledged > 0:
		return fail(exitFailed, fmt.Errorf("unmount %s: its process ended without a word of what became of %s that were to go to the server", u.mount.Mountpoint, config.FormatSize(u.mount.Unacknowledged)),
			"compare what was written last with what is on the server")
	}
	return nil
}

// clear takes away what shows here of a mount that has ended, when it was made
// in another mount namespace than ours.
func (u *unmounting) clear() error {
	if !mountpoint.Dead(u.mount.Mountpoint) {
		return nil
	}
	return mountpoint.Detach(u.mount.Mountpoint)
}

func (u *unmounting) force(ctx context.Context) error {
	end := openProcess(u.mount.PID)
	defer end.close()
	obey, cancel := context.WithTimeout(ctx, forceTime)
	_, err := u.client.Unmount(obey, u.mount.Mountpoint, true)
	cancel()
	if err != nil {
		// When it is gone from the mount table, the mount has obeyed and only its
		// answer is late.
		if mountErr := mountpoint.Abort(u.mount.Mountpoint); mountErr != nil && !errors.Is(mountErr, mountpoint.ErrNotMounted) {
			return fail(exitMountpoint, errors.Join(err, mountErr), "")
		}
	}
	limit, cancel := context.WithTimeout(ctx, forceTime)
	defer cancel()
	u.await(limit, end)
	if n := u.mount.Unacknowledged; n > 0 {
		u.say(slog.LevelWarn, fmt.Sprintf("%s: %s that were written had not reached the server and are lost", u.mount.Mountpoint, config.FormatSize(n)))
	}
	return u.clear()
}

// tellAfter is how long nobody wonders what is waited for.
const tellAfter = time.Second

// tellWaiting says why the end takes its time. Data is brought out as long as
// --retry says.
func (u *unmounting) tellWaiting() {
	now, err := u.client.Status(context.Background(), u.mount.Mountpoint)
	if err != nil || now.Started != u.mount.Started {
		return // ended, or not to be asked
	}
	u.say(slog.LevelInfo, fmt.Sprintf("%s: waiting for process %d: %s still to go to the server, which is %s; remotemount unmount --force %s loses it",
		now.Mountpoint, now.PID, config.FormatSize(now.Unacknowledged), now.State, shellQuote(now.Mountpoint)))
}

// tellInUse says who keeps a mount that is gone from here.
func (u *unmounting) tellInUse(done control.Unmounted) {
	where := strings.Join(mountpoint.Copies(done.Device), ", ")
	if where == "" {
		where = "a mount namespace that cannot be seen from here"
	}
	u.say(slog.LevelWarn, fmt.Sprintf("%s is unmounted here, but %d files are open in a copy of it: %s. Process %d ends when they are closed, or by remotemount unmount --force %s",
		u.mount.Mountpoint, done.InUse, where, u.mount.PID, shellQuote(u.mount.Mountpoint)))
}

// await waits until the process of the mount has ended, and with it its
// connections. It may be bringing out data. Where the process cannot be seen,
// it has ended when it answers no more.
func (u *unmounting) await(ctx context.Context, end process) {
	for ctx.Err() == nil {
		ended, err := end.wait(awaitPoll)
		if err != nil {
			now, err := u.client.Status(ctx, u.mount.Mountpoint)
			ended = err != nil || now.Started != u.mount.Started
			time.Sleep(awaitPoll / 4)
		}
		if ended {
			return
		}
	}
}

// awaitPoll is how often an impatient caller is looked for.
const awaitPoll = 100 * time.Millisecond
