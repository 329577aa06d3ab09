package sshprocess

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"ssh": "ssh", " ssh  -v ": "ssh|-v", `ssh -i /a\ b c`: "ssh|-i|/a b|c", `x "a b"`: `x|"a|b"`, `a\b`: `a\b`, "": "",
	} {
		if got := strings.Join(Words(in), "|"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestArguments(t *testing.T) {
	d, err := New(Config{Command: "ssh -v", Host: "h", Args: []string{"-p", "22"}, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("ssh -v -x -a -o ClearAllForwardings=yes -p 22 -o ServerAliveInterval=10 -o ServerAliveCountMax=3 -o BatchMode=yes -s -- h sftp")
	if got := d.arguments(true); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	d.config.SFTP, d.config.Timeout = "sudo /x", 0
	if got := d.arguments(false); !slices.Equal(got, []string{"ssh", "-v", "-x", "-a", "-o", "ClearAllForwardings=yes", "-p", "22", "--", "h", "sudo /x"}) {
		t.Errorf("%q", got)
	}
	if _, err := New(Config{Command: "  "}); err == nil {
		t.Error("no program is taken")
	}
}

// script makes a program of a shell script.
func script(t *testing.T, text string) *Dialer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Command: file, Host: "h", Batch: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// read dials, and reads the first bytes.
func read(t *testing.T, d *Dialer) (string, error) {
	t.Helper()
	c, err := d.Dial(t.Context())
	if err != nil {
		return "", err
	}
	defer c.Abort()
	stream, err := c.OpenSFTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenSFTP(t.Context()); err == nil {
		t.Error("a second session on one process")
	}
	b := make([]byte, 100)
	n, err := stream.Read(b)
	return string(b[:n]), err
}

func TestKindsOfEnd(t *testing.T) {
	for text, want := range map[string]Kind{
		"echo 'me@h: Permission denied (publickey).' >&2; exit 255":   AuthRefused,
		"echo 'Host key verification failed.' >&2; exit 255":          HostKey,
		"echo 'ssh: connect to host h: No route to host' >&2; exit 1": Away,
		"echo what >&2; exit 1":                                       Unclear,
		"exit 0":                                                      Unclear,
	} {
		_, err := read(t, script(t, text))
		if !IsKind(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	d, err := New(Config{Command: "/not/there", Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, d); !IsKind(err, Unusable) {
		t.Errorf("no program: %v", err)
	}
}

// What is not understood is tried three times in all.
func TestThreeTries(t *testing.T) {
	d := script(t, `printf 'a\033[2Jb\n c' >&2; exit 7`)
	for i, want := range []Kind{Unclear, Unclear, Unusable} {
		_, err := read(t, d)
		if !IsKind(err, want) || !strings.Contains(err.Error(), "(exit status 7): a?[2Jb c") {
			t.Errorf("try %d: %v", i+1, err)
		}
	}
}

// Where SFTP has been spoken, an outage in words that nobody knows is tried again as
// long as it takes, also one of this machine.
func TestTriesOfWhatHasWorked(t *testing.T) {
	d := script(t, `[ -e "$0.down" ] || { echo hello; exec cat; }; echo 'tunnel: gone' >&2; exit 1`)
	program := d.config.Command
	hello := func() {
		t.Helper()
		if got, err := read(t, d); got != "hello\n" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	hello()
	if err := os.WriteFile(program+".down", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 * tries {
		if _, err := read(t, d); !IsKind(err, Unclear) {
			t.Errorf("gone: %v", err)
		}
	}
	if err := os.Rename(program, program+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, d); !IsKind(err, Unclear) || !strings.Contains(err.Error(), "cannot be run") {
		t.Errorf("no program: %v", err)
	}
	if err := errors.Join(os.Rename(program+".old", program), os.Remove(program+".down")); err != nil {
		t.Fatal(err)
	}
	hello()
}

// The process, with what it started, ends with its connection, and a dial's
// context ends one that says nothing.
func TestProcessEnds(t *testing.T) {
	d := script(t, "sleep 1000 & exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	c, err := d.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.OpenSFTP(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stream); err == nil {
		t.Error("the stream ended in order")
	}
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the process goes on")
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("a process that has ended answers")
	}
}
