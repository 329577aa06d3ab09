package keys

import (
	"crypto/cipher"
	"crypto/des"
	"crypto/sha1"
	"math/big"
	"unicode/utf16"
)

// pkcs12Cipher is PKCS #12's password-based encryption with SHA-1 and 3DES, as
// far as PKCS #8 files use it.
func pkcs12Cipher(parameters, passphrase []byte) (cipher.Block, []byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
	}
	if err := unmarshalDER(parameters, &p); err != nil {
		return nil, nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxIterations || len(p.Salt) == 0 || len(p.Salt) > 1024 {
		return nil, nil, unsupported("%d iterations of PKCS #12", p.Iterations)
	}
	password := bmpString(passphrase)
	block, err := des.NewTripleDESCipher(pkcs12KDF(password, p.Salt, p.Iterations, 1, 24))
	return block, pkcs12KDF(password, p.Salt, p.Iterations, 2, des.BlockSize), err
}

// bmpString is UTF-16 in big endian with a zero at the end.
func bmpString(s []byte) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(string(s))) {
		out = append(out, byte(u>>8), byte(u))
	}
	return append(out, 0, 0)
}

// pkcs12KDF is RFC 7292, appendix B.2, for SHA-1 (u = 20, v = 64). id is 1 for
// a key, 2 for an initial vector.
func pkcs12KDF(password, salt []byte, iterations int, id byte, size int) []byte {
	const v = 64
	input := append(repeatTo(salt, v), repeatTo(password, v)...)
	diversifier := make([]byte, v)
	for i := range diversifier {
		diversifier[i] = id
	}
	var out []byte
	for {
		sum := sha1.Sum(append(append([]byte(nil), diversifier...), input...))
		for range iterations - 1 {
			sum = sha1.Sum(sum[:])
		}
		out = append(out, sum[:]...)
		if len(out) >= size {
			return out[:size]
		}
		add := new(big.Int).SetBytes(repeatTo(sum[:], v)[:v])
		add.Add(add, big.NewInt(1))
		for i := 0; i < len(input); i += v {
			addModulo(input[i:i+v], add)
		}
	}
}

// repeatTo repeats b up to the next multiple of v bytes.
func repeatTo(b []byte, v int) []byte {
	size := (len(b) + v - 1) / v * v
	out := make([]byte, size)
	for i := range out {
		out[i] = b[i%len(b)]
	}
	return out
}

// addModulo adds to a number of len(b) bytes, dropping the carry.
func addModulo(b []byte, add *big.Int) {
	sum := new(big.Int).SetBytes(b)
	sum.Add(sum, add)
	raw := sum.Bytes()
	if len(raw) > len(b) {
		raw = raw[len(raw)-len(b):]
	}
	clear(b)
	copy(b[len(b)-len(raw):], raw)
}
