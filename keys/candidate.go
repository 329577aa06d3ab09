package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
)

// A candidate is one public key to offer. Its private half may still be behind
// a passphrase, which is asked for only when the server has said that it takes
// the key.
type candidate struct {
	public ssh.PublicKey // nil when only the passphrase can tell
	source string
	open   func(ctx context.Context) (ssh.Signer, error)
	sha1   bool // an RSA key once more, to sign with SHA-1
	asks   bool // its passphrase has to be asked for, and nobody named it in this call
}

func (k candidate) String() string {
	if k.public == nil {
		return k.source
	}
	kind := ""
	if _, ok := k.public.(*ssh.Certificate); ok {
		kind = "certificate "
	}
	if k.sha1 {
		kind = "with SHA-1 "
	}
	return kind + ssh.FingerprintSHA256(plainKey(k.public)) + " (" + k.source + ")"
}

// candidates puts everything there is into the order of offering: ssh's, but
// for one thing. Identities the user named come before keys of the agent nobody
// named, so that a full agent does not use up the attempts.
func (c *Client) candidates(ctx context.Context) ([]candidate, error) {
	agentKeys := c.agentKeys(ctx)
	var certs, held, named, defaults, others []candidate
	var alone error
	for _, id := range c.identities {
		k := id.candidate(agentKeys)
		if k == nil {
			if id.byFlag {
				alone = &PublicKeyError{id.source}
				id.told.Do(func() {
					c.cfg.Log.Warn("an identity is a public key, and no agent has its private half", "file", id.source)
				})
			}
			continue
		}
		for _, cert := range id.certs {
			certs = append(certs, certCandidate(cert, *k))
		}
		switch {
		case id.public != nil && findAgentKey(agentKeys, id.public) != nil:
			held = append(held, *k)
		case id.byUser:
			named = append(named, *k)
		default:
			defaults = append(defaults, *k)
		}
	}
	for _, cert := range c.named { // whose key need not be named as well, as long as the agent has it
		if k := findAgentKey(agentKeys, cert.Key); k != nil {
			certs = append(certs, certCandidate(cert, k.candidate()))
		}
	}
	for _, k := range agentKeys {
		if !c.ssh.Yes("identitiesonly") || c.isIdentity(k.public) {
			others = append(others, k.candidate())
		}
	}
	all := uniqueKeys(slices.Concat(certs, held, named, others, defaults))
	if c.givenPassword() {
		all = askingLast(all)
	}
	list, why := c.acceptable(c.lastFirst(all))
	return list, errors.Join(alone, why)
}

// askingLast puts the keys back that a given password goes before.
func askingLast(list []candidate) []candidate {
	slices.SortStableFunc(list, func(a, b candidate) int {
		switch {
		case a.asks == b.asks:
			return 0
		case b.asks:
			return -1
		}
		return 1
	})
	return list
}

// acceptable leaves out what PubkeyAcceptedAlgorithms does not have, and RSA keys
// that are too short; why is the last reason. It offers RSA keys a second time,
// with the old signature, where that is to be taken.
func (c *Client) acceptable(list []candidate) (out []candidate, why error) {
	for _, k := range list {
		if k.public == nil { // only the passphrase can tell
			out = append(out, k)
			continue
		}
		if err := c.longEnough(k.public); err != nil {
			why = fmt.Errorf("%s: %w", k.source, err)
			continue
		}
		switch {
		case k.public.Type() == ssh.KeyAlgoRSA:
			if len(c.signatureAlgorithms(false)) > 0 {
				out = append(out, k)
			}
			if k.sha1 = c.takes(ssh.KeyAlgoRSA); k.sha1 {
				out = append(out, k)
			}
		case slices.ContainsFunc(certificateAlgorithms(k.public.Type()), c.takes):
			out = append(out, k)
		default:
			why = fmt.Errorf("%s: keys of type %s are not used unless asked for (-o PubkeyAcceptedAlgorithms=+%s)", k.source, k.public.Type(), k.public.Type())
		}
	}
	return out, why
}

// certificateAlgorithms are the signatures behind a type: an RSA certificate has
// several.
func certificateAlgorithms(keyType string) []string {
	if keyType == ssh.CertAlgoRSAv01 {
		return []string{ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01, ssh.CertAlgoRSAv01}
	}
	return []string{keyType}
}

// signatureAlgorithms are those that an RSA key signs with in one offer.
func (c *Client) signatureAlgorithms(sha1 bool) []string {
	if sha1 {
		return []string{ssh.KeyAlgoRSA}
	}
	return slices.DeleteFunc([]string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}, func(a string) bool { return !c.takes(a) })
}

// isIdentity is for certificates in the agent: they belong to the identity
// whose key they certify.
func (c *Client) isIdentity(key ssh.PublicKey) bool {
	return slices.ContainsFunc(c.identities, func(id *identity) bool {
		return id.public != nil && sameKey(id.public, plainKey(key))
	})
}

func (id *identity) candidate(agentKeys []*agentKey) *candidate {
	if id.public != nil {
		if k := findAgentKey(agentKeys, id.public); k != nil {
			found := k.candidate()
			return &found
		}
	}
	if id.data == nil || id.onToken() && !id.byUser {
		return nil // a key whose private half nobody holds
	}
	return &candidate{public: id.public, source: id.source, open: id.lazySigner, asks: id.asks()}
}

// onToken reports that only an agent can sign with the key: the file says where the
// token has it.
func (id *identity) onToken() bool {
	return id.public != nil && (id.public.Type() == ssh.KeyAlgoSKED25519 || id.public.Type() == ssh.KeyAlgoSKECDSA256)
}

// lazySigner puts off the passphrase until the first signature, when the public
// key is known without it.
func (id *identity) lazySigner(ctx context.Context) (ssh.Signer, error) {
	if id.public == nil || !id.info.Encrypted {
		return id.open(ctx)
	}
	return &lockedSigner{ctx, id}, nil
}

func (k *agentKey) candidate() candidate {
	open := func(context.Context) (ssh.Signer, error) { return k, nil }
	return candidate{public: k.public, source: "agent: " + printable(k.comment), open: open}
}

func certCandidate(cert *ssh.Certificate, key candidate) candidate {
	key.public = cert
	open := key.open
	key.open = func(ctx context.Context) (ssh.Signer, error) {
		signer, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return ssh.NewCertSigner(cert, signer)
	}
	return key
}

func findAgentKey(keys []*agentKey, public ssh.PublicKey) *agentKey {
	for _, k := range keys {
		if sameKey(k.public, public) {
			return k
		}
	}
	return nil
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func uniqueKeys(list []candidate) []candidate {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(k candidate) bool {
		if k.public == nil {
			return false
		}
		blob := string(k.public.Marshal())
		known := seen[blob]
		seen[blob] = true
		return known
	})
}

// lastFirst moves the key that logged in before to the front: making a
// connection again then costs one attempt, not a walk through all keys.
func (c *Client) lastFirst(list []candidate) []candidate {
	last, ok := c.lastSigned.Load().(string)
	if !ok {
		return list
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return rankLast(a, last) - rankLast(b, last) })
	return list
}

func rankLast(k candidate, last string) int {
	if k.public != nil && ssh.FingerprintSHA256(k.public) == last {
		return 0
	}
	return 1
}
