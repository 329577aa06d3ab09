package keys

import (
	"crypto/sha512"

	//lint:ignore SA1019 the format asks for it
	"golang.org/x/crypto/blowfish"
)

// bcryptPBKDF is the key derivation of OpenSSH's private keys: PBKDF2 with
// bcrypt in place of HMAC, and with the output bytes dealt out so that every
// part of the key needs all of the work. It is specified by OpenBSD's
// lib/libutil/bcrypt_pbkdf.c; x/crypto/ssh has it, but only for itself.
func bcryptPBKDF(passphrase, salt []byte, rounds, size int) ([]byte, error) {
	const block = 32
	blocks := (size + block - 1) / block
	out := make([]byte, blocks*block)
	pass := sha512.Sum512(passphrase)
	for n := 1; n <= blocks; n++ {
		count := append(append([]byte(nil), salt...), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		seed := sha512.Sum512(count)
		part, err := bcryptHash(pass[:], seed[:])
		if err != nil {
			return nil, err
		}
		sum := append([]byte(nil), part...)
		for range rounds - 1 {
			seed = sha512.Sum512(part)
			if part, err = bcryptHash(pass[:], seed[:]); err != nil {
				return nil, err
			}
			for i := range sum {
				sum[i] ^= part[i]
			}
		}
		for i, b := range sum {
			out[i*blocks+n-1] = b
		}
	}
	return out[:size], nil
}

// bcryptHash encrypts a fixed text 64 times with Blowfish, its key schedule
// made slow as in bcrypt with cost 6, and gives the words in little endian.
func bcryptHash(pass, salt []byte) ([]byte, error) {
	c, err := blowfish.NewSaltedCipher(pass, salt)
	if err != nil {
		return nil, err
	}
	for range 64 {
		blowfish.ExpandKey(salt, c)
		blowfish.ExpandKey(pass, c)
	}
	text := []byte("OxychromaticBlowfishSwatDynamite")
	for range 64 {
		for i := 0; i < len(text); i += blowfish.BlockSize {
			c.Encrypt(text[i:], text[i:])
		}
	}
	for i := 0; i < len(text); i += 4 {
		text[i], text[i+1], text[i+2], text[i+3] = text[i+3], text[i+2], text[i+1], text[i]
	}
	return text, nil
}
