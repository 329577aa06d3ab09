package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys"
)

// A hostOnly is a server that shows its host key and takes no login.
type hostOnly struct {
	name string // as in known_hosts
	key  ssh.PublicKey
}

func startHostOnly(t *testing.T) hostOnly {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, fmt.Errorf("no") }}
	config.AddHostKey(signer)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _, _, _ = ssh.NewServerConn(nc, config)
				_ = nc.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return hostOnly{keys.HostName("127.0.0.1", l.Addr().(*net.TCPAddr).Port), signer.PublicKey()}
}

func knownHosts(t *testing.T, home, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh/known_hosts"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestHostkeyVerbs(t *testing.T) {
	home := ownHome(t)
	server := startHostOnly(t)
	fingerprint := ssh.FingerprintSHA256(server.key)
	expect := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, out, errOut := verb(t, append([]string{"hostkey"}, args...)...)
		if code != wantCode || !strings.Contains(out+errOut, want) {
			t.Errorf("%q: exit %d, %q %q; want %d, %q", args, code, out, errOut, wantCode, want)
		}
	}
	expect(0, fingerprint+"  (not known)", "scan", server.name)
	expect(0, "", "list")
	expect(exitFailed, "nothing is on file", "show", server.name)
	expect(exitFailed, "nothing is on file", "forget", server.name)
	wrong := "SHA256:" + strings.Repeat("A", 43)
	expect(exitHostKey, "no key with the fingerprint", "accept", server.name, "--fingerprint", wrong)
	expect(exitUsage, "not a SHA-256 fingerprint", "accept", server.name, "--fingerprint", "SHA256:abc")
	expect(0, "is accepted", "accept", server.name, "--fingerprint", fingerprint)
	expect(0, fingerprint+"  (known)", "scan", server.name)
	expect(0, fingerprint, "list")
	expect(0, fingerprint, "show", server.name)
	expect(0, "is forgotten", "forget", server.name)
	answers(t, "no")
	expect(exitHostKey, "not accepted", "accept", server.name)
	answers(t, "yes")
	expect(0, "is accepted", "accept", server.name)
	_, port, _ := strings.Cut(server.name, "]:")
	expect(0, fingerprint, "show", "127.0.0.1", "--port", port)
	expect(0, fingerprint, "show", "sftp://somebody@127.0.0.1:"+port+"/")
	other := startHostOnly(t)
	knownHosts(t, home, server.name+" "+keys.PublicLine(other.key, "")+"\n")
	expect(0, "ANOTHER KEY IS ON FILE", "scan", server.name)
}

// A host that was disabled: told by list and show, and let in again without the
// network when the fingerprint compared is the one it was disabled for.
func TestHostkeyAcceptOfDisabledHost(t *testing.T) {
	home := ownHome(t)
	old, now := startHostOnly(t), startHostOnly(t)
	knownHosts(t, home, now.name+" "+keys.PublicLine(old.key, "")+"\n")
	before := fmt.Sprintf("%s %s %s 2026-01-02T03:04:05Z\n", now.name, ssh.FingerprintSHA256(old.key), keys.PublicLine(now.key, ""))
	state := filepath.Join(home, "state/remotemount")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, accepted := range []hostOnly{old, now} {
		if err := os.WriteFile(filepath.Join(state, "disabled-hosts"), []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"list"}, {"show", now.name}} {
			_, out, _ := verb(t, append([]string{"hostkey"}, args...)...)
			if !strings.Contains(out, "DISABLED") || !strings.Contains(out, ssh.FingerprintSHA256(now.key)) || !strings.Contains(out, ssh.FingerprintSHA256(old.key)) {
				t.Errorf("%q: %q", args, out)
			}
		}
		code, _, errOut := verb(t, "hostkey", "accept", now.name, "--fingerprint", ssh.FingerprintSHA256(accepted.key))
		if code != 0 {
			t.Fatalf("%d %q", code, errOut)
		}
		_, out, _ := verb(t, "hostkey", "show", now.name)
		if strings.Contains(out, "DISABLED") || !strings.Contains(out, ssh.FingerprintSHA256(accepted.key)) || strings.Count(out, "\n") != 1 {
			t.Errorf("after accept: %q", out)
		}
	}
}
