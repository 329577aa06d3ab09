package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
)

func reconnectCommand() *cli.Command {
	return &cli.Command{
		Name:      "reconnect",
		Usage:     "have a mount connect now, also after a login that was refused",
		UsageText: "remotemount reconnect MOUNTPOINT",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "MOUNTPOINT")
			if err != nil {
				return err
			}
			return reconnect(c.Context, c.App.Writer, args[0])
		},
	}
}

func reconnect(ctx context.Context, out io.Writer, path string) error {
	at, err := mountpoint.Resolve(path)
	if err != nil {
		at = path
	}
	client := control.NewClient(getenv)
	// A login may take long; a mount that says nothing at all is stuck.
	if _, err := client.Status(ctx, at); err != nil && !errors.Is(err, control.ErrNone) {
		return silent(err)
	}
	r, err := client.Reconnect(ctx, at, answering(newPrompter()))
	switch {
	case errors.Is(err, control.ErrNone):
		return notMounted(ctx, "reconnect", path)
	case err != nil:
		return err
	case r.Error != "":
		return fail(r.Code, fmt.Errorf("reconnect %s: %s", at, r.Error), r.Hint)
	}
	_, err = fmt.Fprintf(out, "%s: connected\n", oneLine(at))
	return err
}
