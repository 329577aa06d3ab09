package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
)

// Generate makes a key: "ed25519", or "rsa" with 4096 bits unless told
// otherwise.
func Generate(kind string, bits int, comment string) (*Key, error) {
	var private crypto.PrivateKey
	var err error
	switch kind {
	case "ed25519":
		if bits != 0 && bits != 256 {
			return nil, fmt.Errorf("an ed25519 key has 256 bits, not %d", bits)
		}
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "rsa":
		setDefault(&bits, 4096)
		if bits < 2048 || bits > maxRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits: want 2048 to %d", bits, maxRSABits)
		}
		private, err = rsa.GenerateKey(rand.Reader, bits)
	default:
		return nil, fmt.Errorf("key type %q: want rsa or ed25519", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	key := &Key{Private: private, Comment: comment}
	key.Info.Public = key.Public()
	return key, nil
}
