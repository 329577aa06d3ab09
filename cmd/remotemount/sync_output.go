package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	remotesync "github.com/remotemount/remotemount/sync"
)

// A syncOutput tells of a sync: problems on standard error, the plan of a dry
// run and the summary on standard output, and how far it is where a person looks
// on. Events come one at a time.
type syncOutput struct {
	out, err io.Writer
	json     *json.Encoder // nil: for people
	verbose  bool
	quiet    bool
	screen   *os.File // where progress is shown; nil for nowhere
	shown    bool     // a line of progress stands on the screen
	log      *slog.Logger
	logFile  *os.File // nil without --log-file
}

func newSyncOutput(c *cli.Context, mode remotesync.Mode) (*syncOutput, error) {
	o := &syncOutput{out: c.App.Writer, err: c.App.ErrWriter, verbose: c.Bool("verbose") || c.Bool("dry-run"), quiet: c.Bool("quiet")}
	if c.Bool("json") {
		o.json = json.NewEncoder(o.out)
	} else if f, ok := o.err.(*os.File); ok && !o.quiet && term.IsTerminal(int(f.Fd())) {
		o.screen = f
	}
	if name := c.String("log-file"); name != "" {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		o.logFile = f
		o.log = logger(slog.LevelInfo, writeFile(f)).With("sync", mode.String())
	}
	return o, nil
}

func (o *syncOutput) close() error {
	if o.logFile == nil {
		return nil
	}
	return o.logFile.Close()
}

func (o *syncOutput) event(e remotesync.Event) {
	o.logEvent(e)
	if o.json != nil {
		_ = o.json.Encode(e) // nobody reads on; the run goes on
		return
	}
	switch e.Kind {
	case remotesync.EventProgress:
		o.progress(e.Progress)
	case remotesync.EventResult:
		if !o.quiet {
			o.say(o.out, strings.TrimSuffix(e.Result.Summary(), "\n"))
		}
	case remotesync.EventFailed, remotesync.EventConflict:
		o.say(o.err, "remotemount: "+e.Text())
	default:
		if text := e.Text(); text != "" && o.verbose && !o.quiet {
			o.say(o.out, text)
		}
	}
}

func (o *syncOutput) say(w io.Writer, text string) {
	o.finish()
	_, _ = fmt.Fprintln(w, text) // nowhere else to say it
}

func (o *syncOutput) logEvent(e remotesync.Event) {
	if o.log == nil || e.Kind == remotesync.EventProgress {
		return
	}
	switch text := e.Text(); {
	case e.Kind == remotesync.EventResult:
		o.log.Info(strings.ReplaceAll(strings.TrimSpace(e.Result.Summary()), "\n", "; "))
	case e.Kind == remotesync.EventFailed, e.Kind == remotesync.EventConflict:
		o.log.Warn(text)
	case text != "":
		o.log.Info(text)
	}
}

// progress keeps one line at the bottom of the terminal up to date.
func (o *syncOutput) progress(p remotesync.Progress) {
	if o.screen == nil {
		return
	}
	width, _, err := term.GetSize(int(o.screen.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	text := progressText(p)
	if len(text) >= width {
		text = text[:width-1]
	}
	_, _ = fmt.Fprintf(o.screen, "\r\x1b[K%s", text) // it is only a display
	o.shown = true
}

func progressText(p remotesync.Progress) string {
	parts := []string{
		fmt.Sprintf("%d of %d files", p.Files, p.FilesTotal),
		fmt.Sprintf("%s of %s", remotesync.Bytes(p.Bytes), remotesync.Bytes(p.BytesTotal)),
		remotesync.Bytes(p.Rate) + "/s",
	}
	switch left := p.Left(); {
	case !p.Scanned:
		parts = append(parts, fmt.Sprintf("%d names compared", p.Seen))
	case left > 0:
		parts = append(parts, left.Round(time.Second).String()+" left")
	}
	if p.Problems > 0 {
		parts = append(parts, fmt.Sprintf("%d problems", p.Problems))
	}
	return strings.Join(parts, ", ")
}

// finish takes the line of progress away.
func (o *syncOutput) finish() {
	if o.shown {
		_, _ = fmt.Fprint(o.screen, "\r\x1b[K") // it is only a display
		o.shown = false
	}
}
