package keys

import (
	//lint:ignore SA1019 old keys still exist; whether a server takes one is its affair
	"crypto/dsa"
	"math/big"
)

// DSA is read, converted and used where a server still takes it; it is never
// generated. Everything of crypto/dsa is named in this file.

const (
	keyTypeDSA = "ssh-dss"
	maxDSABits = 4096
)

type (
	dsaPrivateKey = dsa.PrivateKey
	dsaPublicKey  = dsa.PublicKey
)

func dsaKey(p, q, g, y, x *big.Int) (*dsaPrivateKey, error) {
	if !positive(p, q, g, y, x) {
		return nil, damaged("a number of the DSA key is not positive")
	}
	if p.BitLen() > maxDSABits || q.BitLen() != 160 {
		return nil, unsupported("DSA key of other than 160 bits in q")
	}
	if g.Cmp(p) >= 0 || y.Cmp(p) >= 0 || x.Cmp(q) >= 0 || p.Bit(0) == 0 {
		return nil, damaged("a number of the DSA key is out of range")
	}
	if new(big.Int).Exp(g, q, p).Cmp(big.NewInt(1)) != 0 || new(big.Int).Exp(g, x, p).Cmp(y) != 0 {
		return nil, damaged("its public and private parts do not belong together")
	}
	return &dsa.PrivateKey{
		PublicKey: dsa.PublicKey{Parameters: dsa.Parameters{P: p, Q: q, G: g}, Y: y},
		X:         x,
	}, nil
}
