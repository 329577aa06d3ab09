package keys

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A pin is a host key given up front: the whole key, or its fingerprint.
type pin struct {
	key         ssh.PublicKey // nil for a fingerprint
	fingerprint string        // "SHA256:..."
}

// parsePin reads "SHA256:base64", "type base64 [comment]", a known_hosts line's
// last part, or the base64 alone.
func parsePin(text string) (pin, error) {
	text = strings.TrimSpace(text)
	if hash, ok := strings.CutPrefix(text, "SHA256:"); ok {
		hash = strings.TrimRight(hash, "=")
		if raw, err := base64.RawStdEncoding.DecodeString(hash); err != nil || len(raw) != 32 {
			return pin{}, fmt.Errorf("host key %q: not a SHA-256 fingerprint", text)
		}
		return pin{fingerprint: "SHA256:" + hash}, nil
	}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return pin{}, fmt.Errorf("host key: empty")
	}
	blob := fields[0]
	if len(fields) > 1 {
		blob = fields[1]
	}
	raw, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		return pin{}, fmt.Errorf("host key %q: want SHA256:... or \"type base64\"", text)
	}
	key, err := ssh.ParsePublicKey(raw)
	if err != nil {
		return pin{}, fmt.Errorf("host key %q: %w", text, err)
	}
	return pin{key: key, fingerprint: ssh.FingerprintSHA256(key)}, nil
}

func (p pin) matches(key ssh.PublicKey) bool {
	if p.key != nil {
		return bytes.Equal(p.key.Marshal(), key.Marshal())
	}
	return p.fingerprint == ssh.FingerprintSHA256(key)
}
