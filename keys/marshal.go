package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/ssh"
)

// Marshal writes a private key. An empty passphrase leaves it in the clear.
//
// FormatPEM is the traditional form of the type where it has one and no
// passphrase is wanted; with a passphrase it is PKCS #8, because the traditional
// encryption (one round of MD5) protects nothing.
func Marshal(key *Key, format Format, passphrase []byte) ([]byte, error) {
	return defaultCosts().marshal(key, format, passphrase)
}

// costs are what a guess at the passphrase of a file we write has to pay.
type costs struct {
	bcryptRounds     int
	pbkdf2Iterations int
	argonMemory      uint32 // KiB
	argonPasses      uint32
}

// defaultCosts: the rounds are ssh-keygen's default since OpenSSH 9.6, the iterations what
// OWASP asks of PBKDF2 with SHA-256, the memory PuTTY's default, with the passes
// that take about a tenth of a second.
func defaultCosts() costs {
	return costs{bcryptRounds: 24, pbkdf2Iterations: 600_000, argonMemory: 8192, argonPasses: 21}
}

func (c costs) marshal(key *Key, format Format, passphrase []byte) ([]byte, error) {
	switch format {
	case FormatOpenSSH:
		return c.marshalOpenSSH(key, passphrase)
	case FormatPPK3:
		return c.marshalPPK(key, passphrase)
	case FormatPKCS8:
		return c.marshalPKCS8(key, passphrase)
	case FormatPEM:
		return c.marshalPEM(key, passphrase)
	}
	return nil, fmt.Errorf("private keys cannot be written as %q: want openssh, pem, pkcs8 or ppk3", format)
}

// singleLine keeps a comment from breaking out of its line.
func singleLine(comment string) string {
	return strings.ReplaceAll(printable(comment), "\n", " ")
}

func (c costs) marshalOpenSSH(key *Key, passphrase []byte) ([]byte, error) {
	check := make([]byte, 4)
	_, _ = rand.Read(check) // never fails, see knownHostsLine
	inner := &wireWriter{data: append(append([]byte(nil), check...), check...)}
	if err := writeOpenSSHNumbers(inner, key.Private); err != nil {
		return nil, err
	}
	inner.string(singleLine(key.Comment))
	name, kdf, options, block := "none", "none", []byte(nil), 8
	if len(passphrase) > 0 {
		name, kdf, block = "aes256-ctr", "bcrypt", aes.BlockSize
	}
	for i := byte(1); len(inner.data)%block != 0; i++ {
		inner.data = append(inner.data, i)
	}
	if len(passphrase) > 0 {
		var err error
		if options, err = c.sealOpenSSH(inner.data, passphrase); err != nil {
			return nil, err
		}
	}
	w := &wireWriter{data: []byte(opensshMagic)}
	w.string(name)
	w.string(kdf)
	w.bytes(options)
	w.uint32(1)
	w.bytes(key.Public().Marshal())
	w.bytes(inner.data)
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: w.data}), nil
}

// sealOpenSSH encrypts in place and gives the options of the key derivation.
func (c costs) sealOpenSSH(data, passphrase []byte) ([]byte, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	secret, err := bcryptPBKDF(passphrase, salt, c.bcryptRounds, 48)
	if err != nil {
		return nil, err
	}
	sealed, err := openCTR(secret[:32], secret[32:], data, nil)
	if err != nil {
		return nil, err
	}
	copy(data, sealed)
	w := &wireWriter{}
	w.bytes(salt)
	w.uint32(uint32(c.bcryptRounds))
	return w.data, nil
}

func writeOpenSSHNumbers(w *wireWriter, private crypto.PrivateKey) error {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		w.string(ssh.KeyAlgoRSA)
		w.mpints(k.N, big.NewInt(int64(k.E)), k.D, inverseQ(k), k.Primes[0], k.Primes[1])
	case *ecdsa.PrivateKey:
		point, d, err := ecNumbers(k)
		if err != nil {
			return err
		}
		name := curveName(k.Curve)
		w.string("ecdsa-sha2-" + name)
		w.string(name)
		w.bytes(point)
		w.mpint(d)
	case ed25519.PrivateKey:
		w.string(ssh.KeyAlgoED25519)
		w.bytes(k[32:])
		w.bytes(k)
	case *dsaPrivateKey:
		w.string(keyTypeDSA)
		w.mpints(k.P, k.Q, k.G, k.Y, k.X)
	default:
		return unsupported("key type %T", private)
	}
	return nil
}

func inverseQ(k *rsa.PrivateKey) *big.Int {
	return new(big.Int).ModInverse(k.Primes[1], k.Primes[0])
}

func ecNumbers(k *ecdsa.PrivateKey) (point []byte, d *big.Int, err error) {
	if point, err = k.PublicKey.Bytes(); err != nil {
		return nil, nil, err
	}
	raw, err := k.Bytes()
	return point, new(big.Int).SetBytes(raw), err
}

func (c costs) marshalPEM(key *Key, passphrase []byte) ([]byte, error) {
	if len(passphrase) > 0 {
		return c.marshalPKCS8(key, passphrase)
	}
	switch k := key.Private.(type) {
	case *rsa.PrivateKey:
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
	case *dsaPrivateKey:
		der, err := asn1.Marshal(struct {
			Version       int
			P, Q, G, Y, X *big.Int
		}{0, k.P, k.Q, k.G, k.Y, k.X})
		return pem.EncodeToMemory(&pem.Block{Type: "DSA PRIVATE KEY", Bytes: der}), err
	}
	return c.marshalPKCS8(key, nil)
}

func (c costs) marshalPKCS8(key *Key, passphrase []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key.Private)
	if err != nil {
		return nil, unsupported("%v", err)
	}
	if len(passphrase) == 0 {
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	_, _ = rand.Read(salt)
	_, _ = rand.Read(iv)
	secret, err := pbkdf2.Key(sha256.New, string(passphrase), salt, c.pbkdf2Iterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	der = pad(der, aes.BlockSize)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(der, der)
	out, err := c.marshalPBES2(salt, iv, der)
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: out}), err
}

func (c costs) marshalPBES2(salt, iv, data []byte) ([]byte, error) {
	kdf, err1 := asn1.Marshal(struct {
		Salt       []byte
		Iterations int
		PRF        pkix.AlgorithmIdentifier
	}{salt, c.pbkdf2Iterations, pkix.AlgorithmIdentifier{
		Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, Parameters: asn1.NullRawValue}})
	ivDER, err2 := asn1.Marshal(iv)
	parameters, err3 := asn1.Marshal(struct{ KDF, Scheme pkix.AlgorithmIdentifier }{
		identifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, kdf),
		identifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, ivDER),
	})
	out, err4 := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{identifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, parameters), data})
	return out, errors.Join(err1, err2, err3, err4)
}

func identifier(oid asn1.ObjectIdentifier, parameters []byte) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: parameters}}
}

// pad is PKCS #7's.
func pad(data []byte, block int) []byte {
	n := block - len(data)%block
	for range n {
		data = append(data, byte(n))
	}
	return data
}

func (c costs) marshalPPK(key *Key, passphrase []byte) ([]byte, error) {
	public := key.Public()
	private := &wireWriter{}
	if err := writePPKNumbers(private, key.Private); err != nil {
		return nil, err
	}
	comment, name := singleLine(key.Comment), "none"
	var derived ppkKeys
	var kdf string
	if len(passphrase) > 0 {
		name = "aes256-cbc"
		for i := 0; len(private.data)%aes.BlockSize != 0; i++ {
			private.data = append(private.data, 0)
		}
		derived, kdf = c.ppkDerive(passphrase)
	}
	mac := ppkMAC(3, public.Type(), name, comment, public.Marshal(), private.data, derived.mac)
	data := private.data
	if len(passphrase) > 0 {
		block, err := aes.NewCipher(derived.cipher)
		if err != nil {
			return nil, err
		}
		cipher.NewCBCEncrypter(block, derived.iv).CryptBlocks(data, data)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "PuTTY-User-Key-File-3: %s\r\nEncryption: %s\r\nComment: %s\r\n", public.Type(), name, comment)
	ppkBlock(&b, "Public-Lines", public.Marshal())
	b.WriteString(kdf)
	ppkBlock(&b, "Private-Lines", data)
	fmt.Fprintf(&b, "Private-MAC: %s\r\n", hex.EncodeToString(mac))
	return []byte(b.String()), nil
}

func (c costs) ppkDerive(passphrase []byte) (ppkKeys, string) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	out := argon2.IDKey(passphrase, salt, c.argonPasses, c.argonMemory, 1, 80)
	header := fmt.Sprintf("Key-Derivation: Argon2id\r\nArgon2-Memory: %d\r\nArgon2-Passes: %d\r\nArgon2-Parallelism: 1\r\nArgon2-Salt: %s\r\n",
		c.argonMemory, c.argonPasses, hex.EncodeToString(salt))
	return ppkKeys{out[:32], out[32:48], out[48:]}, header
}

func ppkBlock(b *strings.Builder, name string, data []byte) {
	lines := wrapBase64(data, 64)
	fmt.Fprintf(b, "%s: %d\r\n", name, len(lines))
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
}

func wrapBase64(data []byte, width int) []string {
	text := base64.StdEncoding.EncodeToString(data)
	var lines []string
	for len(text) > width {
		lines, text = append(lines, text[:width]), text[width:]
	}
	return append(lines, text)
}

func writePPKNumbers(w *wireWriter, private crypto.PrivateKey) error {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		w.mpints(k.D, k.Primes[0], k.Primes[1], inverseQ(k))
	case *ecdsa.PrivateKey:
		_, d, err := ecNumbers(k)
		if err != nil {
			return err
		}
		w.mpint(d)
	case ed25519.PrivateKey:
		w.bytes(k.Seed())
	case *dsaPrivateKey:
		w.mpint(k.X)
	default:
		return unsupported("key type %T", private)
	}
	return nil
}
