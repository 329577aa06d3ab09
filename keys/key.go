package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// Format is the form of a private key file.
type Format string

// The forms read by Parse. Marshal writes all but PPK 2 and SSH2.
const (
	FormatOpenSSH Format = "openssh" // openssh-key-v1, OpenSSH's PROTOCOL.key
	FormatPEM     Format = "pem"     // PKCS #1 (RFC 8017), SEC 1 (RFC 5915) or DSA, plain or with DEK-Info (RFC 1421)
	FormatPKCS8   Format = "pkcs8"   // RFC 5208, plain or encrypted
	FormatPPK2    Format = "ppk2"    // PuTTY until 0.74
	FormatPPK3    Format = "ppk3"    // PuTTY since 0.75
	FormatSSH2    Format = "ssh2"    // ssh.com, Tectia
)

// Info is what a private key file tells without its passphrase.
type Info struct {
	Format    Format
	Encrypted bool
	Cipher    string        // with Encrypted: the cipher and key derivation, as the file names them
	Comment   string        // empty when it is inside the encrypted part
	Public    ssh.PublicKey // nil when it is inside the encrypted part
}

// A Key is a private key, unlocked.
type Key struct {
	Private crypto.PrivateKey // *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey or *dsa.PrivateKey
	Comment string
	Info    Info // of the file it came from
}

// A sealed is a private key file read as far as it goes without a passphrase.
type sealed interface {
	info() Info
	// open decrypts. The passphrase is empty for a key that is not encrypted.
	open(passphrase []byte) (private crypto.PrivateKey, comment string, err error)
}

// Inspect reads a private key file as far as it goes without the passphrase.
func Inspect(data []byte) (Info, error) {
	s, err := unwrap(data)
	if err != nil {
		return Info{}, err
	}
	info := s.info()
	if info.Public == nil && !info.Encrypted {
		key, err := Parse(data, nil)
		if err != nil {
			return Info{}, err
		}
		info.Comment = key.Comment
		info.Public = key.Public()
	}
	return info, nil
}

// Parse reads a private key in any of the forms. A nil or empty passphrase
// means none. The error wraps ErrPassphraseNeeded, ErrWrongPassphrase,
// ErrDamaged, ErrUnsupported or ErrNotAKey.
func Parse(data, passphrase []byte) (*Key, error) {
	s, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	info := s.info()
	if info.Encrypted && len(passphrase) == 0 {
		return nil, ErrPassphraseNeeded
	}
	if !info.Encrypted {
		passphrase = nil
	}
	private, comment, err := s.open(passphrase)
	if err != nil {
		return nil, err
	}
	key := &Key{Private: private, Comment: comment, Info: info}
	public := key.Public()
	if public == nil {
		return nil, unsupported("key type %T", private)
	}
	if info.Public != nil && !sameKey(info.Public, public) {
		return nil, damaged("its public and private parts do not belong together")
	}
	key.Info.Public = public
	return key, nil
}

// Public is the public key, nil for a type SSH has no name for.
func (k *Key) Public() ssh.PublicKey {
	var public crypto.PublicKey
	switch p := k.Private.(type) {
	case *dsaPrivateKey:
		public = &p.PublicKey
	case crypto.Signer:
		public = p.Public()
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil
	}
	return key
}

// Signer signs with the key: RSA with SHA-2, and with SHA-1 as well if sha1.
func (k *Key) Signer(sha1 bool) (ssh.Signer, error) { return newSigner(k.Private, sha1) }

// Bits is the size people give a key of this type.
func Bits(key ssh.PublicKey) int {
	crypto, ok := plainKey(key).(ssh.CryptoPublicKey)
	if !ok {
		return 0
	}
	switch p := crypto.CryptoPublicKey().(type) {
	case *rsa.PublicKey:
		return p.N.BitLen()
	case *ecdsa.PublicKey:
		return p.Curve.Params().BitSize
	case ed25519.PublicKey:
		return 256
	case *dsaPublicKey:
		return p.P.BitLen()
	}
	return 0
}

// Describe is a key in ssh-keygen's words: "ED25519 256 SHA256:...".
func Describe(key ssh.PublicKey) string {
	return fmt.Sprintf("%s %d %s", keyTypeName(key.Type()), Bits(key), ssh.FingerprintSHA256(key))
}
