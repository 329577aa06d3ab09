package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/nearest"
)

// What a first word that is no verb may have been meant for.

// unknownVerb is about such a word; what follows it is not read yet.
func (w *words) unknownVerb(word string) error {
	i := slices.IndexFunc(w.rest, looksRemote)
	if i >= 0 && isLocal(word) {
		return turnedRound(w.rest[i], word)
	}
	return usageHint(fmt.Sprintf("%q is no verb", word), w.verbHint(word))
}

func (w *words) verbHint(word string) string {
	if i := slices.IndexFunc(w.app.Commands, func(c *cli.Command) bool { return find(c.Subcommands, word) != nil }); i >= 0 {
		return "did you mean remotemount " + w.app.Commands[i].Name + " " + word + "?"
	}
	if n := nearest.Find(word, visibleNames(w.app.Commands)); n != "" {
		return "did you mean remotemount " + n + "?"
	}
	if n := nearest.Find(word, namedRemotes()); n != "" {
		return "did you mean remotemount mount " + n + "?"
	}
	switch {
	case word == "ls" || word == "dir":
		return "remotemount browse lists a folder"
	case word == "df" || word == "info":
		return "remotemount status shows what is mounted, remotemount remote list the names"
	case isLocal(word):
		return "REMOTE comes first, the local folder after it; remotemount --help lists the verbs"
	case strings.Contains(word, "@"):
		return "to mount, a host is written with a colon: remotemount mount " + shellQuote(word+":") + " MOUNTPOINT"
	}
	return "remotemount --help lists the verbs; to mount, a host is written with a colon: remotemount mount " + shellQuote(word+":") + " MOUNTPOINT"
}

// isLocal: it is written as a path, or is a folder here.
func isLocal(word string) bool {
	if strings.ContainsAny(word[:1], "/.~") {
		return true
	}
	info, err := os.Stat(word)
	return err == nil && info.IsDir()
}

func unknownSubverb(group *cli.Command, word string) error {
	hint := fmt.Sprintf("remotemount %s --help", group.Name)
	if n := nearest.Find(word, visibleNames(group.Subcommands)); n != "" {
		hint = fmt.Sprintf("did you mean remotemount %s %s?", group.Name, n)
	}
	return usageHint(fmt.Sprintf("%q is no verb", group.Name+" "+word), hint)
}

func visibleNames(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Names()...)
		}
	}
	return names
}
