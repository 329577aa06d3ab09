package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A lineHandler writes a log record as one line for people: "message: key value,
// key value". Where it goes, and how its level is shown, is up to write.
type lineHandler struct {
	level  slog.Level
	write  func(slog.Level, string)
	prefix string // attributes of With
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	parts := []string{}
	if h.prefix != "" {
		parts = append(parts, h.prefix)
	}
	r.Attrs(func(a slog.Attr) bool {
		parts = append(parts, attrText(a))
		return true
	})
	line := r.Message
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	h.write(r.Level, oneLine(line))
	return nil
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		if c.prefix != "" {
			c.prefix += ", "
		}
		c.prefix += attrText(a)
	}
	return &c
}

func (h *lineHandler) WithGroup(string) slog.Handler { return h }

func attrText(a slog.Attr) string { return a.Key + " " + a.Value.Resolve().String() }

// writeTo gives lines in the form of our messages.
func writeTo(w io.Writer) func(slog.Level, string) {
	var mu sync.Mutex
	return func(l slog.Level, line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(w, "remotemount: %s%s\n", levelWord(l), line) // nowhere else to say it
	}
}

// writeFile gives lines for a log file.
func writeFile(w io.Writer) func(slog.Level, string) {
	var mu sync.Mutex
	return func(l slog.Level, line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(w, "%s %-5s %s\n", time.Now().Format(time.RFC3339), l, line) // nowhere else to say it
	}
}

func levelWord(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error: "
	case l >= slog.LevelWarn:
		return "warning: "
	}
	return ""
}

// toSyslog is where a mount in the background says what happens: the journal, or
// whatever listens there. Nobody listening is no reason not to mount.
func toSyslog() func(slog.Level, string) {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "remotemount")
	if err != nil {
		return func(slog.Level, string) {}
	}
	return func(l slog.Level, line string) {
		switch {
		case l >= slog.LevelError:
			_ = w.Err(line)
		case l >= slog.LevelWarn:
			_ = w.Warning(line)
		case l >= slog.LevelInfo:
			_ = w.Info(line)
		default:
			_ = w.Debug(line)
		}
	}
}

// logQueue is how many lines wait for a log that does not take them.
const logQueue = 1000

// behind has lines written by a goroutine of its own, so that a journal that does
// not read, or a log file on the mount itself, holds up nobody. What finds no room is
// left out, and that is said. end waits a second at most for what has been said.
func behind(write func(slog.Level, string)) (put func(slog.Level, string), end func()) {
	lines, quit, done := make(chan note, logQueue), make(chan struct{}), make(chan struct{})
	var left atomic.Int64
	out := func(n note) {
		write(n.Level, n.Line)
		if missed := left.Swap(0); missed > 0 {
			write(slog.LevelWarn, fmt.Sprintf("%d further messages found no room and are left out", missed))
		}
	}
	go func() {
		defer close(done)
		for {
			select {
			case n := <-lines:
				out(n)
				continue
			default:
			}
			select {
			case n := <-lines:
				out(n)
			case <-quit:
				return
			}
		}
	}()
	put = func(l slog.Level, line string) {
		select {
		case lines <- note{l, line}:
		default:
			left.Add(1)
		}
	}
	return put, func() {
		close(quit)
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}

func parseLevel(text string) (slog.Level, error) {
	var l slog.Level
	if text == "" {
		return slog.LevelWarn, nil
	}
	if err := l.UnmarshalText([]byte(text)); err != nil {
		return l, errors.New("debug, info, warn or error")
	}
	return l, nil
}

// logger writes lines from level on.
func logger(level slog.Level, write func(slog.Level, string)) *slog.Logger {
	return slog.New(&lineHandler{level: level, write: write})
}
