package sync

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// chrooted is a server that makes absolute links relative.
type chrooted struct{ remote.Remote }

func (c chrooted) Symlink(ctx context.Context, target, path string) (remote.Attr, error) {
	return c.Remote.Symlink(ctx, strings.TrimPrefix(target, "/"), path)
}

// A link is gone only when its copy leads to the same.
func TestALinksCopyIsReadBack(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	must(t, os.Symlink("/etc/hosts", filepath.Join(p.local, "l")))
	res := p.runOn(chrooted{p.dir})
	if to, err := os.Readlink(filepath.Join(p.local, "l")); err != nil || to != "/etc/hosts" {
		t.Errorf("the source is %q, %v", to, err)
	}
	if res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, errNotWhole) || res.Failures[0].Side != Remote || res.Deleted != 0 {
		t.Errorf("%+v", res)
	}
	wantAbsent(t, p.remote, "l")
	p.clean()
	wantAbsent(t, p.local, "l")
}

// makeLink is a link of a given time.
func makeLink(t testing.TB, at, to string) {
	t.Helper()
	must(t, unix.Symlink(to, at))
	must(t, unix.Lutimes(at, []unix.Timeval{{Sec: old}, {Sec: old}}))
}

// That two links were alike when they were listed is not enough either.
func TestALinkThatIsAlikeIsReadBack(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	at := filepath.Join(p.remote, "l")
	makeLink(t, filepath.Join(p.local, "l"), "aaaa")
	makeLink(t, at, "aaaa")
	swap := sync.OnceFunc(func() {
		must(t, os.Remove(at))
		makeLink(t, at, "bbbb")
	})
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "lstat" && path == "l" {
			swap()
		}
		return nil
	}
	if res := p.run(); res.Deleted != 0 {
		t.Errorf("%+v", res)
	}
	if to, err := os.Readlink(filepath.Join(p.local, "l")); err != nil || to != "aaaa" {
		t.Errorf("the source is %q, %v", to, err)
	}
}
