package sync

import (
	"os"
	"path/filepath"
	"slices"
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
