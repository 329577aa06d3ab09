package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Servers that are started for the first time together show the same key.
func TestHostKeyIsMadeOnce(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "state", "host_key")
		var shown sync.Map
		var starting sync.WaitGroup
		for range 8 {
			starting.Go(func() {
				key, err := hostKeyFor(path)
				if err != nil {
					t.Error(err)
					return
				}
				shown.Store(ssh.FingerprintSHA256(key.PublicKey()), true)
			})
		}
		starting.Wait()
		n := 0
		shown.Range(func(any, any) bool { n++; return true })
		if n > 1 {
			t.Fatalf("%d keys", n)
		}
	}
}

func TestHostKeyFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host_key")
	if _, err := hostKeyFor(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := hostKeyFor(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "0640") {
		t.Errorf("a host key that others can read: %v", err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := hostKeyFor(path); err != nil {
		t.Error(err)
	}
}
