package fsnode

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// late is a Remote whose renames are made, and not answered.
type late struct {
	remote.Remote
	err  error // what their callers are told instead
	away bool  // nothing is sent
}

func (l *late) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	if l.err == nil {
		return l.Remote.Rename(ctx, oldPath, newPath, noReplace)
	}
	if !l.away {
		if err := l.Remote.Rename(ctx, oldPath, newPath, noReplace); err != nil {
			return err
		}
	}
	return remote.PathError("rename", oldPath, l.err)
}

func (l *late) Info() remote.Info {
	info := l.Remote.Info()
	if l.away {
		info.Away = time.Unix(1, 0)
	}
	return info
}

// TestUnlinkUnanswered pins that no hidden file is left when nobody hears that an open
// file was given its hidden name.
func TestUnlinkUnanswered(t *testing.T) {
	for name, err := range map[string]error{"killed": context.Canceled, "timed out": syscall.ETIMEDOUT} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := drive(t, Config{}, nil, func(r remote.Remote) remote.Remote { return &late{Remote: r, err: err} })
				d.write("f", "data")
				fh, _ := d.handle("f", syscall.O_RDONLY)
				if s := d.f.Unlink(nil, &fuse.InHeader{NodeId: rootID}, "f"); s != statusOf(err) {
					t.Errorf("unlink: %v", s)
				}
				if left := d.names(); len(left) != 1 || left[0] == "f" {
					t.Errorf("the rename was made, and there is %q", left)
				}
				time.Sleep(lateFor + time.Second)
				synctest.Wait()
				if left := d.names(); len(left) != 0 {
					t.Errorf("left behind: %q", left)
				}
				d.f.Release(nil, &fuse.ReleaseIn{Fh: fh})
			})
		})
	}
}

// TestUnlinkWhileAway pins that a program which tries again and again to remove an open
// file leaves nothing to do each time.
func TestUnlinkWhileAway(t *testing.T) {
	l := &late{err: syscall.ETIMEDOUT, away: true}
	d := drive(t, Config{}, nil, func(r remote.Remote) remote.Remote { l.Remote = r; return l })
	d.write("f", "data")
	d.handle("f", syscall.O_RDONLY)
	before := d.f.tree.now()
	for range 100 {
		if s := d.f.Unlink(nil, &fuse.InHeader{NodeId: rootID}, "f"); s != fuse.Status(syscall.ETIMEDOUT) {
			t.Errorf("unlink: %v", s)
		}
	}
	if d.f.tree.now() != before || len(d.f.tree.root.children) != 1 {
		t.Errorf("%d names in the tree", len(d.f.tree.root.children))
	}
}

// names are those behind the filesystem.
func (d *driver) names() (names []string) {
	d.t.Helper()
	entries, err := os.ReadDir(d.root)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
