package sync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// deadMount leaves a FUSE mount without a server behind, and of another user: its name can
// neither be looked at nor watched.
func deadMount(t testing.TB, at string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	must(t, os.Mkdir(at, 0o755))
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		missing(t, "/dev/fuse")
	}
	must(t, syscall.Mount("dead", at, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=1234,group_id=1234", fuse.Fd())))
	t.Cleanup(func() { must(t, syscall.Unmount(at, syscall.MNT_DETACH)) })
	must(t, fuse.Close())
}

// One name that cannot be looked at takes no other with it.
func TestANameThatCannotBeLookedAt(t *testing.T) {
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		p := newPairing(t, Options{Mode: mode})
		deadMount(t, filepath.Join(p.local, "dead"))
		put(t, p.remote, "dead/x", "of the server", old)
		put(t, p.local, "here", "text", old)
		put(t, p.remote, "there", "text", old)
		res := p.run()
		if res.FailureCount != 1 || res.Failures[0].Path != "dead" || res.Failures[0].Side != Local {
			t.Errorf("%v: %+v", mode, res.Failures)
		}
		if mode != Pull {
			wantFile(t, p.remote, "here", "text")
		}
		if mode != Push {
			wantFile(t, p.local, "there", "text")
		}
		p.options.Names = filterOf(t, "dead/")
		p.clean()
	}
}

// One link that cannot be read, and one name of a drop box, neither.
func TestALinkThatCannotBeRead(t *testing.T) {
	for _, op := range []string{"readlink", "lstat"} {
		p := newPairing(t, Options{Mode: Push})
		for _, root := range []string{p.local, p.remote} {
			must(t, os.Symlink("to", filepath.Join(root, "bad")))
		}
		put(t, p.local, "f", "text", old)
		p.dir.Before = func(_ context.Context, o, path string) error {
			if o == op && path == "bad" || o == "readdir" && op == "lstat" {
				return syscall.EACCES
			}
			return nil
		}
		res := p.run()
		wantFile(t, p.remote, "f", "text")
		if res.FailureCount != 1 || res.Failures[0].Path != "bad" || !errors.Is(res.Failures[0].Err, syscall.EACCES) {
			t.Errorf("%s: %+v", op, res.Failures)
		}
	}
}
