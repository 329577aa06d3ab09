package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/keys/nss"
)

func keyCommand() *cli.Command {
	passphrase := &cli.StringFlag{Name: "passphrase-file", Usage: "the passphrase is the first line of `FILE`"}
	copyFlag := &cli.BoolFlag{Name: "copy", Usage: "put the public line on the clipboard as well"}
	return &cli.Command{
		Name:  "key",
		Usage: "make, look at and convert private keys",
		Description: "A new key is RSA of 4096 bits, which every server takes; ed25519 is shorter, and known to\n" +
			"servers since 2014.",
		Subcommands: []*cli.Command{
			{Name: "generate", Usage: "make a key; the line for the server's authorized_keys goes to standard output", UsageText: "remotemount key generate [flags]",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "type", Value: "rsa", Usage: "kind of key: `rsa|ed25519`"},
					&cli.IntFlag{Name: "bits", DefaultText: "4096", Usage: "size of an RSA key in `BITS`"},
					&cli.StringFlag{Name: "out", Aliases: []string{"o"}, DefaultText: "~/.ssh/id_TYPE", Usage: "write to `FILE` and FILE.pub"},
					&cli.StringFlag{Name: "comment", Aliases: []string{"C"}, DefaultText: "user@host", Usage: "`TEXT` at the end of the public line"},
					passphrase, copyFlag,
					&cli.BoolFlag{Name: "force", Usage: "replace a key that is there; what it opened stays closed then"},
				}, Action: keyGenerate},
			{Name: "public", Usage: "print the public line of a key", UsageText: "remotemount key public FILE",
				Flags:  []cli.Flag{copyFlag, passphrase, &cli.BoolFlag{Name: "rfc4716", Usage: "in the form of RFC 4716, as commercial servers take it"}},
				Action: keyPublic},
			{Name: "inspect", Usage: "tell what is in a key file", UsageText: "remotemount key inspect FILE",
				Flags: []cli.Flag{passphrase, &cli.BoolFlag{Name: "json", Usage: "for programs"}}, Action: keyInspect},
			{Name: "convert", Usage: "write a private key in another form", UsageText: "remotemount key convert FILE --out FILE",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write to `FILE`, or - for standard output"},
					&cli.StringFlag{Name: "to", DefaultText: "by the name of --out, else openssh", Usage: "form of the new file: `openssh|pem|pkcs8|ppk`"},
					passphrase,
					&cli.StringFlag{Name: "new-passphrase-file", DefaultText: "the passphrase stays", Usage: "protect the new file by the first line of `FILE`"},
					&cli.BoolFlag{Name: "no-passphrase", Usage: "write the new file without protection"},
					&cli.BoolFlag{Name: "force", Usage: "replace a file that is there"},
				}, Action: keyConvert},
		},
	}
}

func keyGenerate(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	kind := c.String("type")
	file, err := generatedFile(c.String("out"), kind)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil && !c.Bool("force") {
		return keyIsThere(file)
	}
	key, err := keys.Generate(kind, c.Int("bits"), first(c.String("comment"), ownName()))
	if err != nil {
		return usage("key generate: %w", err)
	}
	passphrase, err := newPassphrase(c, file)
	if err != nil {
		return err
	}
	content, err := keys.Marshal(key, keys.FormatOpenSSH, passphrase)
	if err != nil {
		return err
	}
	if err := writeKey(file, content, c.Bool("force")); err != nil {
		return err
	}
	line := keys.PublicLine(key.Public(), key.Comment)
	if err := os.WriteFile(file+".pub", []byte(line+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the public key: %w", err)
	}
	return generated(c, file, key, len(passphrase) > 0, "ssh-copy-id -f -i "+shellQuote(file+".pub")+" user@host",
		"remotemount mount --identity "+shellQuote(file)+" user@host: MOUNTPOINT")
}

// generated says what was made, and what comes next: the command that takes the
// public line to the server, and the one that uses the key.
func generated(c *cli.Context, file string, key *keys.Key, protected bool, publish, use string) error {
	line := keys.PublicLine(key.Public(), key.Comment)
	out := &printer{c.App.Writer, nil}
	out.say("%s\n", line)
	notes := &printer{c.App.ErrWriter, out.err}
	notes.say("remotemount: %s written to %s and %s.pub\n", keys.Describe(key.Public()), file, file)
	if !protected {
		notes.say("remotemount: the key has no passphrase: whoever reads the file can use it\n")
	}
	if c.Bool("copy") {
		// The key is made: what is wrong with the clipboard is no failure of that.
		if err := copyToClipboard(c.Context, line); err != nil {
			notes.say("remotemount: warning: %v; %s\n", err, hintOf(err))
		} else {
			notes.say("remotemount: the public line is on the clipboard\n")
		}
	}
	makeSSHFolder()
	notes.say("remotemount: next: add that line to ~/.ssh/authorized_keys on the server, or give it to its administrator, or\n"+
		"remotemount:   %s\nremotemount: then\nremotemount:   %s\n", publish, use)
	return notes.err
}

// makeSSHFolder: ssh-copy-id works in ~/.ssh and fails without it; ssh makes it at its
// first login. Where this fails, ssh-copy-id says why.
func makeSSHFolder() {
	if home, err := os.UserHomeDir(); err == nil {
		_ = os.Mkdir(filepath.Join(home, ".ssh"), 0o700)
	}
}

// A printer writes until the first error, and keeps that.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) say(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func generatedFile(out, kind string) (string, error) {
	if out != "" {
		return filepath.Abs(expandHome(out))
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fail(exitUsage, err, "give the file with --out FILE")
	}
	return filepath.Join(home, ".ssh", "id_"+kind), nil
}

func keyIsThere(file string) error {
	return fail(exitFailed, fmt.Errorf("%s: a file is there already", file), "choose another with --out, or look what it is: remotemount key inspect "+shellQuote(file))
}

// ownName is the comment ssh-keygen would give.
func ownName() string {
	host, _ := os.Hostname()
	if u, err := nss.Current(); err == nil {
		return u.Username + "@" + host
	}
	return host
}

// newPassphrase is that of a new key: from the file, typed twice, or none.
func newPassphrase(c *cli.Context, file string) ([]byte, error) {
	if from := c.String("passphrase-file"); from != "" {
		return passphraseFromFile(from)
	}
	p := newPrompter()
	if p == nil {
		return nil, nil
	}
	return askNewPassphrase(c.Context, p, file)
}

// askNewPassphrase has it typed twice, without showing it.
func askNewPassphrase(ctx context.Context, p keys.Prompter, what string) ([]byte, error) {
	one, err := p.Ask(ctx, keys.Prompt{Text: fmt.Sprintf("Passphrase for the new key %s (empty for none): ", what)})
	if err != nil || one == "" {
		return nil, err
	}
	two, err := p.Ask(ctx, keys.Prompt{Text: "The same once more: "})
	if err != nil {
		return nil, err
	}
	if one != two {
		return nil, fail(exitFailed, errors.New("the two passphrases differ; nothing was written"), "")
	}
	return []byte(one), nil
}

func passphraseFromFile(path string) ([]byte, error) {
	text, err := passwordFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return []byte(text), nil
}

// writeKey writes a file only its owner can read, whole or not at all. Without
// force it never takes the place of another.
func writeKey(file string, content []byte, force bool) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".key-*") // 0600 by its making
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreMissing(os.Remove(tmp.Name()))) }()
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if force {
		return os.Rename(tmp.Name(), file)
	}
	if err := os.Link(tmp.Name(), file); errors.Is(err, fs.ErrExist) {
		return keyIsThere(file)
	} else if err == nil {
		return nil
	}
	return writeExclusive(file, content) // a filesystem without hard links
}

func writeExclusive(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return keyIsThere(file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		err = errors.Join(err, os.Remove(file)) // a key is whole, or not there
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unlockFile reads a private key and asks for its passphrase where it has one.
func unlockFile(ctx context.Context, data []byte, file, passphraseFile string) (*keys.Key, []byte, error) {
	info, err := keys.Inspect(data)
	if err != nil {
		return nil, nil, err
	}
	if !info.Encrypted {
		key, err := keys.Parse(data, nil)
		return key, nil, err
	}
	if passphraseFile != "" {
		passphrase, err := passphraseFromFile(passphraseFile)
		if err != nil {
			return nil, nil, err
		}
		key, err := keys.Parse(data, passphrase)
		return key, passphrase, err
	}
	p := newPrompter()
	if p == nil {
		return nil, nil, keys.ErrPassphraseNeeded
	}
	for range 3 {
		var text string
		if text, err = p.Ask(ctx, keys.Prompt{Text: fmt.Sprintf("Passphrase for the key %s: ", file)}); err != nil {
			return nil, nil, err
		}
		var key *keys.Key
		if key, err = keys.Parse(data, []byte(text)); err == nil {
			return key, []byte(text), nil
		}
		if !errors.Is(err, keys.ErrWrongPassphrase) {
			break
		}
	}
	return nil, nil, err
}
