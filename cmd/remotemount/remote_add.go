package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/keys"
)

// remote add takes its answers from the command line. Where the name or the address is
// not there, and there is a terminal, it asks for those, and then for what most people
// have to say besides; each answer is a flag as well. Nothing is written before the
// last answer.

func remoteAddFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME`, in place of the first argument"},
		&cli.StringFlag{Name: "address", Usage: "`REMOTE`, in place of the second argument"},
	}
}

// keyFlags are those of add and edit, where a key can be kept.
func keyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "new-key", Usage: "make an RSA key of 4096 bits for this remote, and show its public line"},
		&cli.StringFlag{Name: "passphrase-file", Usage: "protect the key of --new-key by the first line of `FILE`"},
	}
}

// An addition is a remote that is to be added, as far as it is known.
type addition struct {
	name   string
	remote config.Remote
	key    newIdentity
}

func remoteAdd(c *cli.Context) error {
	store, err := config.Open(getenv)
	if err != nil {
		return err
	}
	a, err := givenAddition(c)
	if err != nil {
		return err
	}
	asks := a.name == "" || a.remote.Address == ""
	if asks {
		if err := a.converse(c, store); err != nil {
			return err
		}
	}
	if err := a.check(store); err != nil {
		return err
	}
	if err := a.keep(c, store); err != nil {
		return err
	}
	if !asks {
		return nil
	}
	next := []string{"remote test " + a.name, "mount " + a.name + " MOUNTPOINT"}
	if a.key.make {
		next = next[1:] // what comes before is told with the key
	}
	_, err = fmt.Fprintf(c.App.ErrWriter, "remotemount: %s is kept; next:\nremotemount:   remotemount %s\n", a.name, strings.Join(next, "\nremotemount:   remotemount "))
	return err
}

// givenAddition is what the command line says.
func givenAddition(c *cli.Context) (*addition, error) {
	args := c.Args().Slice()
	if len(args) > 2 {
		_, err := arguments(c, "NAME", "REMOTE")
		return nil, err
	}
	a := &addition{}
	for i, to := range []struct {
		flag  string
		value *string
	}{{"name", &a.name}, {"address", &a.remote.Address}} {
		*to.value = c.String(to.flag)
		if i < len(args) && c.IsSet(to.flag) {
			return nil, usage("remote add: --%s and %q say the same thing: one of them", to.flag, args[i])
		}
		if i < len(args) {
			*to.value = args[i]
		}
	}
	var err error
	if a.remote.Connection, err = connectionFrom(c); err != nil {
		return nil, err
	}
	a.key, err = identityFrom(c, a.remote.Connection)
	return a, err
}

// check says what is wrong before anything is made.
func (a *addition) check(store *config.Store) error {
	if err := config.CheckName(a.name); err != nil {
		return usage("%w", err)
	}
	if _, err := address.Parse(a.remote.Address, nil); err != nil {
		return err
	}
	if store.Has(a.name) {
		return nameTaken(a.name)
	}
	return nil
}

func nameTaken(name string) error {
	return fail(exitFailed, fmt.Errorf("remote %s: the name is taken", name), "remotemount remote edit "+name+", or another name")
}

// keep writes it all: the key, then the remote that names it.
func (a *addition) keep(c *cli.Context, store *config.Store) error {
	kept, err := a.key.keep(c, store, a.name, &a.remote.Connection)
	if err != nil {
		return err
	}
	err = store.Add(a.name, a.remote)
	if errors.Is(err, fs.ErrExist) {
		err = nameTaken(a.name)
	} else if err != nil {
		err = fmt.Errorf("remote %s: %w", a.name, err)
	}
	if err != nil {
		return errors.Join(err, kept.forget())
	}
	if err := kept.show(c, a.name, a.remote); err != nil {
		return err
	}
	if a.remote.Keyring {
		return keepPassword(c.Context, a.name)
	}
	return nil
}

// converse asks for what is missing.
func (a *addition) converse(c *cli.Context, store *config.Store) error {
	p := newTerminalPrompter()
	if p == nil {
		missing := "NAME is missing, the first argument or --name"
		if a.name != "" {
			missing = "REMOTE is missing, the second argument or --address"
		}
		return usageHint("remote add: "+missing+", and there is no terminal to ask at", "remotemount remote add NAME REMOTE [flags]")
	}
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	t := talk{ctx, p, c}
	err := a.ask(t, store)
	if ctx.Err() != nil || errors.Is(err, keys.ErrNoPrompt) {
		return fail(exitFailed, errors.New("interrupted; nothing was kept"), "")
	}
	return err
}

func (a *addition) ask(t talk, store *config.Store) (err error) {
	if a.name == "" {
		a.name, err = t.ask("Name of the remote:", func(text string) (string, error) {
			if err := config.CheckName(text); err != nil {
				return "", err
			}
			if store.Has(text) {
				return "", nameTaken(text)
			}
			return text, nil
		})
	}
	if err == nil && a.remote.Address == "" {
		a.remote.Address, err = t.ask("Where it is, [user@]host:[folder]:", remoteAnswer)
	}
	if err != nil {
		return err
	}
	if at, err := address.Parse(a.remote.Address, nil); err != nil {
		return err
	} else if at.Port == 0 && a.remote.Port == 0 {
		if _, err = t.ask("Port (Enter for ssh's own, mostly 22):", a.port); err != nil {
			return err
		}
	}
	if !a.login() {
		return a.askLogin(t)
	}
	return nil
}

// remoteAnswer forgives a host without its colon: nothing else can be meant here.
func remoteAnswer(text string) (string, error) {
	_, err := address.Parse(text, nil)
	if err != nil && text != "" && !strings.ContainsAny(text, ":/") {
		text += ":"
		_, err = address.Parse(text, nil)
	}
	return text, err
}

func (a *addition) port(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	n, err := address.ParsePort(text)
	a.remote.Port = n
	return text, err
}

// login: something was said of how to log in.
func (a *addition) login() bool {
	r := a.remote.Connection
	return a.key.make || len(r.Identities) > 0 || r.PasswordFile != "" || r.PasswordCommand != "" || r.AskPassword || r.Keyring || r.SSHCommand != ""
}

var logins = []string{"ssh", "key", "new-key", "password", "keyring"}

func (a *addition) askLogin(t talk) error {
	how, err := t.ask("Log in as ssh does, with a key file, with a new key, with a password asked for each time,\n"+
		"or with one in the desktop's keyring: ssh, key, new-key, password or keyring (Enter for ssh):",
		func(text string) (string, error) {
			if text != "" && !slices.Contains(logins, text) {
				return "", fmt.Errorf("%q is none of %s", text, strings.Join(logins, ", "))
			}
			return text, nil
		})
	if err != nil {
		return err
	}
	switch how {
	case "key":
		_, err = t.ask("File of the private key:", a.keyFile)
	case "new-key":
		a.key.make = true
		a.key.passphrase, err = askNewPassphrase(t.ctx, t.p, "for "+a.name)
	case "password":
		a.remote.AskPassword = true
	case "keyring":
		a.remote.Keyring = true
	}
	return err
}

func (a *addition) keyFile(text string) (string, error) {
	if text == "" || text == "-" {
		return "", errors.New("the name of a file")
	}
	data, err := keys.ReadKeyFile(expandHome(text))
	if err == nil {
		_, err = keys.Inspect(data)
	}
	a.remote.Identities = paths([]string{text})
	return text, err
}

// A talk is a conversation at the terminal.
type talk struct {
	ctx context.Context
	p   keys.Prompter
	c   *cli.Context
}

// ask asks until the answer is one, five times at most.
func (t talk) ask(question string, check func(string) (string, error)) (string, error) {
	var why error
	for range 5 {
		text, err := t.p.Ask(t.ctx, keys.Prompt{Text: question, Echo: true})
		if err != nil {
			return "", err
		}
		if text, why = check(strings.TrimSpace(text)); why == nil {
			return text, nil
		}
		if _, err := fmt.Fprintf(t.c.App.ErrWriter, "remotemount: %s\n", oneLine(why.Error())); err != nil {
			return "", err
		}
	}
	return "", fail(exitUsage, fmt.Errorf("nothing was kept: %w", why), t.c.Command.HelpName+" --help")
}
