package sshconfig

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestHosts(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"config": "User kim\nInclude more\nHost one two *.example !bad\n  Port 22\nHost *\n  KnownHostsCommand /x\nHost one\n  GSSAPIAuthentication yes\n  Colour red\n" +
			"Host three\n  GSSAPIAuthentication no\nMatch host four\n  Port 4\n",
		"more": "RefuseConnection none\nHost \"five\"\n",
	} {
		if err := os.WriteFile(filepath.Join(home, ".ssh", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Hosts(context.Background(), Query{File: "~/.ssh/config", Home: home, LocalUser: "kim", Log: slog.New(slog.DiscardHandler)})
	want := []Named{{Name: "five"}, {Name: "one", Unusable: []string{"gssapiauthentication", "colour"}}, {Name: "two"}, {Name: "three"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// TestHostsOfTheSystem has the file that Debian 13 puts into /etc/ssh: its hosts are
// nobody's remotes.
func TestHostsOfTheSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ssh_config")
	text := "Host .host machine/.host\n  ProxyUseFdpass yes\nHost far\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[bool]int{true: 3, false: 0} {
		var got []Named
		c := &Config{query: Query{Log: slog.New(slog.DiscardHandler)}, values: map[string][]string{}}
		r := &reader{ctx: t.Context(), config: c, unknown: map[string]bool{}, named: &got}
		if err := r.file(file, source{folder: filepath.Dir(file), user: user}); err != nil || len(got) != want {
			t.Errorf("the user's %t: %+v, %v; want %d", user, got, err, want)
		}
	}
}
