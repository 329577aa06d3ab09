package keys

import (
	"crypto"
	"strings"

	"golang.org/x/crypto/ssh"
)

// OpenSSH's private key file, PROTOCOL.key in its sources:
//
//	"openssh-key-v1\0" cipher kdf kdf-options count public-key... string(encrypted)
//
// and inside the encrypted part: the same random number twice, then type,
// numbers and comment of each key, then the bytes 1, 2, 3... up to the cipher's
// block. A file holds one key; OpenSSH reads no others either.

const opensshMagic = "openssh-key-v1\x00"

type opensshFile struct {
	cipher, kdf string
	kdfOptions  []byte
	public      ssh.PublicKey
	encrypted   []byte
	tag         []byte // of the authenticated ciphers: what follows the encrypted part
}

func readOpenSSH(body []byte) (sealed, error) {
	rest, ok := strings.CutPrefix(string(body), opensshMagic)
	if !ok {
		return nil, damaged("it does not begin as an OpenSSH key does")
	}
	r := &wireReader{data: []byte(rest)}
	f := &opensshFile{cipher: r.string(), kdf: r.string(), kdfOptions: r.bytes()}
	count := r.uint32()
	public := r.bytes()
	f.encrypted = r.bytes()
	f.tag = r.data
	if r.failed {
		return nil, damaged("it is cut short")
	}
	if count != 1 {
		return nil, unsupported("a file with %d keys", count)
	}
	var err error
	if f.public, err = ssh.ParsePublicKey(public); err != nil {
		return nil, unsupported("public key: %v", err)
	}
	if (f.cipher == "none") != (f.kdf == "none") {
		return nil, damaged("cipher %q with key derivation %q", printable(f.cipher), printable(f.kdf))
	}
	return f, nil
}

func (f *opensshFile) info() Info {
	i := Info{Format: FormatOpenSSH, Public: f.public, Encrypted: f.cipher != "none"}
	if i.Encrypted {
		i.Cipher = f.cipher + ", " + f.kdf
	}
	return i
}

func (f *opensshFile) open(passphrase []byte) (crypto.PrivateKey, string, error) {
	c, err := opensshCipherOf(f.cipher)
	if err != nil {
		return nil, "", err
	}
	plain := f.encrypted
	if len(f.tag) != c.tag {
		return nil, "", damaged("%d bytes too many or too few at the end", len(f.tag)-c.tag)
	}
	if len(plain) == 0 || len(plain)%c.block != 0 {
		return nil, "", damaged("the length does not fit the cipher")
	}
	if f.cipher != "none" {
		secret, err := f.derive(passphrase, c.key+c.iv)
		if err != nil {
			return nil, "", err
		}
		if plain, err = c.decrypt(secret[:c.key], secret[c.key:], plain, f.tag); err != nil {
			return nil, "", err
		}
	}
	return f.openPlain(plain)
}

// maxRounds bounds the cost a file can ask of us: the default is 16 (24 since
// OpenSSH 9.6), and each round costs some milliseconds.
const maxRounds = 2048

func (f *opensshFile) derive(passphrase []byte, size int) ([]byte, error) {
	if f.kdf != "bcrypt" {
		return nil, unsupported("key derivation %q", printable(f.kdf))
	}
	r := &wireReader{data: f.kdfOptions}
	salt, rounds := r.bytes(), r.uint32()
	if r.failed || len(r.data) > 0 || len(salt) == 0 || len(salt) > 1024 || rounds == 0 {
		return nil, damaged("the options of the key derivation")
	}
	if rounds > maxRounds {
		return nil, unsupported("%d rounds of key derivation: more than %d", rounds, maxRounds)
	}
	return bcryptPBKDF(passphrase, salt, int(rounds), size)
}

func (f *opensshFile) openPlain(plain []byte) (crypto.PrivateKey, string, error) {
	r := &wireReader{data: plain}
	if a, b := r.uint32(), r.uint32(); r.failed || a != b {
		if f.cipher == "none" {
			return nil, "", damaged("its check numbers differ")
		}
		return nil, "", ErrWrongPassphrase
	}
	key, err := readOpenSSHNumbers(r)
	if err != nil {
		return nil, "", err
	}
	comment := r.string()
	if r.failed {
		return nil, "", damaged("it is cut short")
	}
	for i, b := range r.data {
		if b != byte(i+1) {
			return nil, "", damaged("its padding is not right")
		}
	}
	return key, comment, nil
}

// readOpenSSHNumbers reads a private key as it is also sent to an agent
// (draft-ietf-sshm-ssh-agent, section 3.2).
func readOpenSSHNumbers(r *wireReader) (crypto.PrivateKey, error) {
	switch kind := r.string(); kind {
	case ssh.KeyAlgoRSA:
		n, e, d := r.mpint(), r.mpint(), r.mpint()
		_, p, q := r.mpint(), r.mpint(), r.mpint() // the first is iqmp, computed anew
		return unlessCut(r, func() (crypto.PrivateKey, error) { return rsaKey(n, e, d, p, q) })
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		curve, public, d := r.string(), r.bytes(), r.mpint()
		return unlessCut(r, func() (crypto.PrivateKey, error) { return ecKey(curveOf(curve), d, public) })
	case ssh.KeyAlgoED25519:
		public, private := r.bytes(), r.bytes()
		return unlessCut(r, func() (crypto.PrivateKey, error) {
			if len(private) != 64 || string(private[32:]) != string(public) {
				return nil, damaged("its public and private parts do not belong together")
			}
			return ed25519Key(private[:32], public)
		})
	case keyTypeDSA:
		p, q, g, y, x := r.mpint(), r.mpint(), r.mpint(), r.mpint(), r.mpint()
		return unlessCut(r, func() (crypto.PrivateKey, error) { return dsaKey(p, q, g, y, x) })
	default:
		if r.failed {
			return nil, damaged("it is cut short")
		}
		if strings.HasPrefix(kind, "sk-") {
			return nil, unsupported("a key of a hardware token: put it into the agent")
		}
		return nil, unsupported("key type %q", printable(kind))
	}
}

func unlessCut(r *wireReader, build func() (crypto.PrivateKey, error)) (crypto.PrivateKey, error) {
	if r.failed {
		return nil, damaged("it is cut short")
	}
	return build()
}
