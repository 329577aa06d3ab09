package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/elliptic"
	"crypto/md5"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// The PEM forms OpenSSL wrote before PKCS #8: the numbers of one type in DER,
// optionally encrypted under a key made with MD5 (RFC 1421's headers, OpenSSL's
// EVP_BytesToKey). Nothing authenticates the content, so a wrong passphrase
// shows only by nonsense inside.

type pemFile struct {
	label  string
	body   []byte
	cipher string // DEK-Info; empty when plain
	iv     []byte
}

func readPEM(a *armor) (sealed, error) {
	f := &pemFile{label: a.label, body: a.body}
	if !strings.Contains(a.headers["proc-type"], "ENCRYPTED") {
		return f, nil
	}
	name, iv, ok := strings.Cut(a.headers["dek-info"], ",")
	if !ok {
		return nil, damaged("DEK-Info is missing")
	}
	f.cipher = strings.ToUpper(strings.TrimSpace(name))
	var err error
	if f.iv, err = hex.DecodeString(strings.TrimSpace(iv)); err != nil || len(f.iv) < 8 {
		return nil, damaged("DEK-Info is not hexadecimal")
	}
	return f, nil
}

func (f *pemFile) info() Info {
	return Info{Format: FormatPEM, Encrypted: f.cipher != "", Cipher: f.cipher}
}

func (f *pemFile) open(passphrase []byte) (crypto.PrivateKey, string, error) {
	der := f.body
	if f.cipher != "" {
		var err error
		if der, err = f.decrypt(passphrase); err != nil {
			return nil, "", err
		}
	}
	key, err := parseTraditional(f.label, der)
	if err != nil && f.cipher != "" {
		return nil, "", ErrWrongPassphrase
	}
	return key, "", err
}

func (f *pemFile) decrypt(passphrase []byte) ([]byte, error) {
	size, create, err := pemCipher(f.cipher)
	if err != nil {
		return nil, err
	}
	block, err := create(bytesToKey(passphrase, f.iv[:8], size))
	if err != nil {
		return nil, err
	}
	plain, err := decryptCBC(block, f.iv, f.body)
	if err != nil {
		return nil, err
	}
	return unpad(plain, block.BlockSize())
}

func pemCipher(name string) (int, func([]byte) (cipher.Block, error), error) {
	switch name {
	case "AES-128-CBC":
		return 16, aes.NewCipher, nil
	case "AES-192-CBC":
		return 24, aes.NewCipher, nil
	case "AES-256-CBC":
		return 32, aes.NewCipher, nil
	case "DES-EDE3-CBC":
		return 24, des.NewTripleDESCipher, nil
	case "DES-CBC":
		return 8, des.NewCipher, nil
	}
	return 0, nil, unsupported("cipher %q", printable(name))
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5 and one round.
func bytesToKey(passphrase, salt []byte, size int) []byte {
	var key, last []byte
	for len(key) < size {
		h := md5.New()
		h.Write(last)
		h.Write(passphrase)
		h.Write(salt)
		last = h.Sum(nil)
		key = append(key, last...)
	}
	return key[:size]
}

// unpad takes off PKCS #7 padding. Padding that is wrong is how a wrong
// passphrase mostly shows.
func unpad(plain []byte, block int) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n == 0 || n > block || n > len(plain) {
		return nil, ErrWrongPassphrase
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, ErrWrongPassphrase
		}
	}
	return plain[:len(plain)-n], nil
}

func parseTraditional(label string, der []byte) (crypto.PrivateKey, error) {
	switch label {
	case "RSA PRIVATE KEY":
		return parsePKCS1(der)
	case "EC PRIVATE KEY":
		return parseSEC1(der, nil)
	}
	var k struct {
		Version       int
		P, Q, G, Y, X *big.Int
	}
	if err := unmarshalDER(der, &k); err != nil {
		return nil, err
	}
	return dsaKey(k.P, k.Q, k.G, k.Y, k.X)
}

// unmarshalDER wants the whole input to be one value.
func unmarshalDER(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err != nil {
		return damaged("%v", err)
	}
	if len(rest) > 0 {
		return damaged("%d bytes too many at the end", len(rest))
	}
	return nil
}

// parsePKCS1 reads RFC 8017's RSAPrivateKey with two primes.
func parsePKCS1(der []byte) (crypto.PrivateKey, error) {
	var k struct {
		Version                   int
		N, E, D, P, Q, DP, DQ, QI *big.Int
		More                      asn1.RawValue `asn1:"optional"`
	}
	if err := unmarshalDER(der, &k); err != nil {
		return nil, err
	}
	if k.Version != 0 {
		return nil, unsupported("an RSA key of more than two primes")
	}
	return rsaKey(k.N, k.E, k.D, k.P, k.Q)
}

// parseSEC1 reads RFC 5915's ECPrivateKey. Inside PKCS #8 the curve is named
// outside. It is read more strictly than encoding/asn1 does, which skips what it
// does not know at the end of a sequence: there a damaged public key would go
// unnoticed, and with it a damaged private one.
func parseSEC1(der []byte, curve elliptic.Curve) (crypto.PrivateKey, error) {
	var version int
	var private, oid, public cryptobyte.String
	var named, hasPublic bool
	input := cryptobyte.String(der)
	var seq, bits cryptobyte.String
	ok := input.ReadASN1(&seq, tag.SEQUENCE) && input.Empty() &&
		seq.ReadASN1Integer(&version) && seq.ReadASN1(&private, tag.OCTET_STRING) &&
		seq.ReadOptionalASN1(&oid, &named, tag.Tag(0).ContextSpecific().Constructed()) &&
		seq.ReadOptionalASN1(&public, &hasPublic, tag.Tag(1).ContextSpecific().Constructed()) && seq.Empty()
	if !ok || version != 1 || len(private) > 128 {
		return nil, damaged("it is not an ECPrivateKey")
	}
	var unused uint8
	if hasPublic && (!public.ReadASN1(&bits, tag.BIT_STRING) || !public.Empty() || !bits.ReadUint8(&unused) || unused != 0) {
		return nil, damaged("its public key")
	}
	if curve == nil {
		var id asn1.ObjectIdentifier
		if !named || !oid.ReadASN1ObjectIdentifier(&id) {
			return nil, unsupported("an elliptic curve without a name")
		}
		curve = curveByOID(id)
	}
	return ecKey(curve, new(big.Int).SetBytes(private), bits)
}

func curveByOID(oid asn1.ObjectIdentifier) elliptic.Curve {
	switch oid.String() {
	case "1.2.840.10045.3.1.7":
		return elliptic.P256()
	case "1.3.132.0.34":
		return elliptic.P384()
	case "1.3.132.0.35":
		return elliptic.P521()
	}
	return nil
}
