package keys

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// startAgent runs a real ssh-agent with the given key files in it.
func startAgent(t testing.TB, files ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command(needTool(t, "ssh-agent"), "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 200 {
		if nc, err := net.Dial("unix", socket); err == nil {
			_ = nc.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, file := range files {
		add := exec.Command(needTool(t, "ssh-add"), "-q", file)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v\n%s", err, out)
		}
	}
	return socket
}

// Ten wrong keys in the agent before the right one: with IdentitiesOnly only the
// right one is offered, whether its file is there or only its public half; and
// also without, because a key the user named comes first.
func TestFullAgent(t *testing.T) {
	server := startSSHD(t, "MaxAuthTries 6")
	var files []string
	var right ssh.PublicKey
	for range 11 {
		file, public := newKeyFile(t, "")
		files, right = append(files, file), public
	}
	server.authorize(right)
	socket := startAgent(t, files...)
	file := files[10]
	public := filepath.Join(t.TempDir(), "id.pub")
	if err := os.WriteFile(public, ssh.MarshalAuthorizedKey(right), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		identities []string
		only       bool
		works      bool
	}{
		{"IdentitiesOnly, private file", []string{file}, true, true},
		{"IdentitiesOnly, public file", []string{public}, true, true},
		{"IdentitiesOnly, public file not there but beside", []string{public[:len(public)-4]}, true, true},
		{"named", []string{file}, false, true},
		{"not named", nil, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := server.config()
			cfg.Agent, cfg.Identities = socket, tt.identities
			if tt.only {
				cfg.Options = []string{"IdentitiesOnly=yes"}
			}
			err := login(t, cfg)
			if (err == nil) != tt.works {
				t.Fatalf("got %v", err)
			}
			if err != nil && !IsAuthFailure(err) {
				t.Fatalf("not told as a refusal: %v", err)
			}
		})
	}
}

// RSA keys in the agent sign with SHA-2.
func TestAgentRSA(t *testing.T) {
	server := startSSHD(t, "PubkeyAcceptedAlgorithms rsa-sha2-256,rsa-sha2-512")
	kit := newToolkit(t)
	file := kit.generate("rsa")
	public, err := readPublicKey(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	server.authorize(public)
	cfg := server.config()
	cfg.Agent = startAgent(t, file)
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
}

// SHA-1 is used only when asked for.
func TestSHA1OnlyWhenAsked(t *testing.T) {
	server := startSSHD(t, "PubkeyAcceptedAlgorithms ssh-rsa")
	kit := newToolkit(t)
	file := kit.generate("rsa")
	public, err := readPublicKey(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	server.authorize(public)
	for _, sha1 := range []bool{false, true} {
		for _, agent := range []string{"none", startAgent(t, file)} {
			cfg := server.config()
			cfg.Identities, cfg.Agent, cfg.Options = []string{file}, agent, nil
			if sha1 {
				cfg.Options = []string{"PubkeyAcceptedAlgorithms=+ssh-rsa"}
			}
			if err := login(t, cfg); (err == nil) != sha1 {
				t.Errorf("SHA-1 %v, agent %s: %v\n%s", sha1, agent, err, server.log)
			}
		}
	}
}

// An agent that accepts connections and says nothing does not hang the login.
func TestSilentAgent(t *testing.T) {
	server := startSSHD(t)
	file, public := newKeyFile(t, "")
	server.authorize(public)
	socket := filepath.Join(t.TempDir(), "silent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	cfg := server.config()
	cfg.Agent, cfg.Identities = socket, []string{file}
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
}

func currentUser(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// A certificate beside the key logs in where only the authority is known.
func TestUserCertificate(t *testing.T) {
	kit := newToolkit(t)
	ca := kit.generate("ed25519")
	server := startSSHD(t, "TrustedUserCAKeys "+ca+".pub")
	for _, kind := range []string{"rsa", "ecdsa256", "ed25519"} {
		file := kit.generate(kind)
		run(t, "", "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", currentUser(t), file+".pub")
		for _, agent := range []string{"none", startAgent(t, file)} {
			cfg := server.config()
			cfg.Identities, cfg.Agent = []string{file}, agent
			if err := login(t, cfg); err != nil {
				t.Errorf("%s, agent %s: %v", kind, agent, err)
			}
		}
		cert := kit.file("cert")
		if err := os.Rename(file+"-cert.pub", cert); err != nil {
			t.Fatal(err)
		}
		cfg := server.config()
		cfg.Identities = []string{file}
		if err := login(t, cfg); !IsAuthFailure(err) {
			t.Errorf("%s without its certificate: %v", kind, err)
		}
		cfg.Options = []string{"CertificateFile=" + cert}
		if err := login(t, cfg); err != nil {
			t.Errorf("%s with a certificate named: %v", kind, err)
		}
	}
}

// A certificate that is named logs in with a key that only the agent has, also where
// nothing but what is named may be offered.
func TestCertificateForAnAgentKey(t *testing.T) {
	kit := newToolkit(t)
	ca, file := kit.generate("ed25519"), kit.generate("ed25519")
	server := startSSHD(t, "TrustedUserCAKeys "+ca+".pub")
	run(t, "", "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", currentUser(t), file+".pub")
	cert := kit.file("cert")
	if err := os.Rename(file+"-cert.pub", cert); err != nil {
		t.Fatal(err)
	}
	socket := startAgent(t, file)
	for _, only := range []string{"no", "yes"} {
		cfg := server.config()
		cfg.Agent, cfg.Options = socket, []string{"CertificateFile=" + cert, "IdentitiesOnly=" + only}
		if err := login(t, cfg); err != nil {
			t.Errorf("IdentitiesOnly %s: %v", only, err)
		}
	}
}

// A private key file that others can read, or that we cannot, is not used, and still
// names the key that the agent has.
func TestIdentityNamesAgentKey(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startSSHD(t)
	server.authorize(public)
	socket := startAgent(t, file)
	if err := os.WriteFile(file+".pub", ssh.MarshalAuthorizedKey(public), 0o644); err != nil {
		t.Fatal(err)
	}
	for mode, beside := range map[os.FileMode]bool{0o644: false, 0o640: true, 0: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if !beside {
			if err := os.Rename(file+".pub", file+".away"); err != nil {
				t.Fatal(err)
			}
		}
		for agent, works := range map[string]bool{socket: true, "none": mode == 0 && os.Getuid() == 0} {
			cfg := server.config()
			cfg.Agent, cfg.Options = agent, []string{"IdentityFile=" + file, "IdentitiesOnly=yes"}
			if err := login(t, cfg); (err == nil) != works || err != nil && !IsAuthFailure(err) {
				t.Errorf("mode %o, agent %s: %v", mode, agent, err)
			}
		}
		if !beside {
			if err := os.Rename(file+".away", file+".pub"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := server.config()
	cfg.Agent, cfg.Identities = socket, []string{file}
	var open *PermissionError
	if err := login(t, cfg); !errors.As(err, &open) {
		t.Errorf("named in the call: %v", err)
	}
}
