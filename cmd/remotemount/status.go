package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show what is mounted, and how it is doing",
		UsageText: "remotemount status [--json|--short] [MOUNTPOINT]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "for programs"},
			&cli.BoolFlag{Name: "short", Usage: "for a prompt: one line of what is disabled, away or has lost data, or nothing"},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("short") {
				return showShort(c)
			}
			all, err := statuses(c)
			err = silent(err)
			if err != nil && (c.NArg() > 0 || len(all) == 0) {
				return err
			}
			if c.Bool("json") {
				return errors.Join(writeJSON(c.App.Writer, all, c.NArg() > 0), err)
			}
			return errors.Join(showStatus(c.App.Writer, all, time.Now()), err)
		},
	}
}

// shortTime is how long a prompt may wait for all mounts.
const shortTime = 300 * time.Millisecond

// showShort passes over mounts that do not answer in time, and over errors: a prompt
// is no place to tell them.
func showShort(c *cli.Context) error {
	if c.Bool("json") {
		return usage("status: --short and --json are two forms: one of them")
	}
	ctx, cancel := context.WithTimeout(c.Context, shortTime)
	defer cancel()
	c.Context = ctx
	all, err := statuses(c)
	if err != nil && c.NArg() > 0 {
		return err
	}
	if line := shortStatus(all); line != "" {
		_, err = fmt.Fprintln(c.App.Writer, line)
		return err
	}
	return nil
}

// statuses asks the mount named, or all of this user's.
func statuses(c *cli.Context) ([]control.Status, error) {
	client := control.NewClient(getenv)
	if c.NArg() == 0 {
		return client.All(c.Context)
	}
	args, err := arguments(c, "MOUNTPOINT")
	if err != nil {
		return nil, err
	}
	s, err := statusAt(c.Context, client, args[0])
	return []control.Status{s}, err
}

func statusAt(ctx context.Context, client *control.Client, path string) (control.Status, error) {
	at, err := mountpoint.Resolve(path)
	if err != nil {
		at = path
	}
	s, err := client.Status(ctx, at)
	if errors.Is(err, control.ErrNone) {
		if mountpoint.Dead(at) {
			return s, fail(exitMountpoint, fmt.Errorf("status %s: the process of this mount is dead", at), "remotemount unmount "+shellQuote(at))
		}
		return s, notMounted(ctx, "status", path)
	}
	return s, err
}

// silent names the mounts that do not answer, and how they can be ended.
func silent(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var each []error
		for _, e := range several.Unwrap() {
			each = append(each, silent(e))
		}
		return errors.Join(each...)
	}
	var s *control.SilentError
	if !errors.As(err, &s) {
		return err
	}
	at := "MOUNTPOINT"
	entries, _ := mountpoint.Mounts() // then it is not named
	for _, e := range entries {
		if s.At(e.Mountpoint) {
			at = shellQuote(e.Mountpoint)
		}
	}
	return fail(exitFailed, fmt.Errorf("the mount at %s does not answer: %w", at, s.Err), "remotemount unmount --force "+at+" ends it, without what is not yet on the server")
}

// writeJSON writes one object for a mountpoint that was named, else a list.
func writeJSON(w io.Writer, all []control.Status, one bool) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if one {
		return e.Encode(all[0])
	}
	if all == nil {
		all = []control.Status{}
	}
	return e.Encode(all)
}

func showStatus(w io.Writer, all []control.Status, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nothing is mounted")
		return err
	}
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(statusText(s, now))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func statusText(s control.Status, now time.Time) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		b.WriteString(fmt.Sprintf("  %-12s %s\n", name, oneLine(fmt.Sprintf(format, args...))))
	}
	b.WriteString(fmt.Sprintf("%s on %s\n", oneLine(s.Remote), oneLine(s.Mountpoint)))
	state := fmt.Sprintf("%s for %s", s.State, age(now.Sub(s.Since)))
	if s.Waiting > 0 {
		state += fmt.Sprintf(", waiting for an answer for %s", age(time.Duration(s.Waiting*float64(time.Second))))
	}
	line("state", "%s", state)
	if !s.Away.IsZero() {
		line("shown", "what was last known, %s old or older; nothing newer can be had", age(now.Sub(s.Away)))
	}
	if s.LastError != "" {
		line("reason", "%s", s.LastError)
	}
	if s.Hint != "" {
		line("hint", "%s", s.Hint)
	}
	if s.Server != "" { // with --wait it may not have answered yet
		line("server", "%s, folder %s", s.Server, s.Root)
	}
	line("connections", "%d of at most %d, with %d sessions; %d open files", s.Connections, s.MaxConnections, s.Sessions, s.OpenFiles)
	line("traffic", "%s read, %s written, %d requests", config.FormatSize(int64(s.BytesRead)), config.FormatSize(int64(s.BytesWritten)), s.Requests)
	if s.Unacknowledged > 0 {
		line("under way", "%s not yet on the server", config.FormatSize(s.Unacknowledged))
	}
	if s.ProtocolErrors > 0 {
		line("protocol", "%d sessions ended because the server does not keep to SFTP; the last: %s", s.ProtocolErrors, s.ProtocolError)
	}
	for _, k := range s.Quirks {
		line("different", "%s", k)
	}
	if s.RefusedLinks > 0 {
		line("links", "%d symbolic links lead out of the mount and are refused (-o transform_symlinks or --follow-symlinks may help)", s.RefusedLinks)
	}
	if s.LostFiles > uint64(len(s.Lost)) {
		line("LOST", "data of %d files; the last %d are", s.LostFiles, len(s.Lost))
	}
	for _, l := range s.Lost {
		line("LOST", "%s: %d bytes at %s: %s", l.Path, l.Bytes, l.Time.Format(time.DateTime), l.Error)
	}
	if s.LostFiles > 0 {
		line("hint", "write these again; this is told until the folder is mounted anew")
	}
	if s.Sync != "" {
		line("sync", "%s", s.Sync)
	}
	line("process", "%d, mounted %s ago, version %s", s.PID, age(now.Sub(s.Started)), s.Version)
	return b.String()
}

// age writes a time span in its two largest units.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
