package main

import (
	"context"
	"errors"
	"io"
	"net"
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

// A hint reaches the same remote: it says again what was said, and what a named remote
// knows only where its own folder would be in the way.
func TestFolderHint(t *testing.T) {
	store := configHome(t)
	named := config.Remote{Address: "u@files:in", Connection: config.Connection{Port: 2222, Identities: []string{"/k 1", "/k2"}, Keyring: true}}
	if err := store.Add("work", named); err != nil {
		t.Fatal(err)
	}
	said := config.Connection{Jump: "gate", Timeout: config.Duration(time.Minute), Retry: config.Duration(time.Hour)}
	for _, c := range []struct {
		given string
		said  config.Connection
		want  string
	}{
		{"u@h:2222", config.Connection{}, "a port is given by --port, not after the colon: u@h: --port 2222"},
		{"u@h:2222:x", said, "a port is given by --port, not after the colon: u@h:x --port 2222 --jump gate --timeout 1m0s"},
		{"u@h:2222/x", config.Connection{}, "a port is given by --port, not after the colon: u@h:/x --port 2222"},
		{"u@h:2222", config.Connection{Port: 7}, "remotemount browse u@h: --port 7 lists what is there"},
		{"u@h:99999/x", config.Connection{}, "remotemount browse u@h: lists what is there"},
		{"sftp://u@h:9/2222", config.Connection{}, "remotemount browse sftp://u@h:9/ lists what is there"},
		{"u@h:docs", said, "remotemount browse u@h: --jump gate --timeout 1m0s lists what is there"},
		{"u@h:/srv", config.Connection{User: "x"}, "remotemount browse u@h:/ --user x lists what is there"},
		{"work:/srv", said, "remotemount browse work:/ --jump gate --timeout 1m0s lists what is there"},
		{"work:2222", config.Connection{}, "remotemount browse u@files: --port 2222 --identity '/k 1' --identity /k2 --keyring lists what is there"},
	} {
		target, err := newTarget(c.given, c.said)
		if got := target.folderHint(); err != nil || got != c.want {
			t.Errorf("%s: %q, want %q; %v", c.given, got, c.want, err)
		}
	}
}

// What a remote makes of errors from below: commands that can be pasted.
func TestTargetExplains(t *testing.T) {
	store := configHome(t)
	if err := store.Add("work", config.Remote{Address: "u@files:in"}); err != nil {
		t.Fatal(err)
	}
	alias := config.Connection{Port: 7, Jump: "gate", KnownHosts: []string{"/kh"}, SSH: map[string]string{"HostKeyAlias": "name"}}
	unknown := func(host string) error {
		return &keys.HostKeyError{Host: host, Kind: keys.HostKeyUnknown, New: "SHA256:n"}
	}
	changed := func(host string) error {
		return &keys.HostKeyError{Host: host, Kind: keys.HostKeyChanged, New: "SHA256:n"}
	}
	for _, c := range []struct {
		given string
		said  config.Connection
		err   error
		key   string
		want  string
	}{
		{"wrok:x", config.Connection{}, &net.DNSError{Err: "no such host", IsNotFound: true}, "wrok", "did you mean work:x?"},
		{"zzz:x", config.Connection{}, &net.DNSError{Err: "no such host", IsNotFound: true}, "zzz", "check the name of the host, and the network"},
		{"u@h:x", config.Connection{Port: 7}, io.EOF, "[h]:7", "remotemount doctor u@h:x --port 7 looks step by step"},
		{"h:", alias, unknown("name"), "name", "compare the fingerprint with the administrator's, then give --host-key SHA256:n"},
		{"h:", alias, changed("name"), "name", "ask the administrator whether the key was changed; only then: remotemount hostkey accept name --known-hosts /kh --fingerprint SHA256:n"},
		{"h:", config.Connection{Port: 7, Jump: "gate"}, unknown("[h]:7"), "[h]:7", "compare the fingerprint with the administrator's, then: remotemount hostkey accept '[h]:7' --jump gate --fingerprint SHA256:n"},
		{"h:", config.Connection{Jump: "gate", SSHConfig: "/c"}, unknown("gate"), "h", "compare the fingerprint with the administrator's, then: remotemount hostkey accept gate --ssh-config /c --fingerprint SHA256:n"},
		{"work", config.Connection{Port: 7}, unknown("files"), "files", "compare the fingerprint with the administrator's, then: remotemount hostkey accept work --port 7 --fingerprint SHA256:n"},
	} {
		target, err := newTarget(c.given, c.said)
		if f := target.explain(c.err, c.key); err != nil || f.hint != c.want || !strings.HasPrefix(f.Error(), c.given+": ") {
			t.Errorf("%s: %v: %q, want %q; %v", c.given, f, f.hint, c.want, err)
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
