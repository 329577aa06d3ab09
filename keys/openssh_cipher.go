package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"

	"golang.org/x/crypto/chacha20"
	//lint:ignore SA1019 the construction is OpenSSH's own, not the AEAD of the same name
	"golang.org/x/crypto/poly1305"
)

// An opensshCipher is one of the ciphers ssh-keygen -Z can encrypt a key with.
type opensshCipher struct {
	key, iv, block, tag int // sizes in bytes
	decrypt             func(key, iv, data, tag []byte) ([]byte, error)
}

func opensshCipherOf(name string) (opensshCipher, error) {
	switch name {
	case "none":
		return opensshCipher{block: 8}, nil
	case "aes128-ctr":
		return opensshCipher{16, 16, 16, 0, openCTR}, nil
	case "aes192-ctr":
		return opensshCipher{24, 16, 16, 0, openCTR}, nil
	case "aes256-ctr":
		return opensshCipher{32, 16, 16, 0, openCTR}, nil
	case "aes128-cbc":
		return opensshCipher{16, 16, 16, 0, openCBC}, nil
	case "aes192-cbc":
		return opensshCipher{24, 16, 16, 0, openCBC}, nil
	case "aes256-cbc", "rijndael-cbc@lysator.liu.se":
		return opensshCipher{32, 16, 16, 0, openCBC}, nil
	case "3des-cbc":
		return opensshCipher{24, 8, 8, 0, open3DES}, nil
	case "aes128-gcm@openssh.com":
		return opensshCipher{16, 12, 16, 16, openGCM}, nil
	case "aes256-gcm@openssh.com":
		return opensshCipher{32, 12, 16, 16, openGCM}, nil
	case "chacha20-poly1305@openssh.com":
		return opensshCipher{64, 0, 8, 16, openChaCha}, nil
	}
	return opensshCipher{}, unsupported("cipher %q", printable(name))
}

func openCTR(key, iv, data, _ []byte) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(data))
	cipher.NewCTR(b, iv).XORKeyStream(out, data)
	return out, nil
}

func openCBC(key, iv, data, _ []byte) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return decryptCBC(b, iv, data)
}

func open3DES(key, iv, data, _ []byte) ([]byte, error) {
	b, err := des.NewTripleDESCipher(key)
	if err != nil {
		return nil, err
	}
	return decryptCBC(b, iv, data)
}

// decryptCBC checks what crypto/cipher would panic at.
func decryptCBC(b cipher.Block, iv, data []byte) ([]byte, error) {
	if len(iv) != b.BlockSize() || len(data) == 0 || len(data)%b.BlockSize() != 0 {
		return nil, damaged("the length does not fit the cipher")
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(b, iv).CryptBlocks(out, data)
	return out, nil
}

// A tag that does not verify means a wrong passphrase far more often than a
// damaged file, and the two cannot be told apart.
func openGCM(key, iv, data, tag []byte) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(b)
	if err != nil {
		return nil, err
	}
	out, err := gcm.Open(nil, iv, append(append([]byte(nil), data...), tag...), nil)
	if err != nil {
		return nil, ErrWrongPassphrase
	}
	return out, nil
}

// openChaCha is OpenSSH's PROTOCOL.chacha20poly1305 for packet number zero,
// without the length: the first block of the key stream is the Poly1305 key.
func openChaCha(key, _, data, tag []byte) ([]byte, error) {
	stream, err := chacha20.NewUnauthenticatedCipher(key[:32], make([]byte, chacha20.NonceSize))
	if err != nil {
		return nil, err
	}
	var polyKey [32]byte
	stream.XORKeyStream(polyKey[:], polyKey[:])
	var want [poly1305.TagSize]byte
	poly1305.Sum(&want, data, &polyKey)
	if subtle.ConstantTimeCompare(want[:], tag) != 1 {
		return nil, ErrWrongPassphrase
	}
	stream.SetCounter(1)
	out := make([]byte, len(data))
	stream.XORKeyStream(out, data)
	return out, nil
}
