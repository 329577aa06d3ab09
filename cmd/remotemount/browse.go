package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/pool/remote"
)

func browseCommand() *cli.Command {
	return &cli.Command{
		Name:      "browse",
		Usage:     "list a folder of the server without mounting it",
		UsageText: "remotemount browse [--json] REMOTE",
		Flags:     append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "for programs, one object a line"}}, connectionFlags()...),
		Action:    browseAction,
	}
}

func browseAction(c *cli.Context) error {
	args, err := arguments(c, "REMOTE")
	if err != nil {
		return err
	}
	said, err := connectionFrom(c)
	if err != nil {
		return err
	}
	t, err := newTarget(args[0], said)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l, err := connectFor(ctx, c, t)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = browseJSON(ctx, l.pool, c.App.Writer)
	} else {
		err = browseText(ctx, l.pool, c.App.Writer, c.App.ErrWriter)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", args[0], err)
	}
	return errors.Join(err, l.close(ctx))
}

// mostSorted is how many names are kept to be put in order. What is more is shown as it
// comes: there are folders of millions of names, and servers that never end.
const mostSorted = 100_000

// browseText lists folders first, then by name, as file managers do.
func browseText(ctx context.Context, from remote.Remote, w, errOut io.Writer) error {
	var all []remote.Entry
	sorted := true
	err := from.ReadDir(ctx, ".", func(batch []remote.Entry) error {
		if sorted {
			all = append(all, batch...)
			if len(all) <= mostSorted {
				return nil
			}
			writeTo(errOut)(slog.LevelWarn, fmt.Sprintf("more than %d names: they are shown in the server's order, as they come", mostSorted))
			sorted, batch, all = false, all, nil
		}
		return writeEntries(w, batch)
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, foldersFirst)
	return writeEntries(w, all)
}

func foldersFirst(a, b remote.Entry) int {
	if a.Attr.IsDir() != b.Attr.IsDir() {
		if a.Attr.IsDir() {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}

func writeEntries(w io.Writer, entries []remote.Entry) error {
	for _, e := range entries {
		name := oneLine(e.Name)
		if e.Attr.IsDir() {
			name += "/"
		}
		if _, err := fmt.Fprintf(w, "%s %12d  %s  %s\n", fileMode(e.Attr), e.Attr.Size, e.Attr.ModTime().Format(time.DateTime), name); err != nil {
			return err
		}
	}
	return nil
}

// A browsed is one line of --json. A name that is not UTF-8 has its bytes too.
type browsed struct {
	Name     string    `json:"name"`
	NameRaw  []byte    `json:"name_bytes,omitempty"`
	Type     string    `json:"type"` // file, folder, link, other
	Size     int64     `json:"size"`
	Mode     string    `json:"mode"` // octal
	UID      uint32    `json:"uid"`
	GID      uint32    `json:"gid"`
	Modified time.Time `json:"modified"`
	Target   string    `json:"target,omitempty"`
}

func browseJSON(ctx context.Context, from remote.Remote, w io.Writer) error {
	out := json.NewEncoder(w)
	return from.ReadDir(ctx, ".", func(batch []remote.Entry) error {
		for _, e := range batch {
			b := browsed{Name: e.Name, Type: typeWord(e.Attr), Size: e.Attr.Size, Mode: fmt.Sprintf("%04o", e.Attr.Perm()),
				UID: e.Attr.UID, GID: e.Attr.GID, Modified: e.Attr.ModTime().UTC()}
			if strings.ToValidUTF8(e.Name, "") != e.Name {
				b.NameRaw = []byte(e.Name)
			}
			if e.Attr.IsSymlink() {
				b.Target, _ = from.ReadLink(ctx, e.Name) // the name is worth listing all the same
			}
			if err := out.Encode(b); err != nil {
				return err
			}
		}
		return nil
	})
}

func typeWord(a remote.Attr) string {
	switch {
	case a.IsDir():
		return "folder"
	case a.IsRegular():
		return "file"
	case a.IsSymlink():
		return "link"
	}
	return "other"
}

// fileMode writes the mode as ls does.
func fileMode(a remote.Attr) string {
	m := fs.FileMode(a.Perm() & 0o777)
	letters := []byte(m.String())
	letters[0] = map[uint32]byte{syscall.S_IFDIR: 'd', syscall.S_IFLNK: 'l', syscall.S_IFREG: '-', syscall.S_IFIFO: 'p',
		syscall.S_IFSOCK: 's', syscall.S_IFBLK: 'b', syscall.S_IFCHR: 'c'}[a.Type()]
	if letters[0] == 0 {
		letters[0] = '?'
	}
	special(letters, 3, a.Mode&syscall.S_ISUID != 0, 's', 'S')
	special(letters, 6, a.Mode&syscall.S_ISGID != 0, 's', 'S')
	special(letters, 9, a.Mode&syscall.S_ISVTX != 0, 't', 'T')
	return string(letters)
}

func special(letters []byte, at int, on bool, with, without byte) {
	switch {
	case !on:
	case letters[at] == 'x':
		letters[at] = with
	default:
		letters[at] = without
	}
}

// warnings is the log of verbs that are no mount.
func warnings(c *cli.Context) *slog.Logger {
	return logger(slog.LevelWarn, writeTo(c.App.ErrWriter))
}

// keyNotes is the log for what a person should know of keys and host keys: that
// a host key was stored on first contact, what the server says.
func keyNotes(c *cli.Context) *slog.Logger {
	return logger(slog.LevelInfo, writeTo(c.App.ErrWriter))
}
