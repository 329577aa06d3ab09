package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// An identity is a private key file named by the user, or one of ssh's default
// names that is there. The file of a key whose private half is in the agent may
// be the public one.
type identity struct {
	source string        // the path, for messages and the vault
	data   []byte        // the private key file; nil when the file is a public key
	info   Info          // what the file tells without its passphrase
	public ssh.PublicKey // nil when only the passphrase can tell
	certs  []*ssh.Certificate
	byUser bool // named, not a default
	byFlag bool // named in this call, and not by ssh_config
	client *Client
	told   sync.Once // that it is a public key of no use
}

// sha1Also: the key may sign with SHA-1 too.
func (id *identity) sha1Also() bool { return id.client.takes(ssh.KeyAlgoRSA) }

// defaultIdentities are ssh's, in its order.
var defaultIdentities = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_dsa"}

// fromStdin is the source of a key pasted on standard input.
const fromStdin = "standard input"

// maxKeyFile bounds what is read as a key: a 16384-bit RSA key is 13 KiB.
const maxKeyFile = 1 << 20

// readIdentities reads the files. One the user named in this call must be
// usable; one that ssh_config names, or that ssh would try by default, is left
// out with a word in the log, or at most names a key of the agent.
func (c *Client) readIdentities() error {
	files, err := c.expand(c.cfg.Identities)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	byUser := len(files) > 0
	if !c.noDefaults {
		files = defaultIdentityFiles(c.cfg.Home)
	}
	for i, file := range files {
		id, err := c.readIdentity(file, byUser)
		switch {
		case err == nil:
			id.byFlag = i < len(c.flags.Identities)
			c.identities = append(c.identities, id)
		case i < len(c.flags.Identities):
			return fmt.Errorf("identity %s: %w", file, err)
		case !errors.Is(err, fs.ErrNotExist):
			c.cfg.Log.Warn("an identity cannot be used", "file", file, "error", err)
			if id.public != nil {
				c.identities = append(c.identities, id)
			}
		}
	}
	return c.readCertificates()
}

// readIdentity reads one file. A public key in its place, or beside one that is not
// there, still names a key of the agent. So does a private key that others can read, or
// that we cannot; that comes with the error.
func (c *Client) readIdentity(file string, byUser bool) (*identity, error) {
	id := &identity{source: file, byUser: byUser, client: c}
	if file == "-" {
		id.source = fromStdin
		return id, c.readStdin(id)
	}
	data, err := ReadKeyFile(file)
	var open *PermissionError
	switch {
	case err == nil:
		return id, id.set(data, file)
	case errors.As(err, &open):
		if id.set(data, file) == nil {
			id.data, id.info = nil, Info{}
		}
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		if pub, perr := readPublicKey(file + ".pub"); perr == nil {
			id.public = pub
		}
	}
	if id.public != nil && errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	return id, err
}

// readStdin reads a key from standard input, once: it is kept for the time when
// the configuration is settled anew.
func (c *Client) readStdin(id *identity) error {
	if c.stdin == nil {
		if c.cfg.Stdin == nil {
			return errors.New("there is no standard input to read it from")
		}
		data, err := io.ReadAll(io.LimitReader(c.cfg.Stdin, maxKeyFile))
		if err != nil {
			return err
		}
		c.stdin = data
	}
	return id.set(c.stdin, "")
}

func (id *identity) set(data []byte, file string) error {
	if pub, _, err := ParsePublic(data); err == nil {
		id.public = pub
		return nil
	}
	info, err := Inspect(data)
	if err != nil {
		return err
	}
	id.data, id.info, id.public = data, info, info.Public
	if id.public == nil && file != "" {
		if pub, err := readPublicKey(file + ".pub"); err == nil {
			id.public = pub
		}
	}
	return nil
}

// ReadKeyFile reads a private key file. One that others can read gives a
// PermissionError, besides the content: ssh refuses such a file, because it is
// no longer a secret and the person should know.
func ReadKeyFile(file string) ([]byte, error) {
	data, info, err := readKey(file)
	if err != nil {
		return nil, err
	}
	if _, _, err := ParsePublic(data); err == nil {
		return data, nil
	}
	return data, checkPermissions(file, info)
}

func readPublicKey(file string) (ssh.PublicKey, error) {
	data, _, err := readKey(file)
	if err != nil {
		return nil, err
	}
	key, _, err := ParsePublic(data)
	return key, err
}

// readKey reads as much of a file as a key can have.
func readKey(file string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	info, serr := f.Stat()
	return data, info, errors.Join(err, serr, f.Close())
}

// readCertificates finds the certificates of the identities: FILE-cert.pub, and
// those the configuration names.
func (c *Client) readCertificates() error {
	for _, id := range c.identities {
		if id.source == fromStdin {
			continue
		}
		if cert := c.readCertificate(strings.TrimSuffix(id.source, ".pub") + "-cert.pub"); cert != nil {
			id.addCertificate(cert)
		}
	}
	for _, file := range c.certificates {
		cert := c.readCertificate(file)
		if cert == nil {
			continue
		}
		c.named = append(c.named, cert)
		for _, id := range c.identities {
			id.addCertificate(cert)
		}
	}
	return nil
}

func (c *Client) readCertificate(file string) *ssh.Certificate {
	key, err := readPublicKey(file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.cfg.Log.Debug("a certificate cannot be used", "file", file, "error", err)
		}
		return nil
	}
	cert, _ := key.(*ssh.Certificate)
	return cert
}

func (id *identity) addCertificate(cert *ssh.Certificate) {
	if id.public == nil || sameKey(id.public, cert.Key) {
		id.certs = append(id.certs, cert)
	}
}

// asks reports whether using the key means to ask somebody who did not name it.
func (id *identity) asks() bool {
	if id.byFlag || !id.info.Encrypted {
		return false
	}
	_, unlocked := id.client.secrets.get(id.secretName())
	return !unlocked
}

func (id *identity) secretName() string { return "key " + id.source }

// open unlocks the key, asking for the passphrase at most three times. It stays
// unlocked in memory.
func (id *identity) open(ctx context.Context) (ssh.Signer, error) {
	signer, err := id.client.secrets.obtain(ctx, id.secretName(), func() (any, error) { return id.unlock(ctx) })
	if err != nil {
		return nil, err
	}
	return signer.(ssh.Signer), nil
}

func (id *identity) unlock(ctx context.Context) (any, error) {
	if !id.info.Encrypted {
		key, err := Parse(id.data, nil)
		if err != nil {
			return nil, err
		}
		id.client.addToAgent(ctx, key, id.source)
		return key.Signer(id.sha1Also())
	}
	err := ErrPassphraseNeeded
	for range id.client.asks {
		text := fmt.Sprintf("Passphrase for the key %s: ", id.source)
		passphrase, aerr := id.client.ask(ctx, Prompt{Text: text})
		if aerr != nil {
			return nil, fmt.Errorf("%w: %w", err, aerr)
		}
		var key *Key
		if key, err = Parse(id.data, []byte(passphrase)); err == nil {
			id.client.addToAgent(ctx, key, id.source)
			return key.Signer(id.sha1Also())
		}
		if !errors.Is(err, ErrWrongPassphrase) {
			return nil, err
		}
	}
	return nil, err
}
