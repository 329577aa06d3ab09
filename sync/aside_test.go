package sync

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// linking is a server whose RENAME is OpenSSH's: a link and an unlink.
type linking struct {
	remote.Remote
	root    string
	between func(path string) // the two, or else after the rename
}

func (l linking) Rename(ctx context.Context, from, to string, noReplace bool) error {
	if !noReplace || remote.IsInOneStep(ctx) {
		err := l.Remote.Rename(ctx, from, to, noReplace)
		l.between(from)
		return err
	}
	err := os.Link(filepath.Join(l.root, from), filepath.Join(l.root, to))
	if err == nil {
		l.between(from)
		err = os.Remove(filepath.Join(l.root, from))
	}
	return err
}

// A program of the server gives the name of a source to a new version while that is set
// aside. Once the new version was removed, and never copied.
func TestASourceIsSetAsideInOneStep(t *testing.T) {
	for _, there := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Pull, Delete: true})
		put(t, p.remote, "f", "first", old)
		if there {
			put(t, p.local, "f", "first", old)
		}
		p.runOn(linking{p.dir, p.remote, func(path string) {
			if path == "f" {
				put(t, p.remote, "f~", "second", old+2)
				must(t, os.Rename(filepath.Join(p.remote, "f~"), filepath.Join(p.remote, "f")))
			}
		}})
		wantFile(t, p.local, "f", "first")
		wantFile(t, p.remote, "f", "second")
		p.clean()
		wantFile(t, p.local, "f", "second")
	}
}

// So is a target, on a server that then cannot replace it.
func TestATargetStepsAsideInOneStep(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "f", "new", young)
	put(t, p.remote, "f", "old", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if _, err := os.Lstat(filepath.Join(p.remote, "f")); op == "rename" && strings.HasSuffix(path, partSuffix) && err == nil {
			return unix.EOPNOTSUPP
		}
		return nil
	}
	p.runOn(linking{p.dir, p.remote, func(path string) {
		if path == "f" {
			put(t, p.remote, "f~", "somebody's", old)
			must(t, os.Rename(filepath.Join(p.remote, "f~"), filepath.Join(p.remote, "f")))
		}
	}})
	wantFile(t, p.remote, "f", "somebody's")
}

// Here, too, on a filesystem that has no renaming without replacing (NFS).
func TestALocalSourceIsSetAsideInOneStep(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	put(t, p.local, "f", "text", old)
	run := p.passOn(t)
	here := run.tree[Local].(*localTree)
	here.renameat2 = func(int, string, int, string, uint) error { return unix.EINVAL }
	w, err := fsnotify.NewWatcher()
	must(t, err)
	defer func() { must(t, w.Close()) }()
	must(t, w.Add(p.local))
	must(t, setAside(t.Context(), here, "f", run.temp.aside("f")))
	for e := range w.Events {
		if filepath.Base(e.Name) == "f" {
			if !e.Has(fsnotify.Rename) {
				t.Error(e)
			}
			break
		}
	}
	put(t, p.local, "f", "another", old)
	if err := setAside(t.Context(), here, "f", run.temp.aside("f")); !errors.Is(err, unix.EEXIST) {
		t.Error(err)
	}
}
