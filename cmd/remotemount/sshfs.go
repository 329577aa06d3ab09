package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// Called by the name sshfs, the program takes sshfs's command line: from scripts,
// from fstab through mount.fuse3, from whatever starts sshfs.

const sshfsUsage = `usage: sshfs [user@]host:[folder] mountpoint [options]

    -o opt,[opt...]  options of sshfs, ssh_config and mount(8)
    -p PORT          the same as -o port=PORT
    -F FILE          another ssh_config
    -f               stay in the foreground
    -d, --debug      debug messages; stays in the foreground
    -v, --verbose    more messages
    -C, -s           accepted, and nothing to do
    -h, --help       this text
    -V, --version    the version

This is remotemount; man remotemount has the options.
`

// sshfsCall is a command line of sshfs.
type sshfsCall struct {
	places  []string
	flags   []string // ours, in the library's form
	help    bool
	version bool
}

// sshfsMain gives the command line of mount that an sshfs command line means; nil
// when the answer was written to out.
func sshfsMain(app *cli.App, args []string, out io.Writer) ([]string, error) {
	call, err := readSSHFS(args)
	switch {
	case err != nil:
		return nil, err
	case call.help:
		_, err := io.WriteString(out, sshfsUsage)
		return nil, err
	case call.version:
		_, err := fmt.Fprintf(out, "remotemount %s, called as sshfs\n", versionText())
		return nil, err
	case len(call.places) != 2:
		return nil, usageHint("sshfs: a source and a mountpoint are needed", "sshfs [user@]host:[folder] mountpoint [options]")
	}
	ordered := append([]string{app.Name, "mount"}, call.flags...)
	return append(append(ordered, "--"), call.places...), nil
}

func readSSHFS(args []string) (c sshfsCall, err error) {
	for len(args) > 0 && err == nil {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			c.places = append(c.places, args...)
			return c, nil
		case word == "--help":
			c.help = true
		case word == "--version":
			c.version = true
		case word == "--debug":
			c.flags = append(c.flags, "--option=debug")
		case word == "--verbose":
			c.flags = append(c.flags, "--log-level=info")
		case strings.HasPrefix(word, "--"):
			err = usageHint(fmt.Sprintf("sshfs: there is no flag %s", word), "sshfs --help")
		case len(word) > 1 && word[0] == '-':
			args, err = c.letters(word[1:], args)
		default:
			c.places = append(c.places, word)
		}
	}
	return c, err
}

// letters reads flags that stand together; the last may have a value, in the same
// word or the next.
func (c *sshfsCall) letters(letters string, rest []string) ([]string, error) {
	for i, letter := range letters {
		flag, takes := map[rune]string{'o': "--option=", 'p': "--option=port=", 'F': "--ssh-config="}[letter]
		if takes {
			value := letters[i+1:]
			if value == "" {
				if len(rest) == 0 {
					return nil, usageHint(fmt.Sprintf("sshfs: -%c needs a value", letter), "sshfs --help")
				}
				value, rest = rest[0], rest[1:]
			}
			c.flags = append(c.flags, flag+value)
			return rest, nil
		}
		switch letter {
		case 'f':
			c.flags = append(c.flags, "--foreground")
		case 'd':
			c.flags = append(c.flags, "--option=debug")
		case 'v':
			c.flags = append(c.flags, "--log-level=info")
		case 's', 'C', '2': // one thread, compression, the only protocol
		case 'h':
			c.help = true
		case 'V':
			c.version = true
		case '1':
			return nil, usage("sshfs: -1: version 1 of SSH is gone, here and in OpenSSH")
		default:
			return nil, usageHint(fmt.Sprintf("sshfs: there is no flag -%c", letter), "sshfs --help")
		}
	}
	return rest, nil
}

// calledAs is the name that the program was started under.
func calledAs(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return filepath.Base(args[0])
}
