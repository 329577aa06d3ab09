package sync

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/remotemount/remotemount/pool/remote"
)

// mac keeps names decomposed, and finds them in either form.
type mac struct{ remote.Remote }

func (m mac) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	return m.Remote.Lstat(ctx, norm.NFD.String(path))
}

func (m mac) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return m.Remote.ReadDir(ctx, norm.NFD.String(path), emit)
}

func (m mac) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	return m.Remote.Open(ctx, norm.NFD.String(path), flag, perm)
}

func (m mac) Mkdir(ctx context.Context, path string, perm uint32) (remote.Attr, error) {
	return m.Remote.Mkdir(ctx, norm.NFD.String(path), perm)
}

func (m mac) SetAttr(ctx context.Context, path string, c remote.Change) (remote.Attr, error) {
	return m.Remote.SetAttr(ctx, norm.NFD.String(path), c)
}

func (m mac) Rename(ctx context.Context, from, to string, noReplace bool) error {
	return m.Remote.Rename(ctx, norm.NFD.String(from), norm.NFD.String(to), noReplace)
}

func TestNamesOfAMac(t *testing.T) {
	const file, folder = "Übergröße.txt", "Menüs"
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newPairing(t, Options{Mode: mode, ComposeNames: true})
			for _, at := range []string{p.local, p.remote} {
				form := norm.NFC.String
				if at == p.remote {
					form = norm.NFD.String
				}
				put(t, at, form(folder+"/"+file), "same", old)
			}
			source := p.local
			if mode != Push {
				source = p.remote
			}
			put(t, source, map[bool]string{true: norm.NFC.String("neu/é"), false: norm.NFD.String("neu/é")}[source == p.local], "new", old)
			c := p.config()
			c.Remote = mac{p.dir}
			for again := range 2 {
				r, err := New(c)
				if err != nil {
					t.Fatal(err)
				}
				res, err := r.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if want := int64(1 - again); res.ToLocal.Files+res.ToRemote.Files != want || res.FailureCount > 0 {
					t.Errorf("run %d copied %d, want %d; failures %v", again, res.ToLocal.Files+res.ToRemote.Files, want, res.Failures)
				}
			}
			for _, at := range []string{p.local, p.remote} {
				if list, err := os.ReadDir(filepath.Join(at)); err != nil || len(list) != 2 {
					t.Errorf("%s: %v, %v", at, list, err)
				}
			}
		})
	}
}

func TestTwoFormsOfOneName(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, ComposeNames: true})
	put(t, p.remote, norm.NFC.String("é"), "one", old)
	put(t, p.remote, norm.NFD.String("é"), "other", old)
	res := p.run()
	if res.ToLocal.Files != 2 || res.FailureCount > 0 {
		t.Errorf("copied %d, failed %d: of two names one keeps its own form", res.ToLocal.Files, res.FailureCount)
	}
	if res := p.run(); res.Changed() {
		t.Errorf("a second run copies %d again", res.ToLocal.Files)
	}
}

// A source that was set aside and gets its name back has the form that it had.
func TestANameSetAsideKeepsItsForm(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true, ComposeNames: true})
	name := norm.NFD.String("é")
	put(t, p.remote, name, "first", old)
	p.dir.Before = once("rename", func(string) error {
		put(t, p.remote, name, "other", young)
		return nil
	})
	p.run()
	wantFile(t, p.remote, name, "other")
}

// The names of another form are held to the end of a listing, which may have none.
func TestNamesOfAnotherFormAreBounded(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, norm.NFD.String("é")+strconv.Itoa(i))
	}
	c := newComposed(&liar{dirAt(t.TempDir()), names})
	c.others.most = 100 * nameCost
	err := c.ReadDir(t.Context(), ".", func([]remote.Entry) error { return nil })
	if !errors.Is(err, errTooMuch) || c.others.held.Load() != 0 {
		t.Errorf("%v, %d held", err, c.others.held.Load())
	}
}

// The names of a finished folder are let go of; that of the trigger file's folder is not.
func TestNamesOfAnotherFormAreLetGoOf(t *testing.T) {
	folder := norm.NFD.String("Menü")
	for _, trigger := range []string{"", norm.NFC.String(folder) + "/done"} {
		p := newPairing(t, Options{Mode: Push, TriggerFile: trigger})
		put(t, p.remote, folder+"/d/"+norm.NFD.String("é"), "text", old)
		put(t, p.local, norm.NFC.String(folder+"/d/é"), "text", old)
		c := newComposed(p.dir)
		if res := p.runOn(c); res.Unchanged != 1 {
			t.Errorf("%+v", res)
		}
		if trigger != "" {
			wantFile(t, p.remote, folder+"/done", "")
		} else if delete(c.real, "."); len(c.real) > 0 { // the run is over with this one
			t.Errorf("held on to: %q", c.real)
		}
	}
}

// What lies behind a link that is followed has its name there, too: it was listed, not found
// under the name of the link, and taken to be gone.
func TestNamesOfAnotherFormBehindALink(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, ComposeNames: true, Links: LinksFollow})
	put(t, p.remote, norm.NFD.String("dir/sub/é"), "text", old)
	must(t, os.Symlink("dir", filepath.Join(p.remote, "link")))
	p.clean()
	wantFile(t, p.local, norm.NFC.String("dir/sub/é"), "text")
	wantFile(t, p.local, norm.NFC.String("link/sub/é"), "text")
}
