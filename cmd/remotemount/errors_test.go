package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
)

// Every kind of error has its exit code and, where one can be named, its next
// step; also when it is wrapped.
func TestExplain(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{errors.New("anything"), exitFailed, ""},
		{usage("x"), exitUsage, ""},
		{fail(exitPartly, errors.New("x"), "again"), exitPartly, "again"},
		{&address.SyntaxError{Text: "x", Why: "y", Hint: "z"}, exitUsage, "z"},
		{&options.Error{Option: "x", Why: "y", Hint: "z"}, exitUsage, "z"},
		{&mountpoint.Error{Path: "x", Why: "y", Hint: "z"}, exitMountpoint, "z"},
		{&keys.HostKeyError{Host: "h", Kind: keys.HostKeyChanged, New: "SHA256:n"}, exitHostKey, "hostkey accept h --fingerprint SHA256:n"},
		{&keys.HostKeyError{Host: "[h]:22", Kind: keys.HostKeyUnknown, New: "SHA256:n"}, exitHostKey, "hostkey accept '[h]:22'"},
		{&keys.HostKeyError{Host: "h", Kind: keys.HostKeyMismatch, New: "SHA256:n"}, exitHostKey, "--host-key SHA256:n"},
		{&keys.HostKeyError{Host: "h", Kind: keys.HostKeyRevoked}, exitHostKey, "do not connect"},
		{&keys.AuthError{User: "u", Host: "h"}, exitAuth, "--identity"},
		{keys.ErrNoPrompt, exitAuth, "--password-file"},
		{keys.ErrWrongPassphrase, exitAuth, "ssh-add"},
		{keys.ErrPassphraseNeeded, exitAuth, "key convert"}, // ssh-add reads no .ppk
		{keys.ErrDamaged, exitAuth, "key inspect"},
		{&keys.PermissionError{File: "/a b"}, exitAuth, "chmod 600 '/a b'"},
		{pool.ErrNoSlot, exitUnreachable, "--max-connections"},
		{dial(syscall.ECONNREFUSED), exitUnreachable, "--port"},
		{dial(syscall.EHOSTUNREACH), exitUnreachable, "doctor"},
		{dial(&net.DNSError{Err: "no such host", Name: "h"}), exitUnreachable, "name"},
		{context.DeadlineExceeded, exitUnreachable, "--timeout"},
		{os.ErrDeadlineExceeded, exitUnreachable, "--timeout"},
		{errors.New("ssh: handshake failed: read: connection reset"), exitUnreachable, "SSH server"},
		{io.ErrUnexpectedEOF, exitUnreachable, "doctor"},
		{&fs.PathError{Op: "stat", Path: "x", Err: syscall.EACCES}, exitFailed, "let"},
		{&fs.PathError{Op: "open", Path: "/etc/x", Err: syscall.EACCES}, exitFailed, "ls -ld /etc/x"},
		{&fs.PathError{Op: "realpath", Path: "x", Err: syscall.ENOENT}, exitFailed, "browse"},
	} {
		f := explain(fmt.Errorf("mount h: at /m: %w", c.err))
		if f.code != c.code || c.hint == "" && f.hint != "" || !strings.Contains(f.hint, c.hint) {
			t.Errorf("%v: code %d, hint %q; want %d, %q", c.err, f.code, f.hint, c.code, c.hint)
		}
	}
}

// What the server says cannot move the cursor or begin a line of its own.
func TestPrint(t *testing.T) {
	var b strings.Builder
	f := &failure{1, errors.New("banner:\x1b[2J\r\nremotemount: hint: rm -rf /\u009b"), "try"}
	f.print(&b)
	want := "remotemount: error: banner:?[2J? remotemount: hint: rm -rf /?\nremotemount: hint: try\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"a/b": "a/b", "a b": "'a b'", "it's": `'it'\''s'`, "[h]:22": "'[h]:22'", "": "''", "u@h:": "u@h:"} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}
