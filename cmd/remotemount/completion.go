package main

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
)

// The shells' scripts are a few lines each: what can stand at a place is asked
// of the program itself, so that it is never out of date. The program knows it from
// its own help: a flag's value, and a verb's arguments, are named there.

//go:embed completions
var completions embed.FS

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script for a shell",
		UsageText: "remotemount completion bash|zsh|fish",
		Description: "bash: remotemount completion bash >~/.local/share/bash-completion/completions/remotemount\n" +
			"zsh:  remotemount completion zsh >_remotemount, in a folder of $fpath\n" +
			"fish: remotemount completion fish >~/.config/fish/completions/remotemount.fish\n" +
			"A package, or make install, has put them in place.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "SHELL")
			if err != nil {
				return err
			}
			text, err := completions.ReadFile("completions/remotemount." + args[0])
			if err != nil {
				return usage("completion %s: bash, zsh or fish", args[0])
			}
			_, err = c.App.Writer.Write(text)
			return err
		},
	}
}

// completeCommand is what the scripts call: the words so far, the last of them
// unfinished. It prints what can stand there: on the first line "files" or "folders" of
// this machine, or "words", and then those, one a line.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			known := knowledge{remotes: namedRemotes, mounts: func() []string { return mountpoints(c) },
				folders: func(word string) []string { return remoteFolders(c.Context, word) }}
			words := c.Args().Slice()
			if len(words) > 0 && words[0] == "--" {
				words = words[1:] // ours, so that flags are words
			}
			o := known.complete(c.App, words)
			_, err := fmt.Fprintln(c.App.Writer, strings.Join(append([]string{o.kind}, o.words...), "\n"))
			return err
		},
	}
}

func namedRemotes() []string {
	store, err := config.Open(getenv)
	if err != nil {
		return nil
	}
	names, _ := store.Names() // nothing to offer is an answer
	return names
}

func mountpoints(c *cli.Context) []string {
	all, _ := control.NewClient(getenv).All(c.Context) // likewise
	var points []string
	for _, s := range all {
		points = append(points, s.Mountpoint)
	}
	return points
}

// An offer is what can stand at a place.
type offer struct {
	kind  string // files, folders or words
	words []string
}

// knowledge is what completion has to look up.
type knowledge struct {
	remotes, mounts func() []string
	folders         func(remote string) []string // of a remote that is mounted; nil: none
}

func (k knowledge) complete(app *cli.App, words []string) offer {
	last := ""
	if len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	at := findPlace(app, words)
	before := ""
	if flag, value, ok := strings.Cut(last, "="); ok && strings.HasPrefix(flag, "--") && at.flag == nil && at.command != nil {
		at.flag = findFlag(at.command.Flags, strings.TrimLeft(flag, "-"))
		before, last = flag+"=", value
	}
	o := k.at(app, at, last)
	o.words = slices.DeleteFunc(slices.Clone(o.words), func(w string) bool { return !strings.HasPrefix(w, last) })
	for i, w := range o.words {
		o.words[i] = before + w
	}
	return o
}

func (k knowledge) at(app *cli.App, at place, last string) offer {
	switch {
	case at.flag != nil && at.flag.Names()[0] == "option":
		return offer{"words", optionWords(last)}
	case at.flag != nil:
		value, _ := unquoteUsage(at.flag.(cli.DocGenerationFlag).GetUsage())
		return k.named(value, at.command, last)
	case strings.HasPrefix(last, "-") && at.command != nil && !at.only:
		return offer{"words", flagWords(at.command)}
	case strings.HasPrefix(last, "-") && at.command == nil && !at.only:
		return offer{"words", append(flagWords(find(app.Commands, "mount")), "--version")} // without a verb it mounts
	case at.command == nil && at.help:
		return offer{"words", verbNames(app.Commands)}
	case at.command == nil:
		return offer{"words", append(verbNames(app.Commands), k.places(last)...)}
	case len(at.command.Subcommands) > 0:
		return offer{"words", verbNames(at.command.Subcommands)}
	case at.help:
		return offer{kind: "words"}
	}
	if names := argumentNames(at.command); at.arguments < len(names) {
		return k.named(names[at.arguments], at.command, last)
	}
	return offer{kind: "words"}
}

// named gives what help's name of a value or an argument stands for. One in small
// letters is what is to be written.
func (k knowledge) named(name string, command *cli.Command, last string) offer {
	switch {
	case name == "FILE" || name == "COMMAND":
		return offer{kind: "files"}
	case name == "FOLDER" || name == "DIR" || name == "LOCAL":
		return offer{kind: "folders"}
	case name == "MOUNTPOINT" && (command.Name == "mount" || command.Name == "demo"):
		return offer{kind: "folders"}
	case name == "MOUNTPOINT":
		return offer{"words", k.mounts()}
	case name == "REMOTE" && command.Name == "add":
		return offer{kind: "words"} // what is to be named
	case name == "REMOTE":
		return offer{"words", k.places(last)}
	case name == "HOST" || name == "NAME" && command.Name != "add":
		return offer{"words", k.remotes()}
	case name != "" && name == strings.ToLower(name):
		return offer{"words", strings.Split(name, "|")}
	}
	return offer{kind: "words"}
}

// places are what a REMOTE can be: a name, or behind its colon a folder.
func (k knowledge) places(last string) []string {
	if k.folders == nil || !strings.Contains(last, ":") {
		return k.remotes()
	}
	return append(k.remotes(), k.folders(last)...)
}

// argumentNames reads a verb's arguments from its usage.
func argumentNames(cmd *cli.Command) []string {
	text := regexp.MustCompile(`\[?--?[a-z-]+ [A-Z0-9:.]+\]?|\[[^A-Z]*\]`).ReplaceAllString(cmd.UsageText, "")
	words := strings.Fields(strings.TrimPrefix(text, "remotemount "))
	var names []string
	for _, word := range words {
		word = strings.Trim(word, "[]")
		if word == strings.ToUpper(word) || strings.Contains(word, "|") {
			names = append(names, word)
		}
	}
	return names
}

// A place is where the next word stands.
type place struct {
	command   *cli.Command
	flag      cli.Flag // whose value comes next
	arguments int      // so many came before
	only      bool     // behind --, where flags are none
	help      bool     // behind help, where only verbs are
}

// findPlace reads the words before.
func findPlace(app *cli.App, words []string) (at place) {
	commands := app.Commands
	for _, word := range words {
		switch {
		case at.flag != nil:
			at.flag = nil
		case word == "--" && !at.only:
			at.only = true
		case strings.HasPrefix(word, "-") && !at.only:
			if f := flagOf(app, at.command, word); f != nil && takesValue(f) {
				at.flag = f
			}
		case at.command != nil && len(at.command.Subcommands) == 0:
			at.arguments++
		case at.command == nil && word == "help":
			at.help = true
		case find(commands, word) != nil:
			at.command = find(commands, word)
			commands = at.command.Subcommands
		case at.command == nil && looksRemote(word):
			at.command, at.arguments = find(app.Commands, "mount"), 1
		}
	}
	return at
}

// flagOf finds the flag that a word is, with its value still to come. Before the verb
// it may be any verb's.
func flagOf(app *cli.App, cmd *cli.Command, word string) cli.Flag {
	name := strings.TrimLeft(word, "-")
	if !strings.HasPrefix(word, "--") && len(name) > 1 {
		name = name[len(name)-1:] // letters that stand together
	}
	if cmd != nil {
		return findFlag(cmd.Flags, name)
	}
	for _, c := range everyCommand(app.Commands) {
		if f := findFlag(c.Flags, name); f != nil {
			return f
		}
	}
	return nil
}

// optionWords completes the last of several options between commas: those that are
// not refused.
func optionWords(last string) []string {
	before := last[:strings.LastIndexByte(last, ',')+1]
	var out []string
	for _, name := range options.Offered() {
		out = append(out, before+name)
	}
	return out
}

func verbNames(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

func flagWords(cmd *cli.Command) []string {
	words := []string{"--help"}
	for _, f := range cmd.Flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		words = append(words, "--"+f.Names()[0])
	}
	return words
}
