package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

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
			return unmount(c.Context, args[0], c.Bool("force"))
		},
	}
}

// With --force a mount has so long to answer, and so long to obey, before it is
// taken away from outside; the rest of the two seconds is for that.
const (
	forceAnswer = 400 * time.Millisecond
	forceTime   = time.Second
)

func unmount(ctx context.Context, path string, force bool) error {
	at, err := mountpoint.Resolve(path)
	if errors.Is(err, syscall.ENOTCONN) {
		at, err = path, nil
	}
	if err != nil {
		return notMounted(path)
	}
	client := control.NewClient(getenv)
	asked, cancel := ctx, func() {}
	if force {
		asked, cancel = context.WithTimeout(ctx, forceAnswer)
	}
	st, statusErr := client.Status(asked, at)
	cancel()
	switch {
	case statusErr == nil && force:
		return forceUnmount(ctx, client, st)
	case statusErr == nil:
		return orderlyUnmount(ctx, client, st)
	case force && !errors.Is(statusErr, control.ErrNone), mountpoint.Dead(at):
		// It is ours and stuck, or its process is dead.
		if err := mountpoint.Abort(at); err != nil {
			return fail(exitMountpoint, err, "fusermount3 -uz "+shellQuote(at))
		}
		return nil
	case !errors.Is(statusErr, control.ErrNone):
		return fail(exitFailed, fmt.Errorf("unmount %s: it does not answer: %w", at, statusErr), "remotemount unmount --force "+shellQuote(at))
	}
	return notMounted(at)
}

func notMounted(path string) error {
	return fail(exitMountpoint, fmt.Errorf("unmount %s: no mount of remotemount is there", path), "remotemount status lists the mounts")
}

func orderlyUnmount(ctx context.Context, client *control.Client, st control.Status) error {
	err := client.Unmount(ctx, st.Mountpoint, false)
	if errors.Is(err, syscall.EBUSY) {
		return fail(exitMountpoint, fmt.Errorf("unmount %s: files there are in use", st.Mountpoint),
			fmt.Sprintf("fuser -vm %s shows by whom; remotemount unmount --force %[1]s does not wait", shellQuote(st.Mountpoint)))
	}
	if err != nil && !errors.Is(err, control.ErrNone) {
		return err
	}
	return awaitEnd(ctx, st.PID, 0)
}

func forceUnmount(ctx context.Context, client *control.Client, st control.Status) error {
	obey, cancel := context.WithTimeout(ctx, forceTime)
	err := client.Unmount(obey, st.Mountpoint, true)
	cancel()
	if err == nil {
		return awaitEnd(ctx, st.PID, forceTime)
	}
	if mountErr := mountpoint.Abort(st.Mountpoint); mountErr != nil {
		return fail(exitMountpoint, errors.Join(err, mountErr), "")
	}
	return nil
}

// awaitEnd waits until the process of the mount is gone, and with it its
// connections; for ever when the limit is 0, as it may be bringing out data.
func awaitEnd(ctx context.Context, pid int, limit time.Duration) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if pid == os.Getpid() {
		return nil
	}
	for wait := time.Millisecond; syscall.Kill(pid, 0) == nil; wait = min(2*wait, 100*time.Millisecond) {
		select {
		case <-ctx.Done():
			return nil // unmounted it is
		case <-time.After(wait):
		}
	}
	return nil
}
