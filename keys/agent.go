package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An agent is asked twice: for its keys when an attempt begins, and for a
// signature when the server accepts one. Each time over a connection of its
// own, so that none is held open for the life of a mount, and with a deadline,
// so that an agent that hangs does not hang us. A signature may wait for a
// person to touch a token.
const (
	agentListTime = 5 * time.Second
	agentSignTime = 90 * time.Second
)

// agentSocket is the socket to use, or "" for none.
func (c *Client) agentSocket() string {
	switch c.cfg.Agent {
	case "none":
		return ""
	case "", "SSH_AUTH_SOCK":
		return os.Getenv("SSH_AUTH_SOCK")
	}
	return expandHome(c.cfg.Agent, c.cfg.Home)
}

func withAgent(ctx context.Context, socket string, limit time.Duration, use func(agent.ExtendedAgent) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("reach the agent: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return use(agent.NewClient(conn))
}

// An agentKey is a key, or a certificate, whose private half is in the agent.
type agentKey struct {
	ctx     context.Context
	socket  string
	public  ssh.PublicKey
	comment string
	sha1    bool
}

var _ ssh.MultiAlgorithmSigner = (*agentKey)(nil)

func (c *Client) agentKeys(ctx context.Context) []*agentKey {
	socket := c.agentSocket()
	if socket == "" {
		return nil
	}
	var list []*agent.Key
	err := withAgent(ctx, socket, agentListTime, func(a agent.ExtendedAgent) (err error) {
		list, err = a.List()
		return err
	})
	if err != nil {
		c.cfg.Log.Debug("the agent cannot be used", "error", err)
		return nil
	}
	var out []*agentKey
	for _, k := range list {
		public, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			c.cfg.Log.Debug("a key of the agent cannot be used", "comment", printable(k.Comment), "error", err)
			continue
		}
		out = append(out, &agentKey{ctx, socket, public, k.Comment, c.cfg.AllowSHA1})
	}
	return out
}

func (k *agentKey) PublicKey() ssh.PublicKey { return k.public }

func (k *agentKey) Algorithms() []string {
	return signatureAlgorithms(plainKey(k.public).Type(), k.sha1)
}

func (k *agentKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, k.Algorithms()[0])
}

func (k *agentKey) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (sig *ssh.Signature, err error) {
	var flags agent.SignatureFlags
	switch algorithm {
	case ssh.KeyAlgoRSASHA256:
		flags = agent.SignatureFlagRsaSha256
	case ssh.KeyAlgoRSASHA512:
		flags = agent.SignatureFlagRsaSha512
	}
	err = withAgent(k.ctx, k.socket, agentSignTime, func(a agent.ExtendedAgent) (err error) {
		sig, err = a.SignWithFlags(k.public, data, flags)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the agent did not sign: %w", err)
	}
	return sig, nil
}

// signatureAlgorithms gives what a key of this type signs with. RSA signs with
// SHA-2; SHA-1 only when it was asked for.
func signatureAlgorithms(keyType string, sha1 bool) []string {
	if keyType != ssh.KeyAlgoRSA {
		return []string{keyType}
	}
	algorithms := []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	if sha1 {
		algorithms = append(algorithms, ssh.KeyAlgoRSA)
	}
	return algorithms
}

// sha2Key makes an RSA key present itself as an rsa-sha2-256 key. The library
// signs with SHA-1 when a server has not listed its algorithms (RFC 8308), as
// many SFTP products have not; such servers mostly do take SHA-2 when it is
// simply used, and nothing here should sign with SHA-1 unasked.
type sha2Key struct{ ssh.PublicKey }

func (sha2Key) Type() string { return ssh.KeyAlgoRSASHA256 }

// sha2Signer presents a signer with an sha2Key.
type sha2Signer struct{ ssh.MultiAlgorithmSigner }

func (s sha2Signer) PublicKey() ssh.PublicKey { return sha2Key{s.MultiAlgorithmSigner.PublicKey()} }

// A watchedSigner reports each signature made, or not made.
type watchedSigner struct {
	ssh.MultiAlgorithmSigner
	report func(error)
}

func (w watchedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	sig, err := w.MultiAlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	w.report(err)
	return sig, err
}

// watchSigner wraps a signer for one use in an authentication.
func watchSigner(s ssh.Signer, report func(error)) ssh.Signer {
	multi, ok := s.(ssh.MultiAlgorithmSigner)
	if !ok {
		return s
	}
	if s.PublicKey().Type() == ssh.KeyAlgoRSA && !hasSHA1(multi.Algorithms()) {
		multi = sha2Signer{multi}
	}
	return watchedSigner{multi, report}
}

func hasSHA1(algorithms []string) bool {
	for _, a := range algorithms {
		if a == ssh.KeyAlgoRSA {
			return true
		}
	}
	return false
}

// newSigner makes a signer of a private key that follows signatureAlgorithms.
func newSigner(private crypto.PrivateKey, sha1 bool) (ssh.Signer, error) {
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, unsupported("%v", err)
	}
	with, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return signer, nil
	}
	return ssh.NewSignerWithAlgorithms(with, signatureAlgorithms(signer.PublicKey().Type(), sha1))
}
