package keys

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys/sshconfig"
)

// What x/crypto/ssh has and is safe is on by default. What rests on SHA-1, CBC,
// RC4 or short groups is there for those who name it.

// chosenAlgorithms are the lists of one client, in order of preference.
type chosenAlgorithms struct {
	ciphers, kex, macs, hostKeys, authorities, signatures []string
}

func (a chosenAlgorithms) config() ssh.Config {
	return ssh.Config{Ciphers: a.ciphers, KeyExchanges: a.kex, MACs: a.macs}
}

// signatureOrder is our order of signatures: Ed25519 first, as OpenSSH.
func signatureOrder() []string {
	return []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoSKED25519v01, ssh.CertAlgoSKECDSA256v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}

// A choice is one list: what ssh_config calls it, what we take by default, and
// all there is.
type choice struct {
	keyword             string
	defaults, supported []string
	to                  *[]string
}

func (a *chosenAlgorithms) choices() []choice {
	safe, old := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	all := func(lists ...[]string) []string { return sshconfig.Ordered(slices.Concat(lists...)) }
	ordered := func(supported []string) []string {
		return slices.DeleteFunc(signatureOrder(), func(a string) bool { return !slices.Contains(supported, a) })
	}
	// With security keys (sk) only an agent or a server's certificate can sign.
	signatures := append(slices.Clone(signatureOrder()), ssh.KeyAlgoRSA, keyTypeDSA, ssh.CertAlgoRSAv01)
	return []choice{
		{"Ciphers", safe.Ciphers, all(safe.Ciphers, old.Ciphers), &a.ciphers},
		{"KexAlgorithms", safe.KeyExchanges, all(safe.KeyExchanges, old.KeyExchanges), &a.kex},
		{"MACs", withoutSHA1(safe.MACs), all(safe.MACs, old.MACs), &a.macs},
		{"HostKeyAlgorithms", ordered(safe.HostKeys), all(safe.HostKeys, old.HostKeys), &a.hostKeys},
		{"CASignatureAlgorithms", plainAlgorithms(signatureOrder()), all(plainAlgorithms(signatures)), &a.authorities},
		{"PubkeyAcceptedAlgorithms", signatureOrder(), all(signatures), &a.signatures},
	}
}

func withoutSHA1(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(a string) bool { return strings.HasPrefix(a, "hmac-sha1") })
}

// plainAlgorithms leaves certificates out.
func plainAlgorithms(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(a string) bool { return strings.Contains(a, "-cert-v01") })
}

// chooseAlgorithms applies what ssh_config says of algorithms.
func (c *Client) chooseAlgorithms() error {
	for _, l := range c.chosen.choices() {
		said := c.ssh.Value(strings.ToLower(l.keyword))
		chosen, lacking := sshconfig.Choose(said, l.defaults, l.supported)
		if len(lacking) > 0 {
			c.cfg.Log.Debug("algorithms not supported here", "option", l.keyword, "names", lacking)
		}
		if len(chosen) == 0 {
			return fmt.Errorf("%s %s: none of these is supported here; there are %s", l.keyword, said, strings.Join(l.supported, ","))
		}
		*l.to = chosen
	}
	return nil
}

// takes reports whether a signature algorithm may be used to log in.
func (c *Client) takes(algorithm string) bool { return slices.Contains(c.chosen.signatures, algorithm) }

// algorithmsOf gives the signature algorithms of a key type.
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

// keyTypeName is how people call a key type.
func keyTypeName(t string) string {
	switch {
	case t == ssh.KeyAlgoRSA:
		return "RSA"
	case t == ssh.KeyAlgoED25519:
		return "ED25519"
	case strings.HasPrefix(t, "ecdsa-"):
		return "ECDSA"
	case t == keyTypeDSA:
		return "DSA"
	}
	return t
}
