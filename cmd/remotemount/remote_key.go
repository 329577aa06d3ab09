package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/keys"
)

// A newIdentity is the key that is to be kept with a remote: one that is made
// (--new-key), or comes by standard input (--identity -). It lies in the folder keys
// beside the named remotes, and takes no other file's place.
type newIdentity struct {
	make       bool
	stdin      bool
	passphrase []byte
}

func identityFrom(c *cli.Context, conn config.Connection) (newIdentity, error) {
	k := newIdentity{make: c.Bool("new-key")}
	for _, file := range conn.Identities {
		if file == "-" && k.stdin {
			return k, usage("--identity -: standard input can be read once")
		}
		k.stdin = k.stdin || file == "-"
	}
	from := c.String("passphrase-file")
	switch {
	case k.make && len(conn.Identities) > 0:
		return k, usage("--new-key makes the key, and --identity names one: one of them")
	case from != "" && !k.make:
		return k, usage("--passphrase-file is for the key that --new-key makes")
	case from != "":
		var err error
		k.passphrase, err = passphraseFromFile(from)
		return k, err
	}
	return k, nil
}

// A keptKey is one that was written just now; nil is none.
type keptKey struct {
	file      string
	made      *keys.Key // nil when it came by standard input
	protected bool
}

// keep writes the key and has conn name its file.
func (k newIdentity) keep(c *cli.Context, store *config.Store, name string, conn *config.Connection) (*keptKey, error) {
	switch {
	case k.make:
		return k.keepMade(store, name, conn)
	case k.stdin:
		return keepRead(c, store, name, conn)
	}
	return nil, nil
}

func (k newIdentity) keepMade(store *config.Store, name string, conn *config.Connection) (*keptKey, error) {
	key, err := keys.Generate("rsa", 0, ownName())
	if err != nil {
		return nil, err
	}
	content, err := keys.Marshal(key, keys.FormatOpenSSH, k.passphrase)
	if err != nil {
		return nil, err
	}
	kept := &keptKey{file: freeKeyFile(store, name), made: key, protected: len(k.passphrase) > 0}
	if err := writeKey(kept.file, content, false); err != nil {
		return nil, err
	}
	line := keys.PublicLine(key.Public(), key.Comment)
	if err := os.WriteFile(kept.file+".pub", []byte(line+"\n"), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("write the public key: %w", err), kept.forget())
	}
	conn.Identities = []string{kept.file}
	return kept, nil
}

// keepRead takes a private key in any form, and keeps it as it is.
func keepRead(c *cli.Context, store *config.Store, name string, conn *config.Connection) (*keptKey, error) {
	data, err := io.ReadAll(io.LimitReader(c.App.Reader, maxKeyInput))
	if err != nil {
		return nil, fmt.Errorf("--identity -: %w", err)
	}
	if _, _, err := keys.ParsePublic(data); err == nil {
		return nil, fail(exitAuth, errors.New("--identity -: standard input is the public key"), "give the private one: the file without .pub")
	}
	if _, err := keys.Inspect(data); err != nil {
		return nil, fail(exitAuth, fmt.Errorf("--identity -: standard input: %w", err), "remotemount remote add NAME REMOTE --identity - <FILE")
	}
	kept := &keptKey{file: freeKeyFile(store, name)}
	if err := writeKey(kept.file, data, false); err != nil {
		return nil, err
	}
	conn.Identities = slices.Clone(conn.Identities)
	conn.Identities[slices.Index(conn.Identities, "-")] = kept.file
	return kept, nil
}

// freeKeyFile is a name that no file has: a key of a remote that was removed stays.
func freeKeyFile(store *config.Store, name string) string {
	file := filepath.Join(store.KeyDir(), name)
	for n := 2; ; n++ {
		_, private := os.Lstat(file)
		_, public := os.Lstat(file + ".pub")
		if private != nil && public != nil {
			return file
		}
		file = filepath.Join(store.KeyDir(), name+"-"+strconv.Itoa(n))
	}
}

// forget removes what was written, for a remote that could not be kept.
func (k *keptKey) forget() error {
	if k == nil {
		return nil
	}
	err := os.Remove(k.file)
	if k.made != nil {
		err = errors.Join(err, ignoreMissing(os.Remove(k.file+".pub")))
	}
	return err
}

// show says where the key is, and what the server has to learn.
func (k *keptKey) show(c *cli.Context, name string, r config.Remote) error {
	switch {
	case k == nil:
		return nil
	case k.made == nil:
		_, err := fmt.Fprintf(c.App.ErrWriter, "remotemount: the key is kept in %s\n", k.file)
		return err
	}
	next := "ssh-copy-id -f -i " + shellQuote(k.file+".pub") + copyWords(r)
	return generated(c, k.file, k.made, k.protected, next, "remotemount remote test "+name)
}

// copyWords are the arguments by which ssh-copy-id finds the server.
func copyWords(r config.Remote) string {
	at, err := address.Parse(r.Address, nil)
	if err != nil {
		return " user@host" // it was checked
	}
	words, host := "", at.Host
	if port := first(r.Port, at.Port); port != 0 && port != 22 {
		words += " -p " + strconv.Itoa(port)
	}
	if r.Jump != "" {
		words += " -o " + shellQuote("ProxyJump="+r.Jump)
	}
	if user := first(at.User, r.User); user != "" {
		host = user + "@" + host
	}
	return words + " " + shellQuote(host)
}

// keysLeft names the keys that were kept for a remote that is no more.
func keysLeft(store *config.Store, r config.Remote) []string {
	var left []string
	for _, file := range r.Identities {
		if _, err := os.Lstat(file); err == nil && strings.HasPrefix(file, store.KeyDir()+"/") {
			left = append(left, file)
		}
	}
	return left
}
