package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
)

// The shells' scripts are a few lines each: what can stand at a place is asked
// of the program itself, so that it is never out of date.

//go:embed completions
var completions embed.FS

var shells = []string{"bash", "zsh", "fish"}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Usage:       "print the completion script for a shell",
		UsageText:   "remotemount completion bash|zsh|fish",
		Description: "For bash: remotemount completion bash > ~/.local/share/bash-completion/completions/remotemount",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "SHELL")
			if err != nil {
				return err
			}
			if !slices.Contains(shells, args[0]) {
				return usage("completion %s: bash, zsh or fish", args[0])
			}
			text, err := completions.ReadFile("completions/remotemount." + args[0])
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(text)
			return err
		},
	}
}

// completeCommand is what the scripts call: the words so far, the last of them
// unfinished. It prints what can stand there, one a line.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			for _, word := range complete(c.App, c.Args().Slice(), namedRemotes, func() []string { return mountpoints(c) }) {
				if _, err := fmt.Fprintln(c.App.Writer, word); err != nil {
					return err
				}
			}
			return nil
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

// complete gives what begins like the last word. Where files are meant it gives
// nothing, and the scripts fall back to files.
func complete(app *cli.App, words []string, remotes, mounts func() []string) []string {
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
		words = words[:len(words)-1]
	}
	cmd, value := place(app, words)
	var offer []string
	switch {
	case value == "option":
		offer = optionWords(last)
	case value == "host-key-policy":
		offer = config.Policies[:]
	case value == "sync":
		offer = []string{"push", "pull", "two-way"}
	case value != "":
	case cmd == nil:
		offer = append(verbNames(app.Commands), remotes()...)
	case strings.HasPrefix(last, "-"):
		offer = flagWords(cmd)
	case len(cmd.Subcommands) > 0:
		offer = verbNames(cmd.Subcommands)
	case cmd.Name == "completion":
		offer = shells
	case slices.Contains([]string{"unmount", "reconnect", "status", "top"}, cmd.Name):
		offer = mounts()
	case strings.Contains(cmd.UsageText, "REMOTE") || strings.Contains(cmd.UsageText, "NAME"):
		offer = remotes()
	}
	return slices.DeleteFunc(slices.Clone(offer), func(w string) bool { return !strings.HasPrefix(w, last) })
}

// place finds the verb, and the flag whose value comes next.
func place(app *cli.App, words []string) (cmd *cli.Command, value string) {
	commands := app.Commands
	for _, word := range words {
		switch {
		case value != "":
			value = ""
		case strings.HasPrefix(word, "-") && cmd != nil:
			if f := findFlag(cmd.Flags, strings.TrimLeft(word, "-")); f != nil && takesValue(f) {
				value = f.Names()[0]
			}
		default:
			if next := find(commands, word); next != nil {
				cmd, commands = next, next.Subcommands
			}
		}
	}
	return cmd, value
}

// optionWords completes the last of several options between commas.
func optionWords(last string) []string {
	before := last[:strings.LastIndexByte(last, ',')+1]
	var out []string
	for _, name := range options.Names() {
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
