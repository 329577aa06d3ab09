package cache

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A lagging remote has its answer to an open, and is not heard before meanwhile has
// run.
type lagging struct {
	*remotetest.Dir
	meanwhile func()
}

func (l *lagging) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := l.Dir.Open(ctx, path, flag, perm)
	if do := l.meanwhile; do != nil {
		l.meanwhile = nil
		do()
	}
	return f, a, err
}

// What is written while a file is being opened is read through it, though its own
// attributes do not count it: a short answer would cut the file in the kernel.
func TestWrittenDuringOpen(t *testing.T) {
	const flag = remote.FlagRead | remote.FlagWrite
	for name, open := range map[string]remote.OpenFlag{"open": flag, "create": flag | remote.FlagCreate} {
		for closed, when := range map[bool]string{false: "still open", true: "closed"} {
			t.Run(name+"/writer "+when, func(t *testing.T) {
				dir := remotetest.NewDir(t.TempDir())
				dir.WriteBehind = true
				below := &lagging{Dir: dir}
				c := New(below, fiveSeconds)
				defer func() { check(t, c.Close()) }()
				f, _, err := c.Open(t.Context(), "f", flag|remote.FlagCreate|remote.FlagExclusive, 0o644)
				check(t, err)
				_, err = f.WriteAt(t.Context(), []byte("some"), 0)
				check(t, err)
				check(t, f.Close(t.Context()))

				below.meanwhile = func() {
					w, _, err := c.Open(t.Context(), "f", flag, 0)
					check(t, err)
					_, err = w.WriteAt(t.Context(), []byte("thing"), 4)
					check(t, err)
					if closed {
						check(t, w.Close(t.Context()))
					} else {
						t.Cleanup(func() { _ = w.Close(context.Background()) })
					}
				}
				g, _, err := c.Open(t.Context(), "f", open, 0o644)
				check(t, err)
				if got := string(readAll(t, g, 9)); got != "something" {
					t.Errorf("read %q, want %q", got, "something")
				}
				if a, err := g.Stat(t.Context()); err != nil || a.Size != 9 {
					t.Errorf("size %d, %v; want 9", a.Size, err)
				}
				check(t, g.Close(t.Context()))
			})
		}
	}
}

// What an opening by a link tells is what the link leads to, and nothing of itself.
func TestOpenByLinkTells(t *testing.T) {
	b := newBench(t, fiveSeconds, nil)
	b.disk(t, "f", "data")
	for link, to := range map[string]string{"l": "f", "nowhere": "none"} {
		check(t, os.Symlink(to, filepath.Join(b.root, link)))
		b.sizeOf(t, link)
	}
	stat := func() int64 {
		a, err := b.Stat(t.Context(), "l")
		check(t, err)
		return a.Size
	}
	stat()
	b.disk(t, "f", "more data")
	f := b.open(t, "l", remote.FlagRead)
	b.costs(t, "a look along a link that was opened by", free, func() {
		if n := stat(); n != 9 {
			t.Errorf("%d bytes, and the opening told 9", n)
		}
	})
	check(t, f.Close(t.Context()))
	if _, _, err := b.Open(t.Context(), "nowhere", remote.FlagRead, 0); errno(err) != syscall.ENOENT {
		t.Errorf("opened by a link to nowhere: %v", err)
	}
	if a, err := b.Lstat(t.Context(), "nowhere"); err != nil || !a.IsSymlink() {
		t.Errorf("the link to nowhere: %o, %v", a.Mode, err)
	}
}
