package sync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
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

// chownless says that it has changed an owner, and has not.
type chownless struct{ remote.Remote }

func (r chownless) SetAttr(ctx context.Context, at string, c remote.Change) (remote.Attr, error) {
	c.Fields &^= remote.SetUID | remote.SetGID
	return r.Remote.SetAttr(ctx, at, c)
}

func (r chownless) Open(ctx context.Context, at string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, perm)
	return chownlessFile{f}, a, err
}

type chownlessFile struct{ remote.File }

func (f chownlessFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	c.Fields &^= remote.SetUID | remote.SetGID
	return f.File.SetAttr(ctx, c)
}

// A source whose owner its copy could not be given stays, in this run and the next.
func TestASourceWhoseOwnerIsNotKeptStays(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("giving files away takes root") // nothing to install
	}
	for name, on := range map[string]func(*pairing) remote.Remote{
		"refused": func(p *pairing) remote.Remote { return ownerless{p.dir} },
		"ignored": func(p *pairing) remote.Remote { return chownless{p.dir} },
	} {
		p := newPairing(t, Options{Mode: Push, Owner: true, Delete: true})
		put(t, p.local, "f", "text", old)
		put(t, p.local, "program", "text", old)
		makeLink(t, filepath.Join(p.local, "l"), "f")
		for _, name := range []string{"f", "program", "l"} {
			must(t, os.Lchown(filepath.Join(p.local, name), 5, 6))
		}
		must(t, unix.Chmod(filepath.Join(p.local, "program"), 0o4755))
		for run := range 2 {
			res := p.runOn(on(p))
			if res.FailureCount != 3 || res.Deleted != 0 {
				t.Errorf("%s, run %d: %d removed, %+v", name, run, res.Deleted, res.Failures)
			}
			wantFile(t, p.remote, "f", "text")
			if to, err := os.Readlink(filepath.Join(p.remote, "l")); to != "f" {
				t.Errorf("%s, run %d: the link leads to %q, %v", name, run, to, err)
			}
			if info, err := os.Stat(filepath.Join(p.remote, "program")); err != nil || info.Mode()&os.ModeSetuid != 0 {
				t.Errorf("%s, run %d: %v, %v", name, run, info.Mode(), err)
			}
		}
		p.clean()
		if text := treeText(t, p.local, false); text != "" {
			t.Errorf("%s: not removed where owners are kept: %s", name, text)
		}
	}
}

// All names of one file are gone after one run. Once the workers kept one another from it,
// and each name but one was said to be open in another program.
func TestAllHardLinksGoInOneRun(t *testing.T) {
	for _, there := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Push, Delete: true})
		put(t, p.local, "n00", "text", old)
		makeLink(t, filepath.Join(p.local, "l00"), "n00")
		for i := range 40 {
			name := fmt.Sprintf("%02d", i)
			if i > 0 {
				must(t, os.Link(filepath.Join(p.local, "n00"), filepath.Join(p.local, "n"+name)))
				must(t, os.Link(filepath.Join(p.local, "l00"), filepath.Join(p.local, "l"+name)))
			}
			if there {
				put(t, p.remote, "n"+name, "text", old)
				makeLink(t, filepath.Join(p.remote, "l"+name), "n00")
			}
		}
		if res := p.clean(); res.Deleted != 80 || res.InUse != 0 {
			t.Errorf("alike before: %v: %d removed, %d in use", there, res.Deleted, res.InUse)
		}
		wantFile(t, p.remote, "n39", "text")
	}
}

// A filesystem calls a hole what was just written. Where the source goes it is read all the
// same, and what is a hole is still not sent.
func TestHolesOfASourceThatGoesAreRead(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	text := make([]byte, 12<<20)
	copy(text[5<<20:], pattern(1, 1<<20))
	put(t, p.local, "f", string(text), old)
	var sent atomic.Int64
	p.dir.Before = func(_ context.Context, op, _ string) error {
		if op == "write" {
			sent.Add(1)
		}
		return nil
	}
	run := p.passOn(t)
	run.stream.data = func(_ *localFile, _, end int64) (from, to int64) { return end, end }
	attr, err := run.tree[Local].Lstat(t.Context(), "f")
	must(t, err)
	a := Action{Op: OpCopy, Path: "f", From: Local, Source: itemOf(attr), Delete: true}
	d, err := run.copyFile(t.Context(), newFolder(nil, ".", Item{Kind: Folder}, Item{Kind: Folder}), a)
	if err != nil || !d.remove {
		t.Errorf("%+v, %v", d, err)
	}
	wantFile(t, p.remote, "f", string(text))
	if sent.Load() != 1 {
		t.Errorf("%d pieces were sent", sent.Load())
	}
}
