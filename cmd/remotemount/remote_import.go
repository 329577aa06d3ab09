package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"github.com/zalando/go-keyring"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/foreign"
	"github.com/remotemount/remotemount/keys"
)

// maxImport bounds what is read as a configuration.
const maxImport = 4 << 20

func remoteImportCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "take over the remotes of ssh_config or rclone", UsageText: "remotemount remote import [--dry-run] ssh|rclone [FILE]",
		Description: "ssh: the hosts that ~/.ssh/config names, which goes on being read at each use.\n" +
			"rclone: the SFTP remotes of rclone.conf; a password goes to the keyring if you say so.\n" +
			"Names that are taken are kept. FILE is another file, for rclone also - for standard input.",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would be done, and change nothing"}},
		Action: remoteImport,
	}
}

func remoteImport(c *cli.Context) error {
	args := c.Args().Slice()
	if len(args) == 0 || len(args) > 2 {
		_, err := arguments(c, "ssh|rclone", "FILE")
		return err
	}
	store, err := config.Open(getenv)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var file string
	if len(args) == 2 {
		file = absolute(args[1])
	}
	found, file, err := foreignRemotes(ctx, c, args[0], file)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		_, err := fmt.Fprintf(c.App.ErrWriter, "remotemount: there is no remote in %s\n", file)
		return err
	}
	im := &importing{ctx: ctx, store: store, dry: c.Bool("dry-run"), prompt: newTerminalPrompter(), out: &printer{c.App.Writer, nil}}
	return im.all(found)
}

// foreignRemotes reads what is to be imported, and tells from where.
func foreignRemotes(ctx context.Context, c *cli.Context, kind, file string) ([]foreign.Found, string, error) {
	switch kind {
	case "ssh":
		found, err := foreign.SSH(ctx, file, getenv("HOME"))
		if err != nil {
			return nil, "", fail(exitFailed, err, "ssh -G HOST tells what ssh makes of it")
		}
		return found, first(file, "~/.ssh/config"), nil
	case "rclone":
		file = first(file, rcloneFile())
		text, err := readConfig(c.App.Reader, file)
		if err != nil {
			return nil, "", fail(exitFailed, err, "rclone config file tells where it is")
		}
		found, err := foreign.Rclone(text)
		if errors.Is(err, foreign.ErrEncrypted) {
			return nil, "", fail(exitFailed, fmt.Errorf("%s: %w", file, err), "rclone config show | remotemount remote import rclone -")
		}
		if err != nil {
			return nil, "", fail(exitFailed, fmt.Errorf("%s: %w", file, err), "")
		}
		return found, file, nil
	}
	return nil, "", usageHint(fmt.Sprintf("remote import %s: ssh or rclone", kind), "remotemount remote import --help")
}

// rcloneFile is where rclone has its configuration.
func rcloneFile() string {
	if file := getenv("RCLONE_CONFIG"); file != "" {
		return file
	}
	base := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) {
		base = filepath.Join(getenv("HOME"), ".config")
	}
	return filepath.Join(base, "rclone", "rclone.conf")
}

func readConfig(stdin io.Reader, file string) (string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(expandHome(file))
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err == nil && len(text) > maxImport {
		err = fmt.Errorf("%s: larger than %d MiB, which no configuration is", file, maxImport>>20)
	}
	return string(text), err
}

// An importing adds what was found, a remote after the other, each whole or not at all.
type importing struct {
	ctx    context.Context
	store  *config.Store
	dry    bool
	prompt keys.Prompter // nil: nobody can be asked
	out    *printer
	left   int // left out
}

func (im *importing) all(found []foreign.Found) error {
	for _, f := range found {
		if err := im.one(f); err != nil {
			return err
		}
	}
	if im.out.err == nil && im.left > 0 {
		return fail(exitPartly, fmt.Errorf("%d of %d remotes were left out", im.left, len(found)), "remotemount remote add NAME REMOTE adds one by hand")
	}
	return im.out.err
}

// one adds a remote and says so. Its error is that of an interruption alone.
func (im *importing) one(f foreign.Found) error {
	did, note, err := "added", "", f.Wrong
	switch {
	case err != nil:
	case im.store.Has(f.Name):
		im.say(f, "kept", "a remote of this name is there already")
		return nil
	case im.dry:
		did, note = "new", map[bool]string{true: "has a password, which goes to the keyring if you say so"}[f.Password != ""]
	default:
		note, err = im.add(f)
	}
	if im.ctx.Err() != nil {
		return fail(exitFailed, fmt.Errorf("interrupted at %s, which was not added", oneLine(f.Name)), "")
	}
	if err != nil {
		im.left++
		im.say(f, "left out", strings.TrimSpace(err.Error()))
		return nil
	}
	im.say(f, did, f.Remote.Address)
	if len(f.Unkept) > 0 {
		im.say(f, "", "not kept, for there is nothing like it here: "+strings.Join(f.Unkept, ", "))
	}
	if note != "" {
		im.say(f, "", note)
	}
	return nil
}

func (im *importing) say(f foreign.Found, did, text string) {
	im.out.say("%-16s %-9s %s\n", oneLine(f.Name), did, oneLine(text))
}

// add writes the key, the remote and, after asking, the password. What fails takes the
// rest with it.
func (im *importing) add(f foreign.Found) (note string, err error) {
	keep := false
	if f.Password != "" {
		if keep, err = im.mayKeep(f); err != nil {
			return "", err
		}
		f.Remote.Keyring, f.Remote.AskPassword = keep, !keep
	}
	var kept *keptKey
	if f.Key != nil {
		kept = &keptKey{file: freeKeyFile(im.store, f.Name)}
		if err := writeKey(kept.file, f.Key, false); err != nil {
			return "", err
		}
		f.Remote.Identities = append(f.Remote.Identities, kept.file)
		note = "the key is kept in " + kept.file
	}
	if err := im.store.Add(f.Name, f.Remote); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = errors.New("a remote of this name was added just now")
		}
		return "", errors.Join(err, kept.forget())
	}
	switch {
	case keep:
		if note, err = im.keepPassword(f, note); err != nil {
			return "", errors.Join(err, im.store.Remove(f.Name), kept.forget())
		}
	case f.Password != "":
		note = join(note, "its password is not kept, and asked for at each login")
	}
	return note, nil
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// mayKeep asks whether the password may be put into the keyring. Where nobody can be
// asked it is not.
func (im *importing) mayKeep(f foreign.Found) (bool, error) {
	if im.prompt == nil {
		return false, nil
	}
	question := fmt.Sprintf("%s: put the password of %s into the desktop's keyring? yes or no (Enter for no):", f.Name, f.Remote.Address)
	for range 3 {
		text, err := im.prompt.Ask(im.ctx, keys.Prompt{Text: question, Echo: true})
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "yes", "y":
			return true, nil
		case "no", "n", "":
			return false, nil
		}
	}
	return false, errors.New("neither yes nor no was answered")
}

func (im *importing) keepPassword(f foreign.Found, note string) (string, error) {
	t, err := newTarget(f.Name, config.Connection{})
	if err != nil {
		return "", err
	}
	switch _, err := keyring.Get(keyringService, t.keyringName()); {
	case err == nil:
		return join(note, "the keyring has a password of "+t.keyringName()+" already, which stays"), nil
	case !errors.Is(err, keyring.ErrNotFound):
		return "", fmt.Errorf("keyring: %w", err)
	}
	if err := keyring.Set(keyringService, t.keyringName(), f.Password); err != nil {
		return "", fmt.Errorf("keyring: %w", err)
	}
	return join(note, "its password is in the keyring"), nil
}
