package serve

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// harmless are the options of authorized_keys that only take away or set up
// what this server does not have anyway.
var harmless = map[string]bool{
	"restrict": true, "pty": true, "no-pty": true, "user-rc": true, "no-user-rc": true,
	"agent-forwarding": true, "no-agent-forwarding": true,
	"port-forwarding": true, "no-port-forwarding": true, "permitlisten": true, "permitopen": true,
	"x11-forwarding": true, "no-x11-forwarding": true, "tunnel": true, "environment": true,
}

// ParseAuthorizedKeys reads keys as sshd(8) describes them under AUTHORIZED_KEYS
// FILE FORMAT. A line that cannot be read, or that has an option which would
// restrict its key and is not implemented here (from=, command=, expiry-time=,
// cert-authority, ...), is an error: a key is not let in on other terms than
// were written down. No keys at all is an error too.
func ParseAuthorizedKeys(r io.Reader) ([]ssh.PublicKey, error) {
	keys, bad, err := UsableAuthorizedKeys(r)
	if len(bad) > 0 {
		return nil, bad[0]
	}
	return keys, err
}

// maxKeysFile bounds what is read of authorized keys.
const maxKeysFile = 16 << 20

// UsableAuthorizedKeys is ParseAuthorizedKeys for a file in use: one line that cannot
// be read keeps nobody else out. It is among bad.
func UsableAuthorizedKeys(r io.Reader) (keys []ssh.PublicKey, bad []error, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeysFile))
	if err == nil && len(text) == maxKeysFile {
		err = fmt.Errorf("%d MiB or more", maxKeysFile>>20)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("authorized keys: %w", err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseAuthorizedKey(line)
		if err != nil {
			bad = append(bad, fmt.Errorf("authorized keys: line %d: %w", i+1, err))
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, bad, errors.New("authorized keys: no keys")
	}
	return keys, bad, nil
}

func parseAuthorizedKey(line string) (ssh.PublicKey, error) {
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, errors.New("not a public key")
	}
	for _, option := range options {
		name, _, _ := strings.Cut(option, "=")
		if !harmless[strings.ToLower(name)] {
			return nil, fmt.Errorf("option %q is not supported", name)
		}
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return nil, errors.New("certificates are not supported")
	}
	return key, checkStrength(key)
}

// leastRSA is the size below which an RSA key can be broken.
const leastRSA = 2048

func checkStrength(key ssh.PublicKey) error {
	k, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil // a security key's; they are of elliptic curves
	}
	if r, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < leastRSA {
		return fmt.Errorf("an RSA key of %d bits: at least %d", r.N.BitLen(), leastRSA)
	}
	return nil
}
