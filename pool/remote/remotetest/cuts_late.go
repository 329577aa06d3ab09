package remotetest

import (
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// lateCases are files that are closed while the server may yet execute what it had
// received of them: what is saved there next is neither overwritten nor cut by that.
func lateCases() (cases []cutCase) {
	for _, lost := range []struct {
		name string
		lose func(c *cut) // leaves "dir/file" closed, and something of it to RunZombies
	}{
		{"a write", lateWrite},
		{"a truncation", lateSize},
		{"a truncating open", lateOpen},
		{"a truncation by path", lateSizeByPath},
	} {
		for _, next := range []struct {
			name string
			open func(c *cut) (f remote.File, path string)
		}{
			{"opens it again", func(c *cut) (remote.File, string) { return c.file("dir/file", flagsWrite), "dir/file" }},
			{"truncates it", func(c *cut) (remote.File, string) {
				return c.file("dir/file", flagsMake|remote.FlagTruncate), "dir/file"
			}},
			{"has renamed it", func(c *cut) (remote.File, string) {
				c.rename("dir/file", "dir/new")
				return c.file("dir/new", flagsWrite), "dir/new"
			}},
			{"has renamed its folder", func(c *cut) (remote.File, string) {
				c.rename("dir", "other")
				return c.file("other/file", flagsWrite), "other/file"
			}},
			{"has removed it", func(c *cut) (remote.File, string) {
				if err := c.within(func() error { return c.Remote.Remove(c.Context(), "dir/file") }); err != nil {
					c.Errorf("Remove: %v", err)
				}
				return c.file("dir/file", flagsMake), "dir/file"
			}},
			{"has renamed it, and makes another", func(c *cut) (remote.File, string) {
				c.rename("dir/file", "dir/new")
				return c.file("dir/file", flagsNew), "dir/file"
			}},
			{"has renamed another over it", func(c *cut) (remote.File, string) {
				c.put(c.T, "dir/new", "another")
				f := c.file("dir/new", flagsWrite)
				c.rename("dir/new", "dir/file")
				return f, "dir/file"
			}},
		} {
			cases = append(cases, cutCase{lost.name + " comes late, when a second program " + next.name, func(c *cut) {
				c.mkdir(c.T, "dir")
				lost.lose(c)
				time.AfterFunc(time.Second, c.s.RunZombies)
				f, path := next.open(c)
				mustWrite(c.T, f, "new new", 0)
				c.closes(f)
				c.s.RunZombies()
				c.holds(c.T, path, "new new")
			}})
		}
		cases = append(cases, cutCase{lost.name + " comes late, and a size is set by path", func(c *cut) {
			c.mkdir(c.T, "dir")
			lost.lose(c)
			time.AfterFunc(time.Second, c.s.RunZombies)
			c.resizes(func() (remote.Attr, error) { return c.Remote.SetAttr(c.Context(), "dir/file", newSize(3)) })
			c.s.RunZombies()
			if a := c.stat(c.T, "dir/file"); a.Size != 3 {
				c.Errorf("size %d, want 3", a.Size)
			}
		}})
	}
	return append(cases, cutCase{"what waits for something late goes when that is over, with cuts without end", stormLate})
}

func (c *cut) rename(from, to string) {
	c.Helper()
	if err := c.within(func() error { return c.Remote.Rename(c.Context(), from, to, false) }); err != nil {
		c.Errorf("Rename: %v", err)
	}
}

func (c *cut) closes(f remote.File) {
	c.Helper()
	if err := c.within(func() error { return f.Close(c.Context()) }); err != nil {
		c.Errorf("Close: %v", err)
	}
}

func (c *cut) resizes(do func() (remote.Attr, error)) {
	c.Helper()
	if err := c.within(func() error { _, err := do(); return err }); err != nil {
		c.Errorf("SetAttr: %v", err)
	}
}

func lateWrite(c *cut) {
	f := c.file("dir/file", flagsNew)
	c.s.Next("WRITE", "dir/file", Zombie)
	mustWrite(c.T, f, "old old", 0)
	c.closes(f)
}

func lateSize(c *cut) {
	f := c.file("dir/file", flagsNew)
	mustWrite(c.T, f, "old old", 0)
	mustFlush(c.T, f)
	c.s.Next("FSETSTAT", "dir/file", Zombie)
	c.resizes(func() (remote.Attr, error) { return f.SetAttr(c.Context(), newSize(0)) })
	c.closes(f)
}

func lateOpen(c *cut) {
	c.put(c.T, "dir/file", "before")
	c.s.Next("OPEN", "dir/file", Zombie)
	c.closes(c.file("dir/file", remote.FlagWrite|remote.FlagTruncate))
}

func lateSizeByPath(c *cut) {
	c.put(c.T, "dir/file", "old old")
	c.s.Next("SETSTAT", "dir/file", Zombie)
	c.resizes(func() (remote.Attr, error) { return c.Remote.SetAttr(c.Context(), "dir/file", newSize(0)) })
}
