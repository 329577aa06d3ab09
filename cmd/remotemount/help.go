package main

import (
	"slices"
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
  {{if .UsageText}}{{.UsageText}}{{else}}{{.HelpName}} VERB ...{{end}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
Verbs:{{range .VisibleCommands}}
  {{printf "%-9s" .Name}} {{.Usage}}{{end}}

{{.HelpName}} VERB --help tells the flags.
{{end}}{{if .VisibleFlags}}
Flags:{{range .VisibleFlags}}
{{.}}{{end}}
{{end}}`

// units is the end of a verb's help: how the values of its flags are written.
func units(flags []cli.Flag) string {
	var end string
	for _, u := range []struct{ value, text string }{
		{"TIME", "TIME is 30s, 5m or 1h30m; a bare number is seconds.\n"},
		{"SIZE", "SIZE is 512K, 256M or 1.5G; a bare number is bytes.\n"},
	} {
		if slices.ContainsFunc(flags, func(f cli.Flag) bool {
			d, ok := f.(cli.DocGenerationFlag)
			return ok && strings.Contains(d.GetUsage(), "`"+u.value+"`")
		}) {
			end += u.text
		}
	}
	if end != "" {
		end = "\n" + end
	}
	return end
}

// flagLine is how help shows a flag: short name, long name with what it takes,
// the sentence, and what holds without it. The library's own way repeats the value at
// each name.
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
	switch {
	case d.TakesValue():
		long += " " + first(value, "VALUE")
		if without := defaultText(d); without != "" {
			text += " (" + without + ")"
		}
	case value != "": // it may have one
		long += "[=" + value + "]"
	}
	return helpLine("  "+short+long, text)
}

// defaultText is what a flag is when it is not given; "" where that is nothing.
func defaultText(f cli.DocGenerationFlag) string {
	text := strings.Trim(f.GetDefaultText(), `"`)
	if text == "0" {
		return ""
	}
	return text
}

// Where the sentences begin, and where lines end, in columns.
const helpIndent, helpWidth = 33, 90

// helpLine puts a sentence beside a flag, or below it where that is too long.
func helpLine(flag, text string) string {
	var b strings.Builder
	b.WriteString(flag)
	column := len(flag)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0 && column < helpIndent:
			b.WriteString(strings.Repeat(" ", helpIndent-column))
			column = helpIndent
		case i == 0 || column+1+len(word) > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", helpIndent))
			column = helpIndent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
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
