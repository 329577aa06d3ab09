package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/nearest"
)

// urfave/cli v2 stops looking for flags at the first argument. Here they stand
// where one likes, short ones together (-fd) or with their value (-p2222, -oro),
// as everywhere on Linux. permute rewrites the command line into the one order
// that the library reads: verbs, flags as --name=value, --, arguments. It also
// puts in the verb mount where there is none.

// permute gives the command line in that order. named tells whether a word is a
// named remote.
func permute(app *cli.App, args []string, named func(string) bool) ([]string, error) {
	if len(args) == 0 {
		return []string{app.Name}, nil
	}
	w := &words{app: app, rest: args[1:], named: named}
	if err := w.sort(); err != nil {
		return nil, err
	}
	out := append([]string{args[0]}, w.verbs...)
	out = append(out, w.flags...)
	if len(w.args) > 0 && !slices.Contains(w.flags, "--help") {
		out = append(append(out, "--"), w.args...)
	}
	return out, nil
}

type words struct {
	app   *cli.App
	named func(string) bool
	rest  []string // not read yet

	command *cli.Command // of the last verb read; nil before the first
	verbs   []string
	flags   []string
	args    []string
	early   []string // flags before the verb, read when it is known
}

func (w *words) next() (string, bool) {
	if len(w.rest) == 0 {
		return "", false
	}
	word := w.rest[0]
	w.rest = w.rest[1:]
	return word, true
}

func (w *words) sort() error {
	for word, ok := w.next(); ok; word, ok = w.next() {
		var err error
		switch {
		case word == "--":
			err = w.positionals()
		case len(word) > 1 && word[0] == '-' && w.command == nil:
			w.early = append(w.early, w.whole(word)...)
		case len(word) > 1 && word[0] == '-':
			err = w.flag(word)
		default:
			err = w.positional(word)
		}
		if err != nil {
			return err
		}
	}
	if w.command == nil {
		return w.global()
	}
	return nil
}

// positionals takes everything after "--" as arguments.
func (w *words) positionals() error {
	rest := w.rest
	w.rest = nil
	for _, word := range rest {
		if err := w.positional(word); err != nil {
			return err
		}
	}
	return nil
}

// positional is a verb as long as verbs are expected, else an argument.
func (w *words) positional(word string) error {
	switch {
	case w.command == nil:
		return w.verb(word)
	case len(w.command.Subcommands) > 0:
		sub := find(w.command.Subcommands, word)
		if sub == nil {
			return unknownSubverb(w.command, word)
		}
		w.enter(sub)
	default:
		w.args = append(w.args, word)
	}
	return nil
}

func (w *words) verb(word string) error {
	cmd := find(w.app.Commands, word)
	switch {
	case cmd != nil:
		w.enter(cmd)
	case word == "help":
		return w.help()
	case word == "version" && len(w.rest) == 0:
		w.early = []string{"--version"}
		return nil
	case strings.Contains(word, ":") || w.named(word):
		w.enter(find(w.app.Commands, "mount"))
		w.args = append(w.args, word)
	default:
		return w.unknownVerb(word)
	}
	early := w.early
	w.early = nil
	w.rest = append(early, w.rest...)
	return nil
}

// help is another way to write --help.
func (w *words) help() error {
	if len(w.rest) == 0 {
		w.early = []string{"--help"}
		return nil
	}
	w.rest = append(w.rest, "--help")
	return nil
}

func (w *words) enter(cmd *cli.Command) {
	w.command = cmd
	w.verbs = append(w.verbs, cmd.Name)
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// whole keeps the value of a flag that stands before the verb with it. Which
// flags take one is asked of the verb that may be left out, and then of all others.
func (w *words) whole(word string) []string {
	name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	all := append([]*cli.Command{find(w.app.Commands, "mount")}, everyCommand(w.app.Commands)...)
	for _, c := range all {
		f := findFlag(c.Flags, name)
		if f == nil {
			continue
		}
		if takesValue(f) && !hasValue && len(w.rest) > 0 {
			value, _ := w.next()
			return []string{word, value}
		}
		break
	}
	return []string{word}
}

func everyCommand(commands []*cli.Command) []*cli.Command {
	var all []*cli.Command
	for _, c := range commands {
		all = append(append(all, c), everyCommand(c.Subcommands)...)
	}
	return all
}

// global reads flags when there is no verb at all.
func (w *words) global() error {
	for _, word := range w.early {
		switch strings.TrimLeft(word, "-") {
		case "help", "h", "version", "v":
			w.flags = append(w.flags, "--"+strings.TrimLeft(word, "-"))
		case "V":
			w.flags = append(w.flags, "--version")
		default:
			return usageHint(fmt.Sprintf("%s: no verb is given", word), "remotemount --help")
		}
	}
	return nil
}

// flag reads one word of flags, and the next when that is its value.
func (w *words) flag(word string) error {
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if f := w.lookup(name); f != nil {
		return w.add(f, name, value, hasValue)
	}
	if strings.HasPrefix(word, "--") {
		return w.unknownFlag(word, name)
	}
	return w.short(word)
}

func (w *words) add(f cli.Flag, name, value string, hasValue bool) error {
	if takesValue(f) && !hasValue {
		next, ok := w.next()
		if !ok {
			return usageHint(fmt.Sprintf("--%s: a value is missing", name), "remotemount "+strings.Join(w.verbs, " ")+" --help")
		}
		value, hasValue = next, true
	}
	long := "--" + f.Names()[0]
	if hasValue {
		long += "=" + value
	}
	w.flags = append(w.flags, long)
	return nil
}

// short reads letters that stand together: flags without a value, and at last
// perhaps one with its value.
func (w *words) short(word string) error {
	letters := word[1:]
	for i := range len(letters) {
		f := w.lookup(letters[i : i+1])
		switch {
		case f == nil:
			return w.unknownFlag(word, letters)
		case !takesValue(f):
			if err := w.add(f, letters[i:i+1], "", false); err != nil {
				return err
			}
		default:
			rest := strings.TrimPrefix(letters[i+1:], "=")
			return w.add(f, letters[i:i+1], rest, letters[i+1:] != "")
		}
	}
	return nil
}

func (w *words) unknownFlag(word, name string) error {
	hint := "remotemount " + strings.Join(w.verbs, " ") + " --help"
	if n := nearest.Find(name, w.longNames()); n != "" {
		hint = "did you mean --" + n + "?"
	}
	return usageHint(fmt.Sprintf("%s has no flag %s", strings.Join(w.verbs, " "), word), hint)
}

func (w *words) longNames() []string {
	names := []string{"help"}
	for _, f := range w.command.Flags {
		names = append(names, slices.DeleteFunc(f.Names(), func(n string) bool { return len(n) == 1 })...)
	}
	return names
}

func (w *words) lookup(name string) cli.Flag {
	if name == "help" || name == "h" {
		return cli.HelpFlag
	}
	return findFlag(w.command.Flags, name)
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// isNamed tells whether a word is a named remote, whole or before a colon.
func isNamed(word string) bool {
	store, err := config.Open(getenv)
	name, _, _ := strings.Cut(word, ":")
	return err == nil && store.Has(name)
}
