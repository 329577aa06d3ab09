package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/ssh"
)

// PuTTY's private key file, versions 2 and 3, as described in PuTTY's manual,
// appendix C "PPK file format". The public half is in the clear; type, cipher,
// comment, public and private half are authenticated by an HMAC.

type ppkFile struct {
	version             int
	kind, cipher        string
	comments            []string // as written, and without stray blanks
	public              []byte
	key                 ssh.PublicKey
	private, mac        []byte
	kdf                 string
	memory, passes, par uint32
	salt                []byte
}

// readPPK reads the file line by line: "Name: value", and base64 after the two
// "-Lines" headers.
func readPPK(data []byte) (sealed, error) {
	f := &ppkFile{}
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
	text = text[strings.Index(text, "PuTTY-User-Key-File-"):]
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		name, value, ok := strings.Cut(lines[i], ":")
		if !ok {
			continue
		}
		name, exact := strings.TrimSpace(name), strings.TrimPrefix(value, " ")
		value = strings.TrimSpace(value)
		switch name {
		case "Comment":
			f.comments = []string{exact, value}
		case "Public-Lines", "Private-Lines":
			blob, used, err := ppkLines(value, lines[i+1:])
			if err != nil {
				return nil, err
			}
			i += used
			if name == "Public-Lines" {
				f.public = blob
			} else {
				f.private = blob
			}
		default:
			if err := f.header(name, value); err != nil {
				return nil, err
			}
		}
	}
	return f, f.check()
}

func ppkLines(count string, lines []string) ([]byte, int, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > len(lines) {
		return nil, 0, damaged("it is cut short")
	}
	blob, err := decodeBase64(strings.Join(lines[:n], ""))
	if err != nil {
		return nil, 0, damaged("a part of it is not base64")
	}
	return blob, n, nil
}

func (f *ppkFile) header(name, value string) (err error) {
	switch name {
	case "PuTTY-User-Key-File-2":
		f.version, f.kind = 2, value
	case "PuTTY-User-Key-File-3":
		f.version, f.kind = 3, value
	case "Encryption":
		f.cipher = value
	case "Key-Derivation":
		f.kdf = value
	case "Argon2-Memory":
		f.memory, err = ppkNumber(value)
	case "Argon2-Passes":
		f.passes, err = ppkNumber(value)
	case "Argon2-Parallelism":
		f.par, err = ppkNumber(value)
	case "Argon2-Salt":
		f.salt, err = hex.DecodeString(value)
	case "Private-MAC":
		f.mac, err = hex.DecodeString(value)
	case "Private-Hash":
		return unsupported("a PPK file of version 1")
	default:
		if strings.HasPrefix(name, "PuTTY-User-Key-File-") {
			return unsupported("a PPK file of version %s", printable(strings.TrimPrefix(name, "PuTTY-User-Key-File-")))
		}
	}
	if err != nil {
		return damaged("%s", name)
	}
	return nil
}

func ppkNumber(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

func (f *ppkFile) check() (err error) {
	if f.version == 0 || f.public == nil || f.private == nil || len(f.mac) == 0 || len(f.comments) == 0 {
		return damaged("a part of the PPK file is missing")
	}
	if f.key, err = ssh.ParsePublicKey(f.public); err != nil {
		return unsupported("public key: %v", err)
	}
	if f.key.Type() != f.kind {
		return damaged("it says %q and holds %q", printable(f.kind), f.key.Type())
	}
	switch f.cipher {
	case "none":
	case "aes256-cbc":
		if len(f.private) == 0 || len(f.private)%aes.BlockSize != 0 {
			return damaged("the length does not fit the cipher")
		}
	default:
		return unsupported("cipher %q", printable(f.cipher))
	}
	return nil
}

func (f *ppkFile) info() Info {
	i := Info{Format: FormatPPK2, Comment: f.comments[1], Public: f.key, Encrypted: f.cipher != "none"}
	if f.version == 3 {
		i.Format = FormatPPK3
	}
	if i.Encrypted {
		i.Cipher = f.cipher
		if f.kdf != "" {
			i.Cipher += ", " + f.kdf
		}
	}
	return i
}

func (f *ppkFile) open(passphrase []byte) (crypto.PrivateKey, string, error) {
	keys, err := f.derive(passphrase)
	if err != nil {
		return nil, "", err
	}
	plain := f.private
	if f.cipher != "none" {
		if plain, err = openCBC(keys.cipher, keys.iv, f.private, nil); err != nil {
			return nil, "", err
		}
	}
	if !f.verify(plain, keys) {
		if f.cipher != "none" {
			return nil, "", ErrWrongPassphrase
		}
		return nil, "", damaged("its checksum does not fit")
	}
	key, err := f.numbers(&wireReader{data: plain})
	return key, f.comments[1], err
}

type ppkKeys struct{ cipher, iv, mac []byte }

// Bounds on the work a file can ask for; PuTTY's own default is 8 MiB and the
// passes that take a tenth of a second.
const (
	maxArgonMemory = 1 << 19 // KiB
	maxArgonPasses = 1 << 12
	maxArgonWork   = 1 << 22 // memory in KiB times passes
)

func (f *ppkFile) derive(passphrase []byte) (ppkKeys, error) {
	if f.version == 2 {
		return ppk2Keys(passphrase), nil
	}
	if f.cipher == "none" {
		return ppkKeys{}, nil
	}
	if f.memory < 8 || f.passes < 1 || f.par < 1 || f.memory > maxArgonMemory || f.passes > maxArgonPasses ||
		f.par > 255 || uint64(f.memory)*uint64(f.passes) > maxArgonWork {
		return ppkKeys{}, unsupported("Argon2 with %d KiB, %d passes and %d lanes", f.memory, f.passes, f.par)
	}
	var out []byte
	switch f.kdf {
	case "Argon2id":
		out = argon2.IDKey(passphrase, f.salt, f.passes, f.memory, uint8(f.par), 80)
	case "Argon2i":
		out = argon2.Key(passphrase, f.salt, f.passes, f.memory, uint8(f.par), 80)
	case "Argon2d":
		out = argon2d(passphrase, f.salt, f.passes, f.memory, f.par, 80)
	default:
		return ppkKeys{}, unsupported("key derivation %q", printable(f.kdf))
	}
	return ppkKeys{out[:32], out[32:48], out[48:]}, nil
}

func ppk2Keys(passphrase []byte) ppkKeys {
	a := sha1.Sum(append([]byte{0, 0, 0, 0}, passphrase...))
	b := sha1.Sum(append([]byte{0, 0, 0, 1}, passphrase...))
	mac := sha1.Sum(append([]byte("putty-private-key-file-mac-key"), passphrase...))
	return ppkKeys{append(a[:], b[:12]...), make([]byte, aes.BlockSize), mac[:]}
}

// verify compares the MAC, with the comment as written and without the blanks
// that pasting may have added.
func (f *ppkFile) verify(plain []byte, keys ppkKeys) bool {
	for _, comment := range f.comments {
		if hmac.Equal(f.mac, ppkMAC(f.version, f.kind, f.cipher, comment, f.public, plain, keys.mac)) {
			return true
		}
	}
	return false
}

func ppkMAC(version int, kind, cipher, comment string, public, plain, key []byte) []byte {
	var create func() hash.Hash = sha256.New
	if version == 2 {
		create = sha1.New
	}
	w := &wireWriter{}
	w.string(kind)
	w.string(cipher)
	w.string(comment)
	w.bytes(public)
	w.bytes(plain)
	mac := hmac.New(create, key)
	mac.Write(w.data)
	return mac.Sum(nil)
}

// numbers reads the private half; the public half has the rest.
func (f *ppkFile) numbers(r *wireReader) (crypto.PrivateKey, error) {
	pub := &wireReader{data: f.public}
	pub.string()
	switch f.kind {
	case ssh.KeyAlgoRSA:
		e, n := pub.mpint(), pub.mpint()
		d, p, q := r.mpint(), r.mpint(), r.mpint()
		return unlessCut(r, func() (crypto.PrivateKey, error) { return rsaKey(n, e, d, p, q) })
	case keyTypeDSA:
		p, q, g, y := pub.mpint(), pub.mpint(), pub.mpint(), pub.mpint()
		x := r.mpint()
		return unlessCut(r, func() (crypto.PrivateKey, error) { return dsaKey(p, q, g, y, x) })
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		curve, point := pub.string(), pub.bytes()
		d := r.mpint()
		return unlessCut(r, func() (crypto.PrivateKey, error) { return ecKey(curveOf(curve), d, point) })
	case ssh.KeyAlgoED25519:
		public, seed := pub.bytes(), r.bytes()
		return unlessCut(r, func() (crypto.PrivateKey, error) { return ed25519Key(ppkSeed(seed), public) })
	}
	return nil, unsupported("key type %q", printable(f.kind))
}

// ppkSeed puts back zeros that PuTTY leaves out at the end of a seed, which it
// treats as a number in little endian.
func ppkSeed(seed []byte) []byte {
	if len(seed) > 32 {
		return seed
	}
	out := make([]byte, 32)
	copy(out, seed)
	return out
}
