package cache

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A tardy remote tells of what it has made only when nobody waits any more.
type tardy struct {
	*remotetest.Dir
	over chan struct{}
}

func (s tardy) unsettled(err error) error {
	if err != nil {
		return err
	}
	return remote.PathError("change", "f", &remote.Unsettled{Err: syscall.ETIMEDOUT, Over: s.over, Made: func() bool { return true }})
}

func (s tardy) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	return s.unsettled(s.Dir.Rename(ctx, oldPath, newPath, noReplace))
}

func (s tardy) Replace(ctx context.Context, oldPath, newPath, keep string) (bool, error) {
	kept, err := s.Dir.Replace(ctx, oldPath, newPath, keep)
	return kept, s.unsettled(err)
}

func (s tardy) Remove(ctx context.Context, path string) error {
	return s.unsettled(s.Dir.Remove(ctx, path))
}

// TestOpenFilesFollowLate pins that open files are where a change has led them of which
// it was known only late that it was made.
func TestOpenFilesFollowLate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(context.Context, *Cache) error
		want   string
	}{
		"rename":           {func(ctx context.Context, c *Cache) error { return c.Rename(ctx, "d/f", "g", false) }, "g"},
		"rename of folder": {func(ctx context.Context, c *Cache) error { return c.Rename(ctx, "d", "e", false) }, "e/f"},
		"replace": {func(ctx context.Context, c *Cache) error {
			_, err := c.Replace(ctx, "new", "d/f", "kept")
			return err
		}, "kept"},
		"remove": {func(ctx context.Context, c *Cache) error { return c.Remove(ctx, "d/f") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := tardy{remotetest.NewDir(t.TempDir()), make(chan struct{})}
			c := New(s, fiveSeconds)
			ctx := t.Context()
			_, err := c.Mkdir(ctx, "d", 0o755)
			check(t, err)
			var files []*File
			for _, path := range []string{"d/f", "new"} {
				f, _, err := c.Open(ctx, path, remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
				check(t, err)
				files = append(files, f.(*File))
			}
			if err := test.change(ctx, c); err == nil {
				t.Error("it was answered")
			}
			if at := c.files.place(files[0]); at != "d/f" {
				t.Errorf("before it is known it is at %q", at)
			}
			close(s.over)
			for end := time.Now().Add(10 * time.Second); c.files.place(files[0]) != test.want; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it is at %q", c.files.place(files[0]))
				}
			}
			for _, f := range files {
				check(t, f.Close(ctx))
			}
			check(t, c.Close())
		})
	}
}
