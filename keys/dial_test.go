package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestMain lets the test binary be a proxy command.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "test-proxy" {
		nc, err := net.Dial("tcp", net.JoinHostPort(os.Args[2], os.Args[3]))
		if err != nil {
			os.Exit(1)
		}
		go func() {
			_, _ = io.Copy(nc, os.Stdin)
			os.Exit(0)
		}()
		_, _ = io.Copy(os.Stdout, nc)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Through two real servers to a third: each host key is checked, each login is
// made, and closing takes all of it down.
func TestProxyJump(t *testing.T) {
	file, public := newKeyFile(t, "")
	servers := []*sshd{startSSHD(t), startSSHD(t), startSSHD(t)}
	var known strings.Builder
	for _, s := range servers {
		s.authorize(public)
		known.WriteString(s.hostLines())
	}
	last := servers[2]
	cfg := last.config()
	cfg.Identities, cfg.Policy = []string{file}, PolicyStrict
	cfg.Jump = []string{"127.0.0.1:" + fmt.Sprint(servers[0].port), fmt.Sprintf("ssh://%s@127.0.0.1:%d", currentUser(t), servers[1].port)}
	write := func(text string) {
		if err := os.WriteFile(cfg.KnownHosts[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(known.String())
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		if !strings.Contains(s.log.String(), "Accepted publickey") {
			t.Errorf("nobody logged in at server %d", i)
		}
		write(strings.Replace(known.String(), s.hostLines(), "", 1))
		var e *HostKeyError
		if err := login(t, cfg); !errors.As(err, &e) || e.Host != hostName("127.0.0.1", s.port) {
			t.Errorf("server %d not known: %v", i, err)
		}
	}
}

// A deadline works through a jump host too, where the library has none.
func TestDeadlineThroughJump(t *testing.T) {
	file, public := newKeyFile(t, "")
	jump := startSSHD(t)
	jump.authorize(public)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	cfg := jump.config()
	cfg.Port = silent.Addr().(*net.TCPAddr).Port
	cfg.Identities, cfg.Jump = []string{file}, []string{fmt.Sprintf("127.0.0.1:%d", jump.port)}
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := client.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := nc.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
	if l, ok := nc.(interface{ SetLinger(int) error }); !ok {
		t.Fatal("cannot be reset")
	} else if err := l.SetLinger(0); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	_ = nc.Close()
}

func TestProxyCommand(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startSSHD(t)
	server.authorize(public)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.config()
	cfg.Identities = []string{file}
	cfg.Options = []string{"ProxyCommand=" + self + " test-proxy %h %p"}
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Options = []string{"ProxyCommand=sh -c 'echo the way is blocked >&2; exit 3'"}
	if err := login(t, cfg); err == nil || !strings.Contains(err.Error(), "exit status 3: the way is blocked") {
		t.Fatalf("a proxy command that fails: %v", err)
	}
}

// The user's shell reads the command, as with ssh.
func TestProxyCommandShell(t *testing.T) {
	shell := filepath.Join(t.TempDir(), "shell")
	if err := os.WriteFile(shell, []byte("#!/bin/sh\necho \"read by $0: $2\" >&2\nexit 4\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SHELL", shell)
	cfg := isolated(t)
	cfg.Host, cfg.Options = "h", []string{"ProxyCommand=nc %h"}
	if err := login(t, cfg); err == nil || !strings.Contains(err.Error(), "read by "+shell+": exec nc h") {
		t.Errorf("got %v", err)
	}
}

func TestBindAddress(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startSSHD(t)
	server.authorize(public)
	cfg := server.config()
	cfg.Identities, cfg.BindAddress = []string{file}, "127.0.0.7"
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(server.log.String(), "Connection from 127.0.0.7 ") {
		t.Errorf("the server saw another address:\n%s", server.log)
	}
}

// A server that accepts and says nothing is given up with the context.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	cfg := isolated(t)
	cfg.Host, cfg.Port = "127.0.0.1", l.Addr().(*net.TCPAddr).Port
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, _, err := client.connect(ctx); !errors.Is(err, context.DeadlineExceeded) || IsAuthFailure(err) {
		t.Fatalf("got %v", err)
	}
	if time.Since(start) > 5*time.Second {
		t.Fatal("took too long")
	}
}

func TestScanHostKeys(t *testing.T) {
	server := startSSHD(t)
	client, err := NewClient(t.Context(), server.config())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := client.ScanHostKeys(context.Background())
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, k := range keys {
		if want := server.hostKeys[k.Type()]; want == nil || !sameKey(want, k) {
			t.Errorf("%s is not the server's", k.Type())
		}
	}
	if list, err := client.Hosts().List(); err != nil || len(list) != 0 {
		t.Fatalf("scanning stored something: %v, %v", list, err)
	}
}

// A server that signs with SHA-1 alone is found by a pinned fingerprint, and scanned,
// where ssh-rsa is named.
func TestScanOldServer(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startSSHD(t, "HostKeyAlgorithms ssh-rsa")
	server.authorize(public)
	key := server.hostKeys[ssh.KeyAlgoRSA]
	for option, works := range map[string]bool{"HostKeyAlgorithms=+ssh-rsa": true, "HostKeyAlgorithms=+ssh-dss": false} {
		cfg := server.config()
		cfg.Identities, cfg.Options, cfg.HostKeys = []string{file}, []string{option}, []string{ssh.FingerprintSHA256(key)}
		if err := login(t, cfg); (err == nil) != works {
			t.Errorf("%s: %v", option, err)
		}
		client, err := NewClient(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		found, err := client.ScanHostKeys(t.Context())
		if (err == nil) != works || works && (len(found) != 1 || !sameKey(found[0], key)) {
			t.Errorf("scan with %s: %v, %v", option, found, err)
		}
	}
}

func TestJumpCircle(t *testing.T) {
	cfg := isolated(t)
	cfg.ConfigFile = filepath.Join(cfg.Home, "config")
	if err := os.WriteFile(cfg.ConfigFile, []byte("Host a\nProxyJump b\nHost b\nProxyJump a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Host = "a"
	if _, err := NewClient(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Fatalf("got %v", err)
	}
}

// Unlocking is shared with jump hosts: one key, one question.
func TestJumpSharesPassphrases(t *testing.T) {
	file, public := newKeyFile(t, "sesame")
	jump, server := startSSHD(t), startSSHD(t)
	jump.authorize(public)
	server.authorize(public)
	cfg := server.config()
	prompt := &scripted{answers: []string{"sesame"}}
	cfg.Identities, cfg.Prompt, cfg.Jump = []string{file}, prompt, []string{fmt.Sprintf("127.0.0.1:%d", jump.port)}
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	if len(prompt.asked) != 1 {
		t.Errorf("asked %s", texts(prompt.asked))
	}
	stored, err := readKnownHosts(cfg.KnownHosts, slog.New(slog.DiscardHandler))
	if err != nil || len(stored) != 2 {
		t.Fatalf("%v, %v", stored, err)
	}
}
