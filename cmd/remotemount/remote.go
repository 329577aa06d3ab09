package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pelletier/go-toml/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/keys"
)

func remoteCommand() *cli.Command {
	retry := &cli.GenericFlag{Name: "retry", Value: new(config.Duration), DefaultText: "10m", Usage: "keep written data for `TIME` while the server cannot be reached"}
	unset := &cli.StringSliceFlag{Name: "unset", Usage: "forget the setting `FLAG`; may be repeated"}
	address := &cli.StringFlag{Name: "address", Usage: "the new `REMOTE`"}
	return &cli.Command{
		Name:  "remote",
		Usage: "give remotes a name, and keep how to reach them",
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "keep a remote under a name", UsageText: "remotemount remote add [NAME [REMOTE]] [flags]",
				Description: "What is missing of NAME and REMOTE is asked for at the terminal, and then how to log in.\n" +
					"A key of --new-key or --identity - is kept beside the remote, for you alone to read.",
				Flags: slices.Concat(connectionFlags(), []cli.Flag{retry}, remoteAddFlags(), keyFlags()), Action: remoteAdd},
			remoteImportCommand(),
			{Name: "list", Usage: "list the names", UsageText: "remotemount remote list", Action: remoteList},
			{Name: "show", Usage: "show what is kept of a remote", UsageText: "remotemount remote show NAME", Action: remoteShow},
			{Name: "edit", Usage: "change what is kept", UsageText: "remotemount remote edit NAME [flags]",
				Flags: slices.Concat(connectionFlags(), []cli.Flag{retry, address, unset}, keyFlags()), Action: remoteEdit},
			{Name: "test", Usage: "connect, log in and look at the folder", UsageText: "remotemount remote test [--write] NAME",
				Flags: []cli.Flag{writeFlag()}, Action: remoteTest},
			{Name: "remove", Usage: "forget a remote; nothing on the server changes", UsageText: "remotemount remote remove NAME", Action: remoteRemove},
		},
	}
}

// keepPassword asks for the password of a remote that names the keyring.
func keepPassword(ctx context.Context, name string) error {
	t, err := newTarget(name, config.Connection{})
	if err != nil {
		return err
	}
	if _, err := passwordFromKeyring(t.keyringName()); err == nil {
		return nil
	}
	return storeInKeyring(ctx, newPrompter(), t.keyringName())
}

func remoteList(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	store, err := config.Open(getenv)
	if err != nil {
		return err
	}
	names, err := store.Names()
	if err != nil {
		return err
	}
	mounts, _ := control.NewClient(getenv).All(c.Context) // a mount that does not answer is no matter of the list
	someDisabled := hasDisabledHosts()
	for _, name := range names {
		text := ""
		if r, err := store.Get(name); err != nil {
			text = "(" + oneLine(err.Error()) + ")"
		} else {
			text = r.Address
		}
		if _, err := fmt.Fprintf(c.App.Writer, "%-16s %s\n", name, text); err != nil {
			return err
		}
		for _, line := range attentionOf(c.Context, name, mounts, someDisabled) {
			if _, err := fmt.Fprintf(c.App.Writer, "%-16s %s\n", "", oneLine(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasDisabledHosts: there is a host whose key changed.
func hasDisabledHosts() bool {
	dir, err := stateDir()
	if err != nil {
		return false
	}
	hosts, err := (&keys.KnownHosts{StateDir: dir}).Disabled()
	return err == nil && len(hosts) > 0
}

// openNamed reads the one remote a verb is about.
func openNamed(c *cli.Context) (*config.Store, string, config.Remote, error) {
	args, err := arguments(c, "NAME")
	if err != nil {
		return nil, "", config.Remote{}, err
	}
	store, err := config.Open(getenv)
	if err != nil {
		return nil, "", config.Remote{}, err
	}
	if err := config.CheckName(args[0]); err != nil {
		return nil, "", config.Remote{}, usage("%w", err)
	}
	r, err := readRemote(store, args[0])
	return store, args[0], r, err
}

func remoteShow(c *cli.Context) error {
	_, _, r, err := openNamed(c)
	if err != nil {
		return err
	}
	text, err := toml.Marshal(r)
	if err != nil {
		return err
	}
	_, err = c.App.Writer.Write(text)
	return err
}

func remoteEdit(c *cli.Context) error {
	store, name, r, err := openNamed(c)
	if err != nil {
		return err
	}
	said, err := connectionFrom(c)
	if err != nil {
		return err
	}
	identity, err := identityFrom(c, said)
	if err != nil {
		return err
	}
	before := r
	for _, flag := range c.StringSlice("unset") {
		if err := unsetField(&r.Connection, flag); err != nil {
			return err
		}
	}
	r.Connection = said.Over(r.Connection)
	if c.IsSet("address") {
		r.Address = c.String("address")
	}
	if reflect.DeepEqual(r, before) && !identity.make {
		return usageHint("remote edit "+name+": nothing to change was said", "remotemount remote edit --help lists the flags")
	}
	if err := r.Check(); err != nil {
		return usage("remote %s: %w", name, err)
	}
	kept, err := identity.keep(c, store, name, &r.Connection)
	if err != nil {
		return err
	}
	if err := store.Replace(name, r); err != nil {
		return errors.Join(err, kept.forget())
	}
	if err := kept.show(c, name, r); err != nil {
		return err
	}
	if said.Keyring {
		return keepPassword(c.Context, name)
	}
	return nil
}

// unsetField forgets one setting, by the name of its flag.
func unsetField(conn *config.Connection, flag string) error {
	key := strings.ReplaceAll(strings.TrimLeft(flag, "-"), "-", "_")
	v := reflect.ValueOf(conn).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		if name == key {
			v.Field(i).SetZero()
			return nil
		}
	}
	return usageHint(fmt.Sprintf("--unset %s: there is no such setting", flag), "remotemount remote show NAME lists what is set")
}

func remoteTest(c *cli.Context) error {
	_, name, _, err := openNamed(c)
	if err != nil {
		return err
	}
	t, err := newTarget(name, config.Connection{})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	l, err := connectFor(ctx, c, t)
	if err != nil {
		return err
	}
	took := time.Since(began)
	info := l.pool.Info()
	_, err = fmt.Fprintf(c.App.Writer, "%s works: logged in within %v; %s, folder %s\n", name, took.Round(time.Millisecond), oneLine(info.Server), oneLine(info.Root))
	say := func(mark, step, format string, args ...any) {
		_, werr := fmt.Fprintf(c.App.Writer, "%-5s %-11s %s\n", mark, step, oneLine(fmt.Sprintf(format, args...)))
		err = errors.Join(err, werr)
	}
	tried := showChanges(ctx, l.pool, c.Bool("write"), say)
	return errors.Join(err, tried, l.close(ctx))
}

func remoteRemove(c *cli.Context) error {
	store, name, r, err := openNamed(c)
	if err != nil && name == "" {
		return err
	}
	if err != nil && !store.Has(name) {
		return err
	}
	// A broken file can be removed too.
	if err := store.Remove(name); err != nil {
		return err
	}
	for _, file := range keysLeft(store, r) {
		if _, err := fmt.Fprintf(c.App.ErrWriter, "remotemount: its key stays in %s; the server may still let it in\n", file); err != nil {
			return err
		}
	}
	return nil
}

// connectFor is how a verb that is not a mount connects: asking where there is a
// terminal, with messages on standard error.
func connectFor(ctx context.Context, c *cli.Context, t target) (*link, error) {
	return t.open(ctx, newPrompter(), warnings(c), keyNotes(c))
}
