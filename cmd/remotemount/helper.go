package main

import (
	"github.com/urfave/cli/v2"
)

// Installed as mount.remotemount, the program is called by mount(8) and for
// lines of fstab: SOURCE DIR [-sfnv] [-N NS] [-o OPTIONS] [-t TYPE]. There -f
// means to do all but mount.

type helperCall struct {
	places []string
	flags  []string
	fake   bool
}

// mountHelper gives the command line that this means; nil when there is nothing
// to do.
func mountHelper(app *cli.App, args []string) ([]string, error) {
	call, err := readHelper(args)
	if err != nil {
		return nil, err
	}
	if len(call.places) != 2 {
		return nil, usageHint("mount.remotemount: SOURCE and MOUNTPOINT are needed",
			"in /etc/fstab: user@host:folder /mnt/folder remotemount _netdev,IdentityFile=/root/.ssh/id_ed25519 0 0")
	}
	if call.fake {
		return nil, nil
	}
	ordered := append([]string{app.Name, "mount"}, call.flags...)
	return append(append(ordered, "--"), call.places...), nil
}

func readHelper(args []string) (call helperCall, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if len(word) < 2 || word[0] != '-' {
			call.places = append(call.places, word)
			continue
		}
		if args, err = call.letters(word[1:], args); err != nil {
			return call, err
		}
	}
	return call, nil
}

// letters reads flags that stand together; the last may have a value, in the
// same word or the next.
func (h *helperCall) letters(letters string, rest []string) ([]string, error) {
	for i, letter := range letters {
		switch letter {
		case 'f':
			h.fake = true
		case 's':
			h.flags = append(h.flags, "--sloppy")
		case 'r':
			h.flags = append(h.flags, "--read-only")
		case 'n', 'v', 'w': // no mtab, verbose, read-write
		case 'o', 't', 'N':
			value := letters[i+1:]
			if value == "" && len(rest) > 0 {
				value, rest = rest[0], rest[1:]
			}
			if letter == 'o' {
				h.flags = append(h.flags, "--option="+value)
			}
			return rest, nil
		default:
			return nil, usage("mount.remotemount: unknown flag -%c", letter)
		}
	}
	return rest, nil
}
