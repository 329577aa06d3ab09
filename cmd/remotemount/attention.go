package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/desktop"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
)

// What a person should know of a mount without having asked: that it is disabled or
// away, or has lost data. It shows in status, in remote list, in the one line of status
// --short, and once on the desktop.

// A trouble is one of those, with what mends it.
type trouble struct {
	kind       string // disabled, away or lost
	what, mend string
	urgent     bool // it does not pass by itself
}

func troubles(s control.Status) (out []trouble) {
	at := shellQuote(s.Mountpoint)
	switch s.State {
	case pool.StateDisabled.String():
		out = append(out, trouble{"disabled", "disabled", first(s.Hint, "remotemount reconnect "+at), true})
	case pool.StateAway.String():
		out = append(out, trouble{"away", "away", "it goes on when the server is back; remotemount reconnect " + at + " tries now", false})
	}
	if s.LostFiles > 0 {
		out = append(out, trouble{"lost", fmt.Sprintf("lost data of %d %s", s.LostFiles, plural(s.LostFiles, "file", "files")),
			"remotemount status " + at + " lists them, to be written again", true})
	}
	return out
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// shortMounts is how many mounts the short line names.
const shortMounts = 3

// shortStatus is one line for a prompt; "" when all is well.
func shortStatus(all []control.Status) string {
	var parts []string
	for _, s := range all {
		var what []string
		for _, t := range troubles(s) {
			what = append(what, t.what)
		}
		if len(what) > 0 {
			parts = append(parts, oneLine(s.Remote)+" "+strings.Join(what, ", "))
		}
	}
	if more := len(parts) - shortMounts; more > 0 {
		parts = append(parts[:shortMounts], fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, "; ")
}

// attentionOf is what is to be known of a named remote, a line each.
func attentionOf(ctx context.Context, name string, mounts []control.Status, someDisabled bool) (lines []string) {
	disabled := false
	for _, s := range mounts {
		if of, _, _ := strings.Cut(s.Remote, ":"); of != name {
			continue
		}
		for _, t := range troubles(s) {
			lines = append(lines, fmt.Sprintf("%s at %s: %s", t.what, s.Mountpoint, t.mend))
			disabled = disabled || s.State == pool.StateDisabled.String()
		}
	}
	if someDisabled && !disabled {
		if hint := standingRefusal(ctx, name); hint != "" {
			lines = append(lines, "disabled: "+hint)
		}
	}
	return lines
}

// standingRefusal is what to do about a remote whose host key changed; "" where it did
// not. Nothing is asked of the network.
func standingRefusal(ctx context.Context, name string) string {
	t, err := newTarget(name, config.Connection{})
	if err != nil || t.conn.SSHCommand != "" {
		return "" // list itself tells what is wrong with it
	}
	client, err := keys.NewClient(ctx, t.clientConfig(nil, slog.New(slog.DiscardHandler)))
	if err != nil {
		return ""
	}
	blocked := client.Blocked()
	if !keys.IsHostKeyFailure(blocked) {
		return ""
	}
	return t.explain(blocked, client.Settings().HostKeyName).hint
}

// noticePause is the time between two notices of a mount.
const noticePause = time.Minute

// notices decides what of a mount is to be shown on the desktop, and when: each trouble
// once, and no more than one notice in a noticePause.
type notices struct {
	state string // the trouble that was told; "" since the last connection
	lost  uint64 // so many lost files were told
	last  time.Time
}

// due gives the notice that is to be shown now.
func (n *notices) due(s control.Status, now time.Time) (desktop.Notice, bool) {
	if s.State == pool.StateConnected.String() {
		n.state = ""
	}
	var news []trouble
	for _, t := range troubles(s) {
		if told := t.kind == n.state || t.kind == "lost" && s.LostFiles == n.lost; !told {
			news = append(news, t)
		}
	}
	if len(news) == 0 || !n.last.IsZero() && now.Sub(n.last) < noticePause {
		return desktop.Notice{}, false
	}
	n.last, n.lost = now, s.LostFiles
	notice := desktop.Notice{Title: "A mounted folder needs attention"}
	var text []string
	for _, t := range news {
		if t.kind != "lost" {
			n.state = t.kind
		}
		notice.Urgent = notice.Urgent || t.urgent
		text = append(text, oneLine(s.Remote+" "+t.what)+"\n"+oneLine(t.mend))
	}
	notice.Text = strings.Join(text, "\n")
	return notice, true
}

// noticeEvery is how often a mount is looked at for them.
const noticeEvery = time.Second

// notify shows on the desktop what happens to the mount, for its life. Without a
// desktop there is nothing to do, and a notice that fails is no reason to try again.
func (r *running) notify() {
	tick := time.NewTicker(noticeEvery)
	defer tick.Stop()
	told := &notices{}
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		if p := r.link.pool.Status(); p.State == pool.StateConnecting || p.State == pool.StateConnected && told.state == "" && p.LostCount == told.lost {
			continue
		}
		notice, due := told.due(r.status(), time.Now())
		if !due {
			continue
		}
		address, err := desktop.Address(getenv)
		if err == nil {
			err = desktop.Show(r.ctx, address, notice)
		}
		if err != nil {
			r.host.log.Debug("no notice on the desktop", "err", err)
		}
	}
}
