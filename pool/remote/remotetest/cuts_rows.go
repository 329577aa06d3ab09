package remotetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/remotemount/remotemount/pool/remote"
)

// What the requests of an operation may be called.
const (
	anyRename  = "RENAME|posix-rename@openssh.com|hardlink@openssh.com"
	anySetstat = "SETSTAT|FSETSTAT|lsetstat@openssh.com"
)

// cutRows are the rows of the table of promises, one for each request that an
// operation stands on.
func cutRows() []cutRow {
	return slices.Concat(lookRows(), treeRows(), openRows(), dataRows(), attrRows())
}

func lookRows() []cutRow {
	return []cutRow{
		{name: "Lstat", kind: "LSTAT", path: "file", prepare: cutLstat},
		{name: "Stat", kind: "STAT", path: "file", prepare: cutStat},
		{name: "ReadLink", kind: "READLINK", path: "link", prepare: cutReadLink},
		{name: "StatFS", kind: "statvfs@openssh.com", path: ".", prepare: cutStatFS},
		{name: "ReadDir, opening", kind: "OPENDIR", path: "dir", prepare: cutReadDir},
		{name: "ReadDir, reading", kind: "READDIR", path: "dir", prepare: cutReadDir},
	}
}

func cutLstat(c *cut) (func() error, func()) {
	c.put(c.T, "file", "data")
	var a remote.Attr
	return func() (err error) {
			a, err = c.Remote.Lstat(c.Context(), "file")
			return err
		}, func() {
			if a.Size != 4 || a.Mtime != longAgo {
				c.Errorf("size %d mtime %d", a.Size, a.Mtime)
			}
		}
}

func cutStat(c *cut) (func() error, func()) {
	c.put(c.T, "file", "data")
	var a remote.Attr
	return func() (err error) {
			a, err = c.Remote.Stat(c.Context(), "file")
			return err
		}, func() {
			if a.Size != 4 {
				c.Errorf("size %d", a.Size)
			}
		}
}

func cutReadLink(c *cut) (func() error, func()) {
	c.symlink(c.T, "target", "link")
	var got string
	return func() (err error) {
			got, err = c.Remote.ReadLink(c.Context(), "link")
			return err
		}, func() {
			if got != "target" {
				c.Errorf("target %q", got)
			}
		}
}

func cutStatFS(c *cut) (func() error, func()) {
	var st remote.StatFS
	return func() (err error) {
			st, err = c.Remote.StatFS(c.Context(), ".")
			return err
		}, func() {
			if st.Blocks == 0 {
				c.Errorf("%+v", st)
			}
		}
}

func cutReadDir(c *cut) (func() error, func()) {
	c.mkdir(c.T, "dir")
	var want, got []string
	for i := range 250 {
		want = append(want, fmt.Sprintf("name %03d", i))
		c.put(c.T, "dir/"+want[i], "")
	}
	return func() error {
			return c.Remote.ReadDir(c.Context(), "dir", func(batch []remote.Entry) error {
				for _, e := range batch {
					got = append(got, e.Name)
				}
				return nil
			})
		}, func() {
			if slices.Sort(got); !slices.Equal(got, want) {
				c.Errorf("%d names, want 250, each once", len(got))
			}
		}
}

func treeRows() []cutRow {
	return []cutRow{
		{name: "Mkdir", kind: "MKDIR", path: "dir", once: true, prepare: cutMkdir},
		{name: "Symlink", kind: "SYMLINK", path: "link", once: true, prepare: cutSymlink},
		{name: "Link", kind: "hardlink@openssh.com", path: "file", once: true, prepare: cutLink},
		{name: "Remove", kind: "REMOVE", path: "file", once: true, prepare: cutRemove},
		{name: "Rmdir", kind: "RMDIR", path: "dir", once: true, prepare: cutRmdir},
		{name: "Rename of a file", kind: anyRename, path: "old", once: true, prepare: cutRename("", false)},
		{name: "Rename over a file", kind: anyRename, path: "old", once: true, prepare: cutRename("replaced", false)},
		{name: "Rename over a file of the same size", kind: anyRename, path: "old", once: true, prepare: cutRename("DATA", false)},
		{name: "Rename with NoReplace", kind: anyRename, path: "old", once: true, prepare: cutRename("", true)},
		{name: "Rename of a folder", kind: anyRename, path: "old", once: true, prepare: cutRenameFolder},
		{name: "Rename of a file that is written", kind: anyRename, path: "old", once: true, prepare: cutRenameOpen},
		{name: "Replace, linking", kind: "hardlink@openssh.com", path: "new", once: true, prepare: cutReplace},
		{name: "Replace, renaming", kind: anyRename, path: "old", once: true, prepare: cutReplace},
	}
}

func cutMkdir(c *cut) (func() error, func()) {
	var a remote.Attr
	return func() (err error) {
			a, err = c.Remote.Mkdir(c.Context(), "dir", 0o750)
			return err
		}, func() {
			if st := c.stat(c.T, "dir"); st.Mode&0o777 != 0o750 || a.Mode != st.Mode {
				c.Errorf("mode made %o, told %o", st.Mode, a.Mode)
			}
		}
}

func cutSymlink(c *cut) (func() error, func()) {
	return func() error {
			_, err := c.Remote.Symlink(c.Context(), "target", "link")
			return err
		}, func() {
			if got, err := os.Readlink(c.disk("link")); got != "target" {
				c.Errorf("target %q, %v", got, err)
			}
		}
}

func cutLink(c *cut) (func() error, func()) {
	c.put(c.T, "file", "data")
	return func() error {
			_, err := c.Remote.Link(c.Context(), "file", "other")
			return err
		}, func() {
			if c.stat(c.T, "file").Ino != c.stat(c.T, "other").Ino {
				c.Error("two files")
			}
		}
}

func cutRemove(c *cut) (func() error, func()) {
	c.put(c.T, "file", "data")
	return func() error { return c.Remote.Remove(c.Context(), "file") },
		func() { c.absent(c.T, "file") }
}

func cutRmdir(c *cut) (func() error, func()) {
	c.mkdir(c.T, "dir")
	return func() error { return c.Remote.Rmdir(c.Context(), "dir") },
		func() { c.absent(c.T, "dir") }
}

// cutRename moves "data" over what there is, or nothing.
func cutRename(over string, noReplace bool) func(c *cut) (func() error, func()) {
	return func(c *cut) (func() error, func()) {
		c.put(c.T, "old", "data")
		if over != "" {
			c.put(c.T, "new", over)
		}
		return func() error { return c.Remote.Rename(c.Context(), "old", "new", noReplace) },
			func() {
				c.holds(c.T, "new", "data")
				c.absent(c.T, "old")
			}
	}
}

func cutRenameFolder(c *cut) (func() error, func()) {
	c.mkdir(c.T, "old")
	c.put(c.T, "old/file", "data")
	return func() error { return c.Remote.Rename(c.Context(), "old", "new", false) },
		func() {
			c.holds(c.T, "new/file", "data")
			c.absent(c.T, "old")
		}
}

func cutRenameOpen(c *cut) (func() error, func()) {
	f := c.file("old", flagsNew)
	mustWrite(c.T, f, "before ", 0)
	return func() error { return c.Remote.Rename(c.Context(), "old", "new", false) },
		func() {
			mustWrite(c.T, f, "after", 7)
			mustFlush(c.T, f)
			c.holds(c.T, "new", "before after")
			c.absent(c.T, "old")
		}
}

// cutReplace replaces what is open, read and written.
func cutReplace(c *cut) (func() error, func()) {
	c.put(c.T, "old", "data")
	c.put(c.T, "new", "replaced")
	reader, writer := c.file("new", flagsRead), c.file("new", flagsWrite)
	mustWrite(c.T, writer, "before", 8)
	kept := false
	return func() (err error) {
			kept, err = c.Remote.Replace(c.Context(), "old", "new", ".kept")
			return err
		}, func() {
			if !kept {
				c.Error("nothing was kept")
			}
			c.s.CutAll()
			mustWrite(c.T, writer, " and after", 14)
			mustRead(c.T, reader, 0, "replacedbefore and after")
			mustFlush(c.T, writer)
			c.holds(c.T, ".kept", "replacedbefore and after")
			c.holds(c.T, "new", "data")
			c.absent(c.T, "old")
		}
}

func openRows() []cutRow {
	return []cutRow{
		{name: "Open for reading", kind: "OPEN", path: "file", prepare: cutOpen},
		{name: "Open that creates", kind: "OPEN", path: "new", prepare: cutCreate(flagsMake, 0o640)},
		{name: "Open that creates exclusively", kind: "OPEN", path: "new", prepare: cutCreate(flagsNew, 0o640)},
		{name: "Open that creates what is read-only", kind: "OPEN", path: "new", prepare: cutCreate(flagsNew, 0o444)},
		{name: "Open that truncates", kind: "OPEN", path: "file", prepare: cutTruncate},
	}
}

func cutOpen(c *cut) (func() error, func()) {
	c.put(c.T, "file", "data")
	return func() error {
			f, a, err := c.Remote.Open(c.Context(), "file", flagsRead, 0)
			if err != nil {
				return err
			}
			if a.Size != 4 {
				c.Errorf("size %d", a.Size)
			}
			return readClose(c.Context(), f, "data")
		}, func() {
			c.holds(c.T, "file", "data")
		}
}

// readClose reads a file to its end, and closes it.
func readClose(ctx context.Context, f remote.File, want string) error {
	got := make([]byte, len(want)+1)
	n, err := f.ReadAt(ctx, got, 0)
	if err != io.EOF || string(got[:n]) != want {
		return fmt.Errorf("read %q, %w; want %q", got[:n], err, want)
	}
	return f.Close(ctx)
}

func cutCreate(flag remote.OpenFlag, perm uint32) func(c *cut) (func() error, func()) {
	return func(c *cut) (func() error, func()) {
		c.s.HonourModes(true)
		var f remote.File
		return func() (err error) {
				f, _, err = c.Remote.Open(c.Context(), "new", flag, perm)
				return err
			}, func() {
				if f == nil {
					return
				}
				mustWrite(c.T, f, "data", 0)
				if err := f.Close(c.Context()); err != nil {
					c.Errorf("Close: %v", err)
				}
				c.holds(c.T, "new", "data")
				if got := c.stat(c.T, "new").Mode & 0o7777; got != perm {
					c.Errorf("mode %o, want %o", got, perm)
				}
			}
	}
}

func cutTruncate(c *cut) (func() error, func()) {
	c.put(c.T, "file", "old data")
	var f remote.File
	return func() (err error) {
			f, _, err = c.Remote.Open(c.Context(), "file", flagsWrite|remote.FlagTruncate, 0)
			return err
		}, func() {
			if f == nil {
				return
			}
			mustWrite(c.T, f, "new", 0)
			mustFlush(c.T, f)
			c.holds(c.T, "file", "new")
		}
}
