package keys

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/crypto/ssh"
)

// scanGroups are the kinds of host key a server can have one of each, asked for
// one at a time: a server shows only one key in a connection. What is old is asked
// for where HostKeyAlgorithms names it.
func (c *Client) scanGroups() [][]string {
	groups := [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
	if slices.Contains(c.chosen.hostKeys, ssh.KeyAlgoRSA) {
		groups[2] = append(groups[2], ssh.KeyAlgoRSA)
	}
	if slices.Contains(c.chosen.hostKeys, keyTypeDSA) {
		groups = append(groups, []string{keyTypeDSA})
	}
	return groups
}

// ScanHostKeys gives the host keys the server shows, without logging in and
// without judging them. An error is returned only when there are none.
func (c *Client) ScanHostKeys(ctx context.Context) ([]ssh.PublicKey, error) {
	var found []ssh.PublicKey
	var failed error
	for _, group := range c.scanGroups() {
		key, err := c.scanOne(ctx, group)
		if err != nil {
			failed = err
			c.cfg.Log.Debug("no host key of this kind", "algorithms", group, "error", err)
			continue
		}
		found = append(found, key)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("scan %s: %w", c.settings.HostKeyName, failed)
	}
	return found, nil
}

var errScanned = errors.New("host key seen")

func (c *Client) scanOne(ctx context.Context, algorithms []string) (ssh.PublicKey, error) {
	nc, err := c.dialUnchecked(ctx)
	if err != nil {
		return nil, err
	}
	var shown ssh.PublicKey
	sc, _, _, err := handshake(ctx, nc, c.address(), &ssh.ClientConfig{
		User:              c.cfg.User,
		Config:            c.chosen.config(),
		HostKeyAlgorithms: algorithms,
		ClientVersion:     clientVersion,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			return errScanned
		},
	})
	if err == nil {
		err = closeQuietly(sc)
	}
	if shown != nil {
		return shown, nil
	}
	return nil, err
}

// resolvePins finds out which kind of key a pinned fingerprint belongs to: a
// server with several keys has to be asked for the right one, and the
// fingerprint does not tell. It costs a connection, once.
func (c *Client) resolvePins(ctx context.Context) error {
	if len(c.checker.pins) == 0 || c.pinnedType.Load() != nil {
		return nil
	}
	for _, p := range c.checker.pins {
		if p.key != nil {
			return nil
		}
	}
	err := fmt.Errorf("scan %s: no host key", c.settings.HostKeyName)
	for _, group := range c.scanGroups() {
		key, serr := c.scanOne(ctx, group)
		if serr != nil {
			if !IsHostKeyFailure(err) {
				err = serr
			}
			continue
		}
		if err = c.checker.checkPins(key); err == nil {
			c.pinnedType.Store(key.Type())
			return nil
		}
	}
	return err
}
