package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
)

func TestShortStatus(t *testing.T) {
	well := control.Status{Remote: "docs", Mountpoint: "/docs", State: "connected"}
	away := control.Status{Remote: "nas", Mountpoint: "/nas", State: "away", LostFiles: 2}
	disabled := control.Status{Remote: "wo\nrk:", Mountpoint: "/work", State: "disabled", Hint: "mend it"}
	for want, all := range map[string][]control.Status{
		"": {well, {Remote: "x", State: "connecting"}},
		"nas away, lost data of 2 files; wo rk: disabled":                                                        {well, away, disabled},
		"nas away, lost data of 2 files; nas away, lost data of 2 files; nas away, lost data of 2 files; 2 more": {away, away, away, away, away},
	} {
		if got := shortStatus(all); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := troubles(disabled); len(got) != 1 || got[0].mend != "mend it" {
		t.Errorf("%+v", got)
	}
}

// Each trouble is shown once, with what mends it, and no more than one notice a minute.
func TestNotices(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	n := &notices{}
	s := control.Status{Remote: "kim@files:", Mountpoint: "/home/kim/a b", State: "connected",
		Lost: []control.Lost{{Path: "secret plan.txt"}}}
	for _, step := range []struct {
		at    time.Duration
		state string
		lost  uint64
		want  string // in the text; "" for no notice
	}{
		{0, "connected", 0, ""},
		{time.Second, "away", 0, "kim@files: away\nit goes on when the server is back; remotemount reconnect '/home/kim/a b' tries now"},
		{2 * time.Second, "away", 0, ""},
		{3 * time.Second, "connected", 0, ""},
		{4 * time.Second, "away", 0, ""}, // within the minute
		{61 * time.Second, "away", 0, "away"},
		{62 * time.Second, "disabled", 1, ""},
		{2*time.Minute + time.Second, "disabled", 1, "kim@files: disabled\nremotemount reconnect '/home/kim/a b'\nkim@files: lost data of 1 file\nremotemount status '/home/kim/a b' lists"},
		{time.Hour, "disabled", 1, ""},
		{time.Hour + time.Second, "connected", 1, ""},
		{2 * time.Hour, "connected", 3, "lost data of 3 files"},
	} {
		s.State, s.LostFiles = step.state, step.lost
		got, due := n.due(s, start.Add(step.at))
		if due != (step.want != "") || !strings.Contains(got.Text, step.want) || strings.Contains(got.Text, "secret") {
			t.Errorf("at %v: %v, %q; want %q", step.at, due, got.Text, step.want)
		}
	}
}

// A remote whose host key changed shows in the list with what mends it, also when it is
// not mounted; its neighbour does not.
func TestListShowsDisabledHosts(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	store := configHome(t)
	for name, host := range map[string]string{"work": "files.invalid:", "other": "other.invalid:"} {
		if err := store.Add(name, config.Remote{Address: host, Connection: config.Connection{SSHConfig: "none"}}); err != nil {
			t.Fatal(err)
		}
	}
	line := "files.invalid SHA256:old ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPFWEEkDQ5Jb95ar5rdpffp2cyu3oYezZGhBZi37TJFl 2026-11-26T12:00:00Z\n"
	if err := os.MkdirAll(filepath.Join(state, "remotemount"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "remotemount", "disabled-hosts"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := verb(t, "remote", "list")
	if code != 0 || strings.Count(out, "disabled") != 1 || !strings.Contains(out, "files.invalid:\n                 disabled: ask the administrator") ||
		!strings.Contains(out, "remotemount hostkey accept files.invalid ") {
		t.Errorf("%d %q %q", code, out, errOut)
	}
}
