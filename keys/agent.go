package keys

import (
	"context"
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
	return c.cfg.Agent
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
		out = append(out, &agentKey{ctx, socket, public, k.Comment, c.takes(ssh.KeyAlgoRSA)})
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
