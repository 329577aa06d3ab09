package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// The second signal ends a server that the first does not, because a request of it
// does not end.
func TestSecondSignalEnds(t *testing.T) {
	if os.Getenv("STUCK") != "" {
		ctx, stop := untilSignal(context.Background())
		defer stop()
		println("ready")
		<-ctx.Done()
		println("ending")
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestSecondSignalEnds$")
	child.Env = append(os.Environ(), "STUCK=1")
	out, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	var said bytes.Buffer
	until := func(word string) {
		buf := make([]byte, 64)
		for !strings.Contains(said.String(), word) {
			n, err := out.Read(buf)
			said.Write(buf[:n])
			if err != nil {
				t.Fatalf("%v after %q", err, said.String())
			}
		}
	}
	until("ready")
	_ = child.Process.Signal(syscall.SIGTERM)
	until("ending")
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for range 1500 { // the first comes right before the signals are let through
		_ = child.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err == nil || err.Error() != "signal: terminated" {
				t.Errorf("ended with %v", err)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("the second SIGTERM was not heard")
}

func publicKey(t *testing.T) string {
	t.Helper()
	signer, err := hostKeyFor(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
}

// The keys are those of the file as it is now; a bad line counts only at the start.
func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	one, two := publicKey(t), publicKey(t)
	write(one + "nonsense\n")
	if _, err := openKeyFile(path, log); err == nil {
		t.Error("a bad line at the start")
	}
	write(one)
	k, err := openKeyFile(path, log)
	if err != nil {
		t.Fatal(err)
	}
	read := func(want string) {
		t.Helper()
		keys, err := k.read()
		got := ""
		for _, key := range keys {
			got += string(ssh.MarshalAuthorizedKey(key))
		}
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	read(one)
	write(two) // of the same size
	read(two)
	write("nonsense\n" + one)
	read(one)
	read(one)
	if n := strings.Count(said.String(), "passed over"); n != 1 {
		t.Errorf("said %d times: %s", n, &said)
	}
	write("")
	read("")
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	read("")
}

// A pipe is read once.
func TestKeysFromAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if _, err := w.WriteString(publicKey(t)); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	k, err := openKeyFile(fmt.Sprintf("/dev/fd/%d", r.Fd()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if keys, err := k.read(); err != nil || len(keys) != 1 {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	}
}
