package cache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// An uncounted remote tells no counts of links, as SFTP does not.
type uncounted struct{ *remotetest.Dir }

func (u uncounted) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	a, err := u.Dir.Lstat(ctx, path)
	a.Nlink = 0
	return a, err
}

func (u uncounted) Link(ctx context.Context, oldPath, newPath string) (remote.Attr, error) {
	a, err := u.Dir.Link(ctx, oldPath, newPath)
	a.Nlink = 0
	return a, err
}

func (u uncounted) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := u.Dir.Open(ctx, path, flag, perm)
	a.Nlink = 0
	return f, a, err
}

func newUncounted(t *testing.T) (*Cache, *remotetest.Dir, string) {
	t.Helper()
	root := t.TempDir()
	dir := remotetest.NewDir(root)
	c := New(uncounted{dir}, fiveSeconds)
	t.Cleanup(func() { check(t, c.Close()) })
	f, _, err := c.Open(t.Context(), "a", flagNew, 0o644)
	check(t, err)
	check(t, f.Close(t.Context()))
	return c, dir, root
}

// Where a count of links is known it goes up with a link and down with a name.
func TestLinkCounts(t *testing.T) {
	c, _, _ := newUncounted(t)
	ctx := t.Context()
	counts := func(want string, paths ...string) {
		t.Helper()
		var got []uint32
		for _, p := range paths {
			a, err := c.Lstat(ctx, p)
			check(t, err)
			got = append(got, a.Nlink)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v have %v links, want %s", paths, got, want)
		}
	}
	link := func(from, to string) { t.Helper(); _, err := c.Link(ctx, from, to); check(t, err) }
	counts("[1]", "a")
	link("a", "b")
	counts("[2 2]", "a", "b")
	check(t, c.Remove(ctx, "b"))
	counts("[1]", "a")
	link("a", "b")
	link("b", "c")
	counts("[3 3 3]", "a", "b", "c")
	check(t, c.Rename(ctx, "c", "d", false))
	check(t, c.Remove(ctx, "a"))
	counts("[2 2]", "b", "d")
	check(t, c.Rename(ctx, "b", "d", false)) // names of one file: nothing happens
	counts("[2 2]", "b", "d")
	_, _, err := c.Open(ctx, "other", flagNew, 0o644)
	check(t, err)
	check(t, c.Rename(ctx, "other", "b", false))
	counts("[1]", "d")
}

// What is done by one name shows by the others.
func TestOtherNames(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, c *Cache){
		"setattr": func(t *testing.T, c *Cache) {
			_, err := c.SetAttr(t.Context(), "a", remote.Change{Fields: remote.SetMode, Mode: 0o600})
			check(t, err)
		},
		"truncate": func(t *testing.T, c *Cache) {
			_, err := c.SetAttr(t.Context(), "a", remote.Change{Fields: remote.SetSize, Size: 1})
			check(t, err)
		},
		"write": func(t *testing.T, c *Cache) {
			f, _, err := c.Open(t.Context(), "a", flagWrite, 0)
			check(t, err)
			_, err = c.Lstat(t.Context(), "d/b")
			check(t, err)
			_, err = f.WriteAt(t.Context(), []byte("longer"), 3)
			check(t, err)
			_, err = c.Lstat(t.Context(), "d/b")
			check(t, err)
			check(t, f.Close(t.Context()))
		},
		"truncating open": func(t *testing.T, c *Cache) {
			f, _, err := c.Open(t.Context(), "a", flagWrite|remote.FlagTruncate, 0)
			check(t, err)
			check(t, f.Close(t.Context()))
		},
		"write after the name has gone": func(t *testing.T, c *Cache) {
			f, _, err := c.Open(t.Context(), "a", flagWrite, 0)
			check(t, err)
			check(t, c.Remove(t.Context(), "a"))
			_, err = c.Lstat(t.Context(), "d/b")
			check(t, err)
			_, err = f.WriteAt(t.Context(), []byte("longer"), 3)
			check(t, err)
			check(t, f.Close(t.Context()))
		},
		"in a folder that moved": func(t *testing.T, c *Cache) {
			check(t, c.Rename(t.Context(), "d", "e", false))
			_, err := c.Lstat(t.Context(), "e/b")
			check(t, err)
			_, err = c.SetAttr(t.Context(), "a", remote.Change{Fields: remote.SetMode, Mode: 0o600})
			check(t, err)
			check(t, c.Rename(t.Context(), "e", "d", false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir, root := newUncounted(t)
			check(t, os.Mkdir(filepath.Join(root, "d"), 0o755))
			_, err := c.Link(t.Context(), "a", "d/b")
			check(t, err)
			do(t, c)
			got, err := c.Lstat(t.Context(), "d/b")
			check(t, err)
			want, err := dir.Lstat(t.Context(), "d/b")
			check(t, err)
			if got.Mode != want.Mode || got.Size != want.Size {
				t.Errorf("mode %o and %d bytes, want %o and %d", got.Mode, got.Size, want.Mode, want.Size)
			}
		})
	}
}

// Mode and owner are left out only by a File whose own create or change told them, if
// nobody has changed any file's since.
func TestChangesLeftOut(t *testing.T) {
	mode := func(m uint32) remote.Change { return remote.Change{Fields: remote.SetMode, Mode: m} }
	for _, c := range []struct {
		name string
		do   func(t *testing.T, c *Cache, f remote.File)
		sent bool
	}{
		{"nothing", func(*testing.T, *Cache, remote.File) {}, false},
		{"a change by itself, and back", func(t *testing.T, c *Cache, f remote.File) {
			for _, m := range []uint32{0o600, 0o644} {
				_, err := f.SetAttr(t.Context(), mode(m))
				check(t, err)
			}
		}, false},
		{"a write", func(t *testing.T, c *Cache, f remote.File) {
			_, err := f.WriteAt(t.Context(), []byte("x"), 0)
			check(t, err)
		}, false},
		{"a change by path", func(t *testing.T, c *Cache, f remote.File) {
			_, err := c.SetAttr(t.Context(), "f", mode(0o600))
			check(t, err)
		}, true},
		{"a change by a path that leads to it in another way", func(t *testing.T, c *Cache, f remote.File) {
			_, err := c.SetAttr(t.Context(), "way/f", mode(0o600))
			check(t, err)
		}, true},
		{"a change by another File", func(t *testing.T, c *Cache, f remote.File) {
			g, _, err := c.Open(t.Context(), "f", flagWrite, 0)
			check(t, err)
			_, err = g.SetAttr(t.Context(), mode(0o600))
			check(t, err)
			check(t, g.Close(t.Context()))
		}, true},
		{"a link", func(t *testing.T, c *Cache, f remote.File) {
			_, err := c.Link(t.Context(), "f", "g")
			check(t, err)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			check(t, os.Symlink(".", filepath.Join(root, "way")))
			dir := remotetest.NewDir(root)
			cache := New(dir, fiveSeconds)
			defer func() { check(t, cache.Close()) }()
			f, _, err := cache.Open(t.Context(), "f", flagNew, 0o644)
			check(t, err)
			defer func() { check(t, f.Close(t.Context())) }()
			c.do(t, cache, f)
			dir.Reset()
			a, err := f.SetAttr(t.Context(), mode(0o644))
			check(t, err)
			if sent := dir.Calls()["fsetattr"] > 0; sent != c.sent {
				t.Errorf("sent: %v, want %v", sent, c.sent)
			}
			st, err := os.Stat(filepath.Join(root, "f"))
			check(t, err)
			if a.Perm() != 0o644 || st.Mode().Perm() != 0o644 {
				t.Errorf("told %o, and it is %v", a.Perm(), st.Mode())
			}
		})
	}
}

// Set-id bits go with a chown that changes no owner, a file that was only opened may
// have been changed by anyone, and by path everything is sent.
func TestChangesSent(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	f := b.open(t, "f", flagNew)
	_, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetMode, Mode: 0o4755})
	check(t, err)
	owner := remote.Change{Fields: remote.SetUID | remote.SetGID, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	b.costs(t, "chown of a set-id file", map[string]int{"fsetattr": 1}, func() { _, err = f.SetAttr(t.Context(), owner) })
	check(t, err)
	b.disk(t, "g", "")
	g := b.open(t, "g", flagWrite)
	b.costs(t, "chown of a file that was opened", map[string]int{"fsetattr": 1}, func() { _, err = g.SetAttr(t.Context(), owner) })
	check(t, err)
	b.sizeOf(t, "g")
	b.costs(t, "chown by path", map[string]int{"setattr": 1}, func() { _, err = b.SetAttr(t.Context(), "g", owner) })
	check(t, err)
	a, err := f.Stat(t.Context())
	check(t, err)
	times := remote.Change{Fields: remote.SetMtime, Mtime: a.Mtime}
	b.costs(t, "the same time", map[string]int{"fsetattr": 1}, func() { _, err = f.SetAttr(t.Context(), times) })
	check(t, err)
}
