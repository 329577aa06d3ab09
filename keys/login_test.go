package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// newKeyFile writes an OpenSSH key and gives its path and public key.
func newKeyFile(t testing.TB, passphrase string) (string, ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id")
	content, err := lightCosts().marshal(&Key{Private: private, Comment: "test"}, FormatOpenSSH, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return file, public
}

func TestLogin(t *testing.T) {
	server := startSSHD(t)
	file, public := newKeyFile(t, "")
	server.authorize(public)
	cfg := server.config()
	cfg.Identities = []string{file}
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	stored, err := os.ReadFile(cfg.KnownHosts[0])
	if err != nil || !strings.Contains(string(stored), server.hostLines(ssh.KeyAlgoED25519)) {
		t.Fatalf("the host key was not stored: %q, %v", stored, err)
	}
	if info, err := os.Stat(cfg.KnownHosts[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("known_hosts: %v, %v", info, err)
	}
}

func TestLoginWithPassphraseAsksOnce(t *testing.T) {
	server := startSSHD(t)
	file, public := newKeyFile(t, "open sesame")
	server.authorize(public)
	cfg := server.config()
	prompt := &scripted{answers: []string{"wrong", "open sesame"}}
	cfg.Identities, cfg.Prompt = []string{file}, prompt
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := loginWith(t, client); err != nil {
			t.Fatal(err)
		}
	}
	if len(prompt.asked) != 2 || !strings.Contains(prompt.asked[0].Text, file) || prompt.asked[0].Echo {
		t.Fatalf("asked %+v", prompt.asked)
	}
}

func TestRefusedLogin(t *testing.T) {
	server := startSSHD(t)
	file, _ := newKeyFile(t, "")
	cfg := server.config()
	cfg.Identities = []string{file}
	err := login(t, cfg)
	var auth *AuthError
	if !errors.As(err, &auth) || !IsAuthFailure(err) || IsHostKeyFailure(err) {
		t.Fatalf("got %v", err)
	}
	if len(auth.Offered) != 1 || len(auth.Allowed) != 1 || auth.Allowed[0] != "publickey" {
		t.Fatalf("got %+v", auth)
	}
}

// The passphrase of a key the server does not take is nobody's business.
func TestPassphraseIsAskedOnlyForAcceptedKeys(t *testing.T) {
	server := startSSHD(t)
	file, _ := newKeyFile(t, "secret")
	cfg := server.config()
	prompt := &scripted{}
	cfg.Identities, cfg.Prompt = []string{file}, prompt
	if err := login(t, cfg); !IsAuthFailure(err) {
		t.Fatalf("got %v", err)
	}
	if len(prompt.asked) != 0 {
		t.Fatalf("asked %+v", prompt.asked)
	}
}

func TestOpenKeyFileIsRefused(t *testing.T) {
	file, _ := newKeyFile(t, "")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := isolated(t)
	cfg.Host, cfg.Identities = "host", []string{file}
	_, err := NewClient(t.Context(), cfg)
	var perm *PermissionError
	if !errors.As(err, &perm) || perm.Mode != 0o644 {
		t.Fatalf("got %v", err)
	}
}

// A key pasted on standard input, with what pasting does to it.
func TestIdentityFromStandardInput(t *testing.T) {
	server := startSSHD(t)
	file, public := newKeyFile(t, "")
	server.authorize(public)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.config()
	cfg.Identities = []string{"-"}
	cfg.Stdin = strings.NewReader("\r\n  " + strings.ReplaceAll(string(data), "\n", "\t\r\n ") + "\r\n\r\n")
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Stdin = strings.NewReader("not a key\n")
	if err := login(t, cfg); !errors.Is(err, ErrNotAKey) {
		t.Fatalf("got %v", err)
	}
	cfg.Stdin = nil
	if err := login(t, cfg); err == nil {
		t.Fatal("a key came out of nowhere")
	}
}
