package sync

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestContained(t *testing.T) {
	for _, c := range []struct {
		at, target string
		want       bool
	}{
		{"l", "a", true},
		{"l", "a/b/c", true},
		{"l", "./a//b/.", true},
		{"l", "..", false},
		{"l", "", false},
		{"d/l", "..", true},
		{"d/l", "../x", true},
		{"d/l", ".././../x", false},
		{"d/e/l", "../../x", true},
		{"d/e/l", "x/../y", false}, // x may lead anywhere
		{"d/e/l", "x/x/../../../../etc", false},
		{"l", "/etc/passwd", false},
		{"l", "/", false},
		{"l", "/home/me/sync", true},
		{"l", "/home/me/sync/a", true},
		{"l", "//home/./me/sync//a", true},
		{"l", "/home/me/synced", false},
		{"l", "/home/me/sync/../x", false},
		{"l", "/home/me/sync/a/..", false},
		{"l", "...", true},
		{"l", "..a", true},
	} {
		if got := contained(c.at, c.target, "/home/me/sync"); got != c.want {
			t.Errorf("%s -> %q: %v", c.at, c.target, got)
		}
	}
	if !contained("l", "/etc", "/") || contained("l", "../x", "/") {
		t.Error("below the root of all")
	}
}

// A link that leads out is not made here, is named, and its source stays; one that
// is here already, too.
func TestLinksThatLeadOut(t *testing.T) {
	for _, o := range []Options{{Mode: Pull, Delete: true}, {Mode: TwoWay}, {Mode: Pull, DryRun: true}} {
		p := newPairing(t, o)
		for name, target := range map[string]string{"abs": "/etc/passwd", "d/up": "../../x", "there": "/etc/group", "d/ok": "../f", "f": "g"} {
			full := filepath.Join(p.remote, name)
			must(t, os.MkdirAll(filepath.Dir(full), 0o755))
			must(t, os.Symlink(target, full))
		}
		must(t, os.Symlink("/etc/group", filepath.Join(p.local, "there")))
		res := p.run()
		wantAbsent(t, p.local, "abs")
		wantAbsent(t, p.local, "d/up")
		for _, name := range []string{"abs", "d/up", "there"} {
			if _, err := os.Readlink(filepath.Join(p.remote, name)); err != nil {
				t.Errorf("%v: the source %s is gone", o.Mode, name)
			}
		}
		if to, err := os.Readlink(filepath.Join(p.local, "d/ok")); !o.DryRun && (err != nil || to != "../f") {
			t.Errorf("%v: %q, %v", o.Mode, to, err)
		}
		want := map[bool]int64{true: 3, false: 2}[o.Delete] // alike on both sides is left alone anyway
		if res.Partial() || res.Unsafe != want || !slices.Contains(res.UnsafeNames, "d/up") {
			t.Errorf("%+v: %d %v", o, res.Unsafe, res.UnsafeNames)
		}
		p.options.Strict = true
		if res := p.run(); !res.Partial() {
			t.Errorf("%v: strict, and not partial", o.Mode)
		}
	}
	p := newPairing(t, Options{Mode: Push})
	must(t, os.Symlink("/etc/passwd", filepath.Join(p.local, "abs")))
	if res := p.clean(); res.ToRemote.Links != 1 {
		t.Errorf("to the server every link goes: %+v", res)
	}
}

func TestLinksSkipped(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Links: LinksSkip, Strict: true})
	must(t, os.Symlink("f", filepath.Join(p.remote, "l")))
	if res := p.clean(); res.Special != 1 {
		t.Errorf("%+v", res)
	}
	wantAbsent(t, p.local, "l")
}

// On a server, too, nothing outside the folder is followed: no file, and nothing by way of
// a link that leads out.
func TestLinksFollowNothingOutsideOfTheServersFolder(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Links: LinksFollow})
	outside := t.TempDir()
	put(t, outside, "dir/secret", "secret", old)
	put(t, p.remote, "in/f", "inside", old)
	for name, target := range map[string]string{
		"out":   outside,
		"file":  outside + "/dir/secret",
		"via":   "out/dir",
		"viaf":  "out/dir/secret",
		"up":    "../" + filepath.Base(outside) + "/dir",
		"good":  "in/f",
		"whole": p.remote + "/in",
		"again": "whole/../in/f",
	} {
		must(t, os.Symlink(target, filepath.Join(p.remote, name)))
	}
	res := p.run()
	for _, name := range []string{"good", "whole/f", "again"} {
		wantFile(t, p.local, name, "inside")
	}
	for _, name := range []string{"out", "file", "via", "viaf", "up"} {
		wantAbsent(t, p.local, name)
	}
	if res.FailureCount != 5 {
		t.Errorf("%+v", res.Failures)
	}
}

// A link does not lead onto another filesystem where those are left alone.
func TestLinksFollowStaysOnOneFileSystem(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Links: LinksFollow, OneFileSystem: true})
	mounted := filepath.Join(p.local, "mounted")
	must(t, os.Mkdir(mounted, 0o755))
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	must(t, syscall.Mount("tmpfs", mounted, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, syscall.Unmount(mounted, 0)) })
	put(t, p.local, "mounted/dir/f", "text", old)
	must(t, os.Symlink("mounted/dir", filepath.Join(p.local, "link")))
	must(t, os.Symlink("mounted/dir/f", filepath.Join(p.local, "file")))
	res := p.clean()
	wantAbsent(t, p.remote, "link")
	wantAbsent(t, p.remote, "file")
	if res.Elsewhere != 3 {
		t.Errorf("%+v", res)
	}
}

// A link that is excluded is not followed, wherever it leads.
func TestLinksFollowPassesOverWhatIsExcluded(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		for _, pattern := range []string{"out", "out/"} {
			p := newPairing(t, Options{Mode: mode, Links: LinksFollow, Names: filterOf(t, pattern)})
			from := p.local
			if mode == Pull {
				from = p.remote
			}
			put(t, from, "f", "text", old)
			must(t, os.Symlink(t.TempDir(), filepath.Join(from, "out")))
			p.clean()
		}
	}
}
