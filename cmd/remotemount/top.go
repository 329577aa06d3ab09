package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
)

func topCommand() *cli.Command {
	return &cli.Command{
		Name:      "top",
		Usage:     "watch what mounts are doing, until Ctrl-C",
		UsageText: "remotemount top [--every TIME] [--count N] [MOUNTPOINT]",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "every", Value: new(config.Duration), DefaultText: "1s", Usage: "look every `TIME`"},
			&cli.IntFlag{Name: "count", DefaultText: "none", Usage: "end after `N` looks"},
		},
		Action: topAction,
	}
}

func topAction(c *cli.Context) error {
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	every := max(first(time.Duration(duration(c, "every")), time.Second), 100*time.Millisecond)
	out, ok := c.App.Writer.(*os.File)
	screen := ok && term.IsTerminal(int(out.Fd()))
	before := map[string]control.Status{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		all, err := statuses(c)
		if err != nil {
			return topEnded(err, n)
		}
		if err := drawTop(c.App.Writer, all, before, every, screen); err != nil {
			return err
		}
		for _, s := range all {
			before[s.Mountpoint] = s
		}
		if n == c.Int("count") {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// topEnded: that a mount watched is taken away is an end like any other.
func topEnded(err error, looks int) error {
	var f *failure
	if looks > 1 && (errors.As(err, &f) && f.code == exitMountpoint || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

func drawTop(w io.Writer, all []control.Status, before map[string]control.Status, every time.Duration, screen bool) error {
	var b strings.Builder
	if screen {
		b.WriteString("\x1b[H\x1b[2J") // home, clear
	}
	b.WriteString(fmt.Sprintf("%-28s %-11s %5s %9s %9s %8s %9s\n", "MOUNTPOINT", "STATE", "CONN", "READ/s", "WRITE/s", "REQ/s", "UNDER WAY"))
	for _, s := range all {
		was, known := before[s.Mountpoint]
		if !known || was.PID != s.PID {
			was = s
		}
		b.WriteString(fmt.Sprintf("%-28s %-11s %5d %9s %9s %8d %9s\n", shorten(oneLine(s.Mountpoint), 28), s.State, s.Connections,
			config.FormatSize(rate(was.BytesRead, s.BytesRead, every)), config.FormatSize(rate(was.BytesWritten, s.BytesWritten, every)),
			rate(was.Requests, s.Requests, every), config.FormatSize(s.Unacknowledged)))
		if calls := busiest(was, s, every); calls != "" {
			b.WriteString("  " + calls + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func rate(from, to uint64, every time.Duration) int64 {
	if to < from {
		return 0
	}
	return int64(float64(to-from) / every.Seconds())
}

// busiest names the five kinds of call there were most of.
func busiest(was, is control.Status, every time.Duration) string {
	type count struct {
		name string
		n    int64
	}
	var counts []count
	for name, op := range is.Operations {
		if n := rate(was.Operations[name].Calls, op.Calls, every); n > 0 {
			counts = append(counts, count{name, n})
		}
	}
	slices.SortFunc(counts, func(a, b count) int {
		return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.name, b.name))
	})
	var words []string
	for _, c := range counts[:min(5, len(counts))] {
		words = append(words, fmt.Sprintf("%s %d/s", c.name, c.n))
	}
	return strings.Join(words, ", ")
}

// shorten keeps the end of a path, which tells more than its beginning.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
}
