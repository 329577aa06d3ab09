package keys

import (
	"crypto"
	"crypto/des"
	"crypto/md5"
	"math/big"
	"strings"
)

// The private key of ssh.com and Tectia, whose only description is in code that
// reads it (PuTTY's import.c is the clearest):
//
//	uint32 magic, uint32 length of the whole, string type, string cipher,
//	string( uint32 length, numbers, padding ), encrypted
//
// Numbers are a count of bits and the bytes that hold them. There is no
// checksum: a wrong passphrase shows by a length that cannot be.

const ssh2Magic = 0x3f6ff9eb

type ssh2File struct {
	kind, cipher, comment string
	data                  []byte
}

func readSSH2(text string) (sealed, error) {
	a, err := findArmor(text, "---- ", func(label string) bool {
		return strings.HasPrefix(label, "SSH2 ") && strings.HasSuffix(label, "PRIVATE KEY")
	})
	if err != nil {
		return nil, err
	}
	r := &wireReader{data: a.body}
	if r.uint32() != ssh2Magic {
		return nil, damaged("it does not begin as an SSH2 key does")
	}
	if int64(r.uint32()) != int64(len(a.body)) {
		return nil, damaged("its length is not what it says")
	}
	f := &ssh2File{kind: r.string(), cipher: r.string(), data: r.bytes(), comment: strings.Trim(a.headers["comment"], `"`)}
	if r.failed {
		return nil, damaged("it is cut short")
	}
	return f, nil
}

func (f *ssh2File) info() Info {
	i := Info{Format: FormatSSH2, Comment: f.comment, Encrypted: f.cipher != "none"}
	if i.Encrypted {
		i.Cipher = f.cipher
	}
	return i
}

func (f *ssh2File) open(passphrase []byte) (crypto.PrivateKey, string, error) {
	plain, wrong := f.data, damaged("it is cut short")
	switch f.cipher {
	case "none":
	case "3des-cbc":
		block, err := des.NewTripleDESCipher(ssh2Key(passphrase))
		if err != nil {
			return nil, "", err
		}
		if plain, err = decryptCBC(block, make([]byte, des.BlockSize), f.data); err != nil {
			return nil, "", err
		}
		wrong = ErrWrongPassphrase
	default:
		return nil, "", unsupported("cipher %q", printable(f.cipher))
	}
	inner := (&wireReader{data: plain}).bytes()
	if len(inner) == 0 {
		return nil, "", wrong
	}
	r := &ssh2Reader{wireReader{data: inner}}
	key, err := r.key(f.kind)
	if r.failed {
		return nil, "", wrong
	}
	return key, f.comment, err
}

// ssh2Key makes 24 bytes of a passphrase.
func ssh2Key(passphrase []byte) []byte {
	first := md5.Sum(passphrase)
	second := md5.Sum(append(append([]byte(nil), passphrase...), first[:]...))
	return append(first[:], second[:8]...)
}

// An ssh2Reader reads the numbers of this format.
type ssh2Reader struct{ wireReader }

func (r *ssh2Reader) number() *big.Int {
	bits := r.uint32()
	if bits > maxRSABits+8 {
		r.failed = true
		return new(big.Int)
	}
	return new(big.Int).SetBytes(r.take(int(bits+7) / 8))
}

func (r *ssh2Reader) key(kind string) (crypto.PrivateKey, error) {
	switch {
	case strings.HasPrefix(kind, "if-modn"):
		e, d, n := r.number(), r.number(), r.number()
		_, p, q := r.number(), r.number(), r.number() // the first is u, the coefficient
		return unlessCut(&r.wireReader, func() (crypto.PrivateKey, error) { return rsaKey(n, e, d, p, q) })
	case strings.HasPrefix(kind, "dl-modp"):
		if r.uint32() != 0 {
			return nil, unsupported("DSA with predefined parameters")
		}
		p, g, q, y, x := r.number(), r.number(), r.number(), r.number(), r.number()
		return unlessCut(&r.wireReader, func() (crypto.PrivateKey, error) { return dsaKey(p, q, g, y, x) })
	}
	return nil, unsupported("key type %q", printable(kind))
}
