package config

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzRemote: a file of a named remote is refused, or read; and what was read is
// written and read again as the same.
func FuzzRemote(f *testing.F) {
	f.Add([]byte("address = 'u@h:/x'\nport = 22\nidentity = ['a','b']\ntimeout = '30s'\n[ssh]\nCiphers = 'x'\n"))
	f.Add([]byte("address = 'sftp://h/'\nuser = '$(x)'\n"))
	f.Add([]byte("address = 'h:'\njump = 'a,b@c:1'\nhost_key_policy = 'ask'\nmax_connections = 99999\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		store, err := Open(func(name string) string {
			if name == "XDG_CONFIG_HOME" {
				return dir
			}
			return ""
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(store.file("r")), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(store.file("r"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := store.Get("r")
		if err != nil {
			return
		}
		if err := store.Replace("again", r); err != nil {
			t.Fatal(err)
		}
		if again, err := store.Get("again"); err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
