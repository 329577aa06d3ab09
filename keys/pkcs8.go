package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"hash"
	"math/big"

	"golang.org/x/crypto/scrypt"
)

// PKCS #8 (RFC 5208), plain, or encrypted by PBES2 (RFC 8018) with PBKDF2 or
// scrypt (RFC 7914), or by PKCS #12's 3DES (RFC 7292), which openssl pkcs8 -v1
// and Java tools write.

// OIDs are compared as strings: arcs of a hostile file are no problem there.
const (
	oidRSA     = "1.2.840.113549.1.1.1"
	oidEC      = "1.2.840.10045.2.1"
	oidEd25519 = "1.3.101.112"
	oidDSA     = "1.2.840.10040.4.1"
	oidPBES2   = "1.2.840.113549.1.5.13"
	oidPBKDF2  = "1.2.840.113549.1.5.12"
	oidScrypt  = "1.3.6.1.4.1.11591.4.11"
	oidPKCS12  = "1.2.840.113549.1.12.1.3" // pbeWithSHAAnd3-KeyTripleDES-CBC
)

type pkcs8Plain struct{ der []byte }

func (f *pkcs8Plain) info() Info { return Info{Format: FormatPKCS8} }

func (f *pkcs8Plain) open([]byte) (crypto.PrivateKey, string, error) {
	key, err := parsePKCS8(f.der)
	return key, "", err
}

func parsePKCS8(der []byte) (crypto.PrivateKey, error) {
	var k struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Private   []byte
		Rest      asn1.RawValue `asn1:"optional,tag:0"` // attributes
		Public    asn1.RawValue `asn1:"optional,tag:1"` // RFC 5958
	}
	if err := unmarshalDER(der, &k); err != nil {
		return nil, err
	}
	switch oid := k.Algorithm.Algorithm.String(); oid {
	case oidRSA:
		return parsePKCS1(k.Private)
	case oidEC:
		var curve asn1.ObjectIdentifier
		if err := unmarshalDER(k.Algorithm.Parameters.FullBytes, &curve); err != nil {
			return nil, unsupported("elliptic curve")
		}
		if curveByOID(curve) == nil {
			return nil, unsupported("elliptic curve %s", curve)
		}
		return parseSEC1(k.Private, curveByOID(curve))
	case oidEd25519:
		var seed []byte
		if err := unmarshalDER(k.Private, &seed); err != nil {
			return nil, err
		}
		return ed25519Key(seed, nil)
	case oidDSA:
		return parsePKCS8DSA(k.Algorithm.Parameters.FullBytes, k.Private)
	default:
		return nil, unsupported("key type %s", oid)
	}
}

func parsePKCS8DSA(parameters, private []byte) (crypto.PrivateKey, error) {
	var p struct{ P, Q, G *big.Int }
	if err := unmarshalDER(parameters, &p); err != nil {
		return nil, err
	}
	var x *big.Int
	if err := unmarshalDER(private, &x); err != nil {
		return nil, err
	}
	if !positive(p.P, p.Q, p.G, x) || p.P.BitLen() > maxDSABits || p.P.Bit(0) == 0 || x.Cmp(p.P) >= 0 {
		return nil, damaged("a number of the DSA key is out of range")
	}
	return dsaKey(p.P, p.Q, p.G, new(big.Int).Exp(p.G, x, p.P), x)
}

type pkcs8Encrypted struct {
	algorithm pkix.AlgorithmIdentifier
	data      []byte
}

func readPKCS8Encrypted(der []byte) (sealed, error) {
	var e struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if err := unmarshalDER(der, &e); err != nil {
		return nil, err
	}
	return &pkcs8Encrypted{e.Algorithm, e.Data}, nil
}

func (f *pkcs8Encrypted) info() Info {
	name := "PKCS #8 " + f.algorithm.Algorithm.String()
	switch f.algorithm.Algorithm.String() {
	case oidPBES2:
		name = "PBES2"
	case oidPKCS12:
		name = "PBE-SHA1-3DES"
	}
	return Info{Format: FormatPKCS8, Encrypted: true, Cipher: name}
}

func (f *pkcs8Encrypted) open(passphrase []byte) (crypto.PrivateKey, string, error) {
	block, iv, err := f.cipher(passphrase)
	if err != nil {
		return nil, "", err
	}
	plain, err := decryptCBC(block, iv, f.data)
	if err != nil {
		return nil, "", err
	}
	if plain, err = unpad(plain, block.BlockSize()); err != nil {
		return nil, "", err
	}
	var outer asn1.RawValue
	if err := unmarshalDER(plain, &outer); err != nil {
		return nil, "", ErrWrongPassphrase // padding that fits by chance, one time in 256
	}
	key, err := parsePKCS8(plain)
	return key, "", err
}

func (f *pkcs8Encrypted) cipher(passphrase []byte) (cipher.Block, []byte, error) {
	switch oid := f.algorithm.Algorithm.String(); oid {
	case oidPBES2:
		return pbes2(f.algorithm.Parameters.FullBytes, passphrase)
	case oidPKCS12:
		return pkcs12Cipher(f.algorithm.Parameters.FullBytes, passphrase)
	default:
		return nil, nil, unsupported("encryption %s", oid)
	}
}

func pbes2(parameters, passphrase []byte) (cipher.Block, []byte, error) {
	var p struct{ KDF, Scheme pkix.AlgorithmIdentifier }
	if err := unmarshalDER(parameters, &p); err != nil {
		return nil, nil, err
	}
	size, create, err := pbes2Cipher(p.Scheme.Algorithm.String())
	if err != nil {
		return nil, nil, err
	}
	var iv []byte
	if err := unmarshalDER(p.Scheme.Parameters.FullBytes, &iv); err != nil {
		return nil, nil, err
	}
	key, err := pbes2Key(p.KDF, passphrase, size)
	if err != nil {
		return nil, nil, err
	}
	block, err := create(key)
	return block, iv, err
}

func pbes2Cipher(oid string) (int, func([]byte) (cipher.Block, error), error) {
	switch oid {
	case "2.16.840.1.101.3.4.1.2":
		return 16, aes.NewCipher, nil
	case "2.16.840.1.101.3.4.1.22":
		return 24, aes.NewCipher, nil
	case "2.16.840.1.101.3.4.1.42":
		return 32, aes.NewCipher, nil
	case "1.2.840.113549.3.7":
		return 24, des.NewTripleDESCipher, nil
	}
	return 0, nil, unsupported("cipher %s", oid)
}

// maxIterations and maxScrypt bound what a file can cost, to a few seconds:
// OpenSSL's default is 2,048 iterations, careful people take a million; scrypt
// goes over 128*N*r*p bytes.
const (
	maxIterations = 2_000_000
	maxScrypt     = 512 << 20
)

func pbes2Key(kdf pkix.AlgorithmIdentifier, passphrase []byte, size int) ([]byte, error) {
	switch oid := kdf.Algorithm.String(); oid {
	case oidPBKDF2:
		var p struct {
			Salt       []byte
			Iterations int
			Length     int                      `asn1:"optional"`
			PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
		}
		if err := unmarshalDER(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, err
		}
		if p.Iterations < 1 || p.Iterations > maxIterations {
			return nil, unsupported("%d iterations of PBKDF2", p.Iterations)
		}
		h, err := prf(p.PRF.Algorithm.String())
		if err != nil {
			return nil, err
		}
		return pbkdf2.Key(h, string(passphrase), p.Salt, p.Iterations, size)
	case oidScrypt:
		var p struct {
			Salt    []byte
			N, R, P int
			Length  int `asn1:"optional"`
		}
		if err := unmarshalDER(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, err
		}
		if p.N < 2 || p.R < 1 || p.P < 1 || p.P > 16 || p.R > 64 || p.N > maxScrypt/128/p.R/p.P {
			return nil, unsupported("scrypt with N=%d r=%d p=%d", p.N, p.R, p.P)
		}
		key, err := scrypt.Key(passphrase, p.Salt, p.N, p.R, p.P, size)
		if err != nil {
			return nil, damaged("%v", err)
		}
		return key, nil
	default:
		return nil, unsupported("key derivation %s", oid)
	}
}

func prf(oid string) (func() hash.Hash, error) {
	switch oid {
	case "", "1.2.840.113549.2.7":
		return sha1.New, nil
	case "1.2.840.113549.2.8":
		return sha256.New224, nil
	case "1.2.840.113549.2.9":
		return sha256.New, nil
	case "1.2.840.113549.2.10":
		return sha512.New384, nil
	case "1.2.840.113549.2.11":
		return sha512.New, nil
	}
	return nil, unsupported("pseudo-random function %s", oid)
}
