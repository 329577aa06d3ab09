package integration

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestHostKeys logs in at servers that show host certificates, and keys of another
// type than is on file, from end to end. Exit code 4 is a host key that is not
// taken; then the server must not have seen a login.
func TestHostKeys(t *testing.T) {
	s := newSite(t, ordinary(t))
	authority, other := newSigner(t), newSigner(t)
	public := s.writeHostKey(t, "ecdsa_key")
	valid := ssh.Certificate{
		Key: public, CertType: ssh.HostCert, KeyId: "host", ValidPrincipals: []string{"127.0.0.1"},
		ValidAfter: uint64(time.Now().Add(-time.Hour).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
	}
	line := func(format string, key ssh.PublicKey) string {
		return fmt.Sprintf(format, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))) + "\n"
	}
	const good, refused = 0, 4
	for name, tc := range map[string]struct {
		change func(*ssh.Certificate)
		known  func(place string, plain ssh.PublicKey) string
		flags  []string
		want   int
	}{
		"by its authority":                   {nil, func(p string, _ ssh.PublicKey) string { return line("@cert-authority "+p+" %s", authority.PublicKey()) }, nil, good},
		"by an authority for all":            {nil, func(string, ssh.PublicKey) string { return line("@cert-authority * %s", authority.PublicKey()) }, nil, good},
		"by another authority":               {nil, func(p string, _ ssh.PublicKey) string { return line("@cert-authority "+p+" %s", other.PublicKey()) }, nil, refused},
		"by an authority for others":         {nil, func(string, ssh.PublicKey) string { return line("@cert-authority *.example %s", authority.PublicKey()) }, nil, refused},
		"the authority's key as a plain one": {nil, func(p string, _ ssh.PublicKey) string { return line(p+" %s", authority.PublicKey()) }, nil, refused},
		"expired":                            {func(c *ssh.Certificate) { c.ValidBefore = c.ValidAfter + 1 }, func(p string, _ ssh.PublicKey) string { return line("@cert-authority "+p+" %s", authority.PublicKey()) }, nil, refused},
		"not yet valid":                      {func(c *ssh.Certificate) { c.ValidAfter = c.ValidBefore - 1 }, func(p string, _ ssh.PublicKey) string { return line("@cert-authority "+p+" %s", authority.PublicKey()) }, nil, refused},
		"of another host":                    {func(c *ssh.Certificate) { c.ValidPrincipals = []string{"elsewhere"} }, func(p string, _ ssh.PublicKey) string { return line("@cert-authority "+p+" %s", authority.PublicKey()) }, nil, refused},
		"of an authority that was revoked": {nil, func(p string, _ ssh.PublicKey) string {
			return line("@cert-authority "+p+" %s", authority.PublicKey()) + line("@revoked * %s", authority.PublicKey())
		}, nil, refused},
		"of a host whose key was revoked": {nil, func(p string, _ ssh.PublicKey) string {
			return line("@cert-authority "+p+" %s", authority.PublicKey()) + line("@revoked * %s", public)
		}, nil, refused},
		"a plain key on file":                    {nil, func(p string, plain ssh.PublicKey) string { return line(p+" %s", plain) }, nil, good},
		"a plain key on file that was revoked":   {nil, func(p string, plain ssh.PublicKey) string { return line(p+" %s", plain) + line("@revoked * %s", plain) }, nil, refused},
		"another key on file, of the same type":  {nil, func(p string, _ ssh.PublicKey) string { return line(p+" %s", other.PublicKey()) }, []string{"--host-key-policy", "auto"}, refused},
		"nothing on file":                        {nil, func(string, ssh.PublicKey) string { return "\n" }, nil, refused},
		"nothing on file, and every key is good": {nil, func(string, ssh.PublicKey) string { return "\n" }, []string{"--host-key-policy", "auto"}, good},
		"pinned":                                 {nil, func(string, ssh.PublicKey) string { return "\n" }, []string{"--host-key", "PLAIN"}, good},
		"pinned to its key of another type":      {nil, func(string, ssh.PublicKey) string { return "\n" }, []string{"--host-key", ssh.FingerprintSHA256(public)}, good},
		"pinned to another":                      {nil, func(p string, plain ssh.PublicKey) string { return line(p+" %s", plain) }, []string{"--host-key", ssh.FingerprintSHA256(other.PublicKey())}, refused},
	} {
		t.Run(name, func(t *testing.T) {
			cert := valid
			if tc.change != nil {
				tc.change(&cert)
			}
			must(t, cert.SignCert(rand.Reader, authority))
			must(t, s.WriteFile("ecdsa_key-cert.pub", ssh.MarshalAuthorizedKey(&cert), 0o644))
			server, err := s.StartSSHD("HostKey "+s.Path("ecdsa_key"), "HostCertificate "+s.Path("ecdsa_key-cert.pub"))
			must(t, err)
			defer func() { must(t, server.Kill()) }()
			place := fmt.Sprintf("[127.0.0.1]:%d", server.Port)
			must(t, s.WriteFile("known", []byte(tc.known(place, server.HostKey)), 0o600))
			args := []string{"browse", "--port", strconv.Itoa(server.Port), "--identity", server.Identity, "--known-hosts", s.Path("known"),
				"--ssh-config", "none"}
			if len(tc.flags) == 0 || tc.flags[0] != "--host-key-policy" {
				args = append(args, "--host-key-policy", "strict")
			}
			for _, flag := range tc.flags {
				args = append(args, strings.Replace(flag, "PLAIN", ssh.FingerprintSHA256(server.HostKey), 1))
			}
			_, stderr, code := s.run(t, binary, append(args, server.User+"@127.0.0.1:"+s.remote)...)
			if code != tc.want {
				t.Errorf("exit code %d, want %d: %s", code, tc.want, stderr)
			}
			if code == refused && strings.Contains(server.Log(), "publickey") {
				t.Errorf("a login was tried:\n%s", server.Log())
			}
		})
	}
}

// TestHostKeyOfAnotherType: a host of which an ECDSA key is on file comes with an
// Ed25519 key alone. That is no first contact.
func TestHostKeyOfAnotherType(t *testing.T) {
	s := newSite(t, ordinary(t))
	public := s.writeHostKey(t, "ecdsa_key")
	place := fmt.Sprintf("[127.0.0.1]:%d", s.sshd.Port)
	must(t, s.WriteFile("known", []byte(place+" "+string(ssh.MarshalAuthorizedKey(public))), 0o600))
	_, stderr, code := s.run(t, binary, "browse", "--port", strconv.Itoa(s.sshd.Port), "--identity", s.sshd.Identity, "--known-hosts", s.Path("known"),
		"--ssh-config", "none", "--host-key-policy", "auto", s.address())
	if code != 4 || strings.Contains(s.sshd.Log(), "publickey") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	return signer
}

// writeHostKey makes an ECDSA key in the lab.
func (s *site) writeHostKey(t testing.TB, name string) ssh.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	must(t, s.WriteFile(name, pem.EncodeToMemory(block), 0o600))
	public, err := ssh.NewPublicKey(&key.PublicKey)
	must(t, err)
	return public
}
