package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/keys"
)

// configHome gives the test a folder of named remotes of its own.
func configHome(t *testing.T) *config.Store {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	store, err := config.Open(getenv)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// Flags go before what stands in REMOTE, that before the named remote.
func TestTarget(t *testing.T) {
	store := configHome(t)
	named := config.Remote{Address: "kim@files:/srv", Connection: config.Connection{Port: 2222, User: "other", Jump: "gate"}}
	if err := store.Add("work", named); err != nil {
		t.Fatal(err)
	}
	if err := store.Add("url", config.Remote{Address: "sftp://kim@files:99/srv/"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		given string
		said  config.Connection
		want  target
	}{
		{"h:", config.Connection{}, target{host: "h"}},
		{"u@h:x", config.Connection{User: "flag", Port: 7}, target{host: "h", user: "flag", port: 7, dir: "x"}},
		{"sftp://u@h:9/x", config.Connection{}, target{host: "h", user: "u", port: 9, dir: "/x"}},
		{"sftp://u@h:9/x", config.Connection{Port: 8}, target{host: "h", user: "u", port: 8, dir: "/x"}},
		{"work", config.Connection{}, target{host: "files", user: "kim", port: 2222, dir: "/srv"}},
		{"work:sub", config.Connection{User: "flag"}, target{host: "files", user: "flag", port: 2222, dir: "/srv/sub"}},
		{"work:/abs", config.Connection{Port: 1}, target{host: "files", user: "kim", port: 1, dir: "/abs"}},
		{"url:sub", config.Connection{}, target{host: "files", user: "kim", port: 99, dir: "/srv/sub"}},
	} {
		got, err := newTarget(c.given, c.said)
		if err != nil || got.host != c.want.host || got.user != c.want.user || got.port != c.want.port || got.dir != c.want.dir {
			t.Errorf("%s with %+v: %s@%s port %d, folder %q, %v", c.given, c.said, got.user, got.host, got.port, got.dir, err)
		}
	}
	if got, err := newTarget("work", config.Connection{}); err != nil || got.conn.Jump != "gate" {
		t.Errorf("the jump host of the named remote: %+v, %v", got.conn, err)
	}
}

func TestFolderHint(t *testing.T) {
	for dir, want := range map[string]string{"2222": "--port 2222", "2222/x": "--port 2222", "docs": "browse u@h: lists", "/srv": "browse u@h:/ lists"} {
		if got := (target{user: "u", host: "h", dir: dir}).folderHint(); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", dir, got, want)
		}
	}
}

type slowPrompter struct{ takes time.Duration }

func (p slowPrompter) Ask(context.Context, keys.Prompt) (string, error) {
	time.Sleep(p.takes)
	return "answer", nil
}

// The time a person takes does not count against the server; the server's does.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patience{limit: 30 * time.Second}
		ctx, stop := p.start(t.Context())
		defer stop()
		time.Sleep(20 * time.Second)
		if _, err := (patientPrompter{slowPrompter{5 * time.Minute}, p}).Ask(ctx, keys.Prompt{}); err != nil || ctx.Err() != nil {
			t.Fatalf("after a slow answer: %v, %v", err, ctx.Err())
		}
		time.Sleep(29 * time.Second)
		if ctx.Err() != nil {
			t.Fatal("the clock did not start anew after the answer")
		}
		time.Sleep(2 * time.Second)
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Fatalf("after 31 s of silence: %v", context.Cause(ctx))
		}
	})
}
