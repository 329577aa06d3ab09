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
		"more": "Host \"five\"\n",
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
