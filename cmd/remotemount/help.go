package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

const appHelp = `{{.Name}}: {{.Usage}}

To mount a folder, and to take it away again:
  remotemount mount user@host:folder ~/mnt
  remotemount unmount ~/mnt

To see it work without another machine:
  remotemount demo

Verbs:{{range .VisibleCommands}}
  {{printf "%-11s" .Name}} {{.Usage}}{{end}}

remotemount VERB --help tells more, man remotemount everything.
`

const commandHelp = `{{.HelpName}}: {{.Usage}}

Usage:
  {{if .UsageText}}{{.UsageText}}{{else}}{{.HelpName}} [flags] {{.ArgsUsage}}{{end}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
Verbs:{{range .VisibleCommands}}
  {{printf "%-9s" .Name}} {{.Usage}}{{end}}
{{end}}{{if .VisibleFlags}}
Flags:{{range .VisibleFlags}}
{{.}}{{end}}
{{end}}`

// flagLine is how help shows a flag: short name, long name with what it takes,
// and the sentence. The library's own way repeats the value at each name.
func flagLine(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	value, text := unquoteUsage(d.GetUsage())
	short, long := "    ", ""
	for _, name := range f.Names() {
		if len(name) == 1 {
			short = "-" + name + ", "
		} else if long == "" {
			long = "--" + name
		}
	}
	if d.TakesValue() {
		long += " " + first(value, "VALUE")
	}
	return fmt.Sprintf("  %s%-26s %s", short, long, text)
}

// unquoteUsage finds what stands between backquotes in a usage, as the library
// does.
func unquoteUsage(usage string) (value, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "", usage
	}
	value, after, ok := strings.Cut(rest, "`")
	if !ok {
		return "", usage
	}
	return value, before + value + after
}
