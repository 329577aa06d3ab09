package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
)

// The numbers of a key come from a file that may be hostile. Sizes are bounded
// before any arithmetic, at what OpenSSH takes.
const (
	maxRSABits = 16384
	minRSABits = 1024
)

func positive(numbers ...*big.Int) bool {
	for _, n := range numbers {
		if n == nil || n.Sign() <= 0 {
			return false
		}
	}
	return true
}

func rsaKey(n, e, d, p, q *big.Int) (crypto.PrivateKey, error) {
	if !positive(n, e, d, p, q) {
		return nil, damaged("a number of the RSA key is not positive")
	}
	if n.BitLen() > maxRSABits || p.BitLen() > maxRSABits/2+64 || q.BitLen() > maxRSABits/2+64 || d.BitLen() > maxRSABits {
		return nil, unsupported("RSA key larger than %d bits", maxRSABits)
	}
	if n.BitLen() < minRSABits {
		return nil, unsupported("RSA key of %d bits: at least %d are needed", n.BitLen(), minRSABits)
	}
	if e.BitLen() > 31 || e.Bit(0) == 0 || e.Cmp(big.NewInt(3)) < 0 {
		return nil, unsupported("RSA exponent")
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())},
		D:         d, Primes: []*big.Int{p, q},
	}
	if err := key.Validate(); err != nil {
		return nil, damaged("%v", err)
	}
	key.Precompute()
	return key, nil
}

// curveOf gives the curve by its name in SSH (RFC 5656).
func curveOf(name string) elliptic.Curve {
	switch name {
	case "nistp256":
		return elliptic.P256()
	case "nistp384":
		return elliptic.P384()
	case "nistp521":
		return elliptic.P521()
	}
	return nil
}

func curveName(c elliptic.Curve) string {
	switch c {
	case elliptic.P256():
		return "nistp256"
	case elliptic.P384():
		return "nistp384"
	case elliptic.P521():
		return "nistp521"
	}
	return ""
}

// ecKey makes an ECDSA key. The public point is optional: a file that has one
// must have the right one.
func ecKey(curve elliptic.Curve, d *big.Int, public []byte) (crypto.PrivateKey, error) {
	if curve == nil {
		return nil, unsupported("elliptic curve")
	}
	size := (curve.Params().BitSize + 7) / 8
	if !positive(d) || d.BitLen() > size*8 {
		return nil, damaged("the number of the ECDSA key is out of range")
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, d.FillBytes(make([]byte, size)))
	if err != nil {
		return nil, damaged("%v", err)
	}
	if public != nil {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return nil, damaged("%v", err)
		}
		if !bytes.Equal(public, point) && !bytes.Equal(public, compressed(point)) {
			return nil, damaged("its public and private parts do not belong together")
		}
	}
	return key, nil
}

// compressed is the short form of a point (SEC 1, section 2.3.3), which openssl
// writes on demand.
func compressed(point []byte) []byte {
	half := (len(point) - 1) / 2
	return append([]byte{2 + point[len(point)-1]&1}, point[1:1+half]...)
}

func ed25519Key(seed, public []byte) (crypto.PrivateKey, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, damaged("an Ed25519 key has %d bytes", len(seed))
	}
	key := ed25519.NewKeyFromSeed(seed)
	if public != nil && !key.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(public)) {
		return nil, damaged("its public and private parts do not belong together")
	}
	return key, nil
}
