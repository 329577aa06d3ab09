package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// liar is a Remote that lists names its folder does not have.
type liar struct {
	remote.Remote
	names []string
}

func (l *liar) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	var entries []remote.Entry
	for _, n := range l.names {
		entries = append(entries, remote.Entry{Name: n, Attr: remote.Attr{Mode: unix.S_IFREG | 0o644, Size: 4, Mtime: old}})
	}
	if err := emit(entries); err != nil {
		return err
	}
	return l.Remote.ReadDir(ctx, path, emit)
}

func TestNamesThatCannotBeAreRefused(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	outside := filepath.Join(filepath.Dir(p.local), "escaped")
	put(t, p.remote, "good", "good", old)
	names := []string{"../escaped", "..", ".", "", "a/b", "/etc/x", "nul\x00", strings.Repeat("n", 300)}
	c := p.config()
	c.Remote = &liar{p.dir, names}
	r, err := New(c)
	must(t, err)
	res, err := r.Run(t.Context())
	must(t, err)
	wantFile(t, p.local, "good", "good")
	if _, err := os.Lstat(outside); err == nil {
		t.Error("written outside")
	}
	if res.FailureCount+res.Vanished != int64(len(names)) || res.FailureCount < 7 {
		t.Errorf("%d failures, %d vanished: %+v", res.FailureCount, res.Vanished, res.Failures)
	}
	if got := strings.Count(treeText(t, p.local, false), "\n"); got != 0 {
		t.Errorf("more than the one good name:\n%s", treeText(t, p.local, false))
	}
}

// Names that the pool leaves out of listings are reported all the same.
func TestNamesThatAServerMakesUpAreReported(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	for _, name := range []string{"good", "dir/evil1name", "evil2name", "evil3name"} {
		put(t, p.remote, name, "text", old)
	}
	remote := openSSHThrough(t, p.remote, func(b []byte) {
		for from, to := range map[string]string{"evil1name": "../../etc", "evil2name": "evil/name", "evil3name": "evil\x00name"} {
			copy(b, bytes.ReplaceAll(b, []byte(from), []byte(to)))
		}
	})
	c := p.config()
	c.Remote = remote
	r, err := New(c)
	must(t, err)
	res, err := r.Run(t.Context())
	must(t, err)
	wantFile(t, p.local, "good", "text")
	if res.FailureCount != 3 || !errors.Is(res.Failures[0].Err, errBadName) || res.Failures[0].Side != Remote {
		t.Errorf("%+v", res.Failures)
	}
}

func TestAnyBytesAreAName(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode})
		from := map[Mode]string{Push: p.local, Pull: p.remote}[mode]
		for _, n := range []string{"\xff\xfe", "new\nline", "-rf", "back\\slash", "tab\t", "*", " ", "é", "e\u0301", "con", "a:b", strings.Repeat("n", 255)} {
			put(t, from, n, "text of "+n, old)
			put(t, from, "in/"+n+"/x", "x", old)
		}
		p.clean()
		sameTrees(t, p.local, p.remote, true)
	}
}

// A folder becomes a link to another place just before something is written
// into it.
func TestALocalFolderSwappedForALink(t *testing.T) {
	for _, to := range []string{"absolute", "..", "../.."} {
		p := newPairing(t, Options{Mode: Pull})
		outside := t.TempDir()
		put(t, p.remote, "dir/a", "hostile", old)
		put(t, p.remote, "dir/large", string(pattern(1, 5<<20)), old)
		must(t, os.Mkdir(filepath.Join(p.local, "dir"), 0o755))
		target := to
		if to == "absolute" {
			target = outside
		}
		p.dir.Before = once("open", func(string) error {
			must(t, os.Rename(filepath.Join(p.local, "dir"), filepath.Join(p.local, "moved")))
			return os.Symlink(target, filepath.Join(p.local, "dir"))
		})
		if res := p.run(); res.FailureCount == 0 {
			t.Errorf("%s: nothing was reported", to)
		}
		for _, dir := range []string{outside, filepath.Dir(p.local)} {
			wantAbsent(t, dir, "a")
			wantAbsent(t, dir, "large")
		}
		noTemps(t, outside)
	}
}

// The name where the copy goes, and the temporary one, become links.
func TestALocalFileSwappedForALink(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o644))
	put(t, p.remote, "a", "hostile", young)
	put(t, p.remote, "b", "hostile too", young)
	put(t, p.local, "a", "old", old)
	part := newRun(p.config()).part("b", file(11, young))
	p.dir.Before = once("open", func(string) error {
		return errors.Join(os.Remove(filepath.Join(p.local, "a")),
			os.Symlink(victim, filepath.Join(p.local, "a")), os.Symlink(victim, filepath.Join(p.local, part)))
	})
	p.run()
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// A pipe in the place of a file must not hold the run.
func TestALocalFileSwappedForAPipe(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay, Compare: CompareHash})
	put(t, p.local, "a", "same", old)
	put(t, p.remote, "a", "same", young)
	swap := once("open", func(string) error {
		at := filepath.Join(p.local, "a")
		return errors.Join(os.Remove(at), unix.Mkfifo(at, 0o644))
	})
	must(t, swap(t.Context(), "open", ""))
	if res := p.run(); res.ConflictCount != 1 {
		t.Errorf("%+v", res)
	}
	l := &localTree{root: openRoot(t, p.local)}
	if _, _, err := l.Open(t.Context(), "a", remote.FlagRead, 0); !errors.Is(err, errSpecial) {
		t.Errorf("%v", err)
	}
}

func openRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { must(t, root.Close()) })
	return root
}

func TestSetIDBitsAreNotPulled(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	put(t, p.remote, "program", "#!", old)
	must(t, unix.Chmod(filepath.Join(p.remote, "program"), 0o6755))
	p.clean()
	info, err := os.Stat(filepath.Join(p.local, "program"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestLinksFollow(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newPairing(t, Options{Mode: mode, Links: LinksFollow})
			from, to := p.local, p.remote
			if mode == Pull {
				from, to = p.remote, p.local
			}
			put(t, from, "real/a", "a", old)
			put(t, from, "real/deep/b", "b", old)
			for name, target := range map[string]string{"file": "real/a", "folder": "real", "real/deep/up": "..", "real/self": ".", "dangling": "nowhere", "p/x": "../q", "q/y": "../p"} {
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o755))
				must(t, os.Symlink(target, filepath.Join(from, name)))
			}
			res := p.run()
			wantFile(t, to, "file", "a")
			wantFile(t, to, "folder/a", "a")
			wantFile(t, to, "folder/deep/b", "b")
			wantAbsent(t, to, "dangling")
			wantAbsent(t, to, "real/self")
			wantAbsent(t, to, "p/x/y")
			for _, f := range res.Failures {
				if !errors.Is(f.Err, errLoop) {
					t.Errorf("%+v", f)
				}
			}
			if res.FailureCount == 0 || res.FailureCount > 8 || res.Special != 1 {
				t.Errorf("%d loops, %d skipped", res.FailureCount, res.Special)
			}
		})
	}
}

// Links of a local source that lead out of it are not followed.
func TestLinksFollowStaysInside(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Links: LinksFollow})
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	must(t, os.Symlink(secret, filepath.Join(p.local, "link")))
	put(t, p.local, "a", "a", old)
	if res := p.run(); res.FailureCount != 1 {
		t.Errorf("%+v", res)
	}
	wantAbsent(t, p.remote, "link")
	wantFile(t, p.remote, "a", "a")
}

func TestOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("giving files away takes root") // nothing to install
	}
	p := newPairing(t, Options{Mode: Push, Owner: true})
	put(t, p.local, "dir/a", "a", old)
	put(t, p.local, "b", "b", old)
	must(t, os.Chown(filepath.Join(p.local, "dir"), 12, 13))
	must(t, os.Chown(filepath.Join(p.local, "dir/a"), 10, 11))
	must(t, unix.Chmod(filepath.Join(p.local, "dir/a"), 0o4755))
	p.clean()
	for path, uid := range map[string]uint32{"dir": 12, "dir/a": 10, "b": 0} {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(p.remote, path), &st))
		if st.Uid != uid {
			t.Errorf("%s belongs to %d", path, st.Uid)
		}
	}
	if info, err := os.Stat(filepath.Join(p.remote, "dir/a")); err != nil || info.Mode() != 0o755|os.ModeSetuid {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if again := p.clean(); again.Changed() {
		t.Errorf("second run %+v", again)
	}
	var refused atomic.Int64
	must(t, os.Chown(filepath.Join(p.local, "b"), 5, 5))
	p.dir.Before = func(_ context.Context, op, _ string) error {
		if op == "setattr" || op == "fsetattr" {
			refused.Add(1)
			return syscall.EPERM
		}
		return nil
	}
	if res := p.run(); res.FailureCount != 1 || refused.Load() == 0 {
		t.Errorf("%+v", res)
	}
}

// unending is a Remote whose folders named as one of these have no end of names.
type unending struct {
	remote.Remote
	refused, folders bool
}

func (u unending) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	if _, name := remote.Split(path); !strings.HasPrefix(name, "unending") {
		return u.Remote.ReadDir(ctx, path, emit)
	}
	if u.folders && strings.Contains(path, "/") {
		time.Sleep(20 * time.Millisecond) // meanwhile the others wait
		return nil
	}
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("%s %d", path, i)
		e := remote.Entry{Name: strings.ReplaceAll(name, "/", "+"), Attr: remote.Attr{Mode: syscall.S_IFREG | 0o644}}
		switch {
		case u.refused:
			remote.RefusedBy(ctx)(name + "/..")
			if err := emit(nil); err != nil {
				return err
			}
			continue
		case u.folders: // more than may wait, and not more than may be listed
			e.Name, e.Attr.Mode = fmt.Sprintf("unending%d", i), syscall.S_IFDIR|0o755
			if i == 800 {
				return nil
			}
		}
		if err := emit([]remote.Entry{e}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (u unending) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	if strings.Contains(path, "unending") {
		return remote.Attr{Mode: syscall.S_IFDIR | 0o755}, nil
	}
	return u.Remote.Lstat(ctx, path)
}

// What a server lists without an end is held up to a bound, and the rest is done.
func TestListingsWithoutAnEnd(t *testing.T) {
	for name, u := range map[string]unending{"names": {}, "refused names": {refused: true}, "folders": {folders: true}} {
		p := newPairing(t, Options{Mode: Pull, DryRun: u.folders})
		put(t, p.remote, "good/file", "good", old)
		must(t, os.Mkdir(filepath.Join(p.remote, "unending"), 0o755))
		u.Remote = p.dir
		c := p.config()
		c.Remote = u
		r, err := New(c)
		must(t, err)
		r.mostHeld = 512 << 10
		res, err := r.Run(t.Context())
		must(t, err)
		if res.FailureCount == 0 || !errors.Is(res.Failures[0].Err, errTooMuch) || res.ToLocal.Files != 1 {
			t.Errorf("%s: %d failures: %.300v, %d files", name, res.FailureCount, res.Failures, res.ToLocal.Files)
		}
		for _, f := range res.Failures {
			if f.Side != Remote || !errors.Is(f.Err, errTooMuch) {
				t.Errorf("%s: %v: %v", name, f.Side, f.Err)
			}
		}
	}
}

// The names that mounts give for a while take no part; what only looks like them does.
func TestNamesOfMountsTakeNoPart(t *testing.T) {
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		p := newPairing(t, Options{Mode: mode})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		ours := []string{
			".remotemount-hidden-0123456789abcdef-12", ".remotemount-replaced-" + strings.Repeat("a2", 13),
			".remotemount-probe-abcdefgh-1", ".remotemount-trial-abcdefghijkl",
		}
		for _, name := range ours {
			put(t, from, name, "ours", old)
		}
		put(t, from, ".remotemount-hidden-notes", "somebody's", old)
		p.clean()
		for _, name := range ours {
			wantAbsent(t, to, name)
		}
		wantFile(t, to, ".remotemount-hidden-notes", "somebody's")
	}
}
