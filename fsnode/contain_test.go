package fsnode

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLinkText(t *testing.T) {
	points := [][]string{elements("/run/mnt"), elements("/home/me/mnt")}
	tree := linkRules{points: points}
	strict := linkRules{points: points, contain: ContainStrict}
	open := linkRules{points: points, contain: ContainNothing}
	turned := linkRules{points: points, transform: true}
	const no = "\x00no"
	for _, tc := range []struct {
		rules       linkRules
		text        string
		depth       int
		want        string // the text itself when empty
		description string
	}{
		{tree, "f", 0, "", "a name"},
		{tree, "releases/7", 0, "", "a path"},
		{tree, ".", 0, "", "the folder itself"},
		{tree, "./a/./b//c/", 0, "", "elements that count for nothing"},
		{tree, "...", 0, "", "a name of dots"},
		{tree, "..a/b..", 0, "", "names with dots"},
		{tree, "../f", 1, "", "one up, from one below"},
		{tree, "../f", 0, no, "one up, from the top"},
		{tree, "..", 0, no, "the folder of the mountpoint"},
		{tree, "../..", 2, "", "the top, from two below"},
		{tree, "../../..", 2, no, "one too many"},
		{tree, ".././/..///../f", 2, no, "one too many, in disguise"},
		{tree, "./../f", 0, no, "one too many after a dot"},
		{tree, "a/../f", 5, no, "up after a name"},
		{tree, "x/x/x/../../..", 1, no, "x may be a link to the top"},
		{tree, "../a/..", 3, no, "up after a name, behind an honest start"},
		{tree, "/etc/passwd", 9, no, "a file of this machine"},
		{tree, "/", 9, no, "the root of this machine"},
		{tree, "//", 9, no, "likewise"},
		{tree, "/run/mnt", 0, "", "the mountpoint"},
		{tree, "//run/./mnt/a", 0, "", "below the mountpoint"},
		{tree, "/home/me/mnt/a", 0, "", "below the mountpoint as it was given"},
		{tree, "/run/mntx", 0, no, "a name that begins like it"},
		{tree, "/run", 0, no, "above the mountpoint"},
		{tree, "/run/mnt/../x", 0, no, "below and up again"},
		{tree, "/run/../run/mnt", 0, no, "there by a detour"},
		{tree, "/run/mnt/a/..", 0, no, "up after a name"},
		{tree, "/srv/data/f", 0, no, "absolute on the server"},
		{strict, "releases/7", 0, "", "strict: a path"},
		{strict, "../f", 1, no, "strict: up"},
		{strict, "/run/mnt/a", 0, no, "strict: absolute"},
		{open, "/etc/passwd", 0, "", "no containment"},
		{open, "../../x", 0, "", "no containment"},
		{turned, "/srv/data/a/b", 0, "a/b", "transformed, at the top"},
		{turned, "/srv/data/a/b", 2, "../../a/b", "transformed, below"},
		{turned, "/srv/data", 0, ".", "transformed: the top itself"},
		{turned, "/srv/data", 1, "..", "transformed: the top, from below"},
		{turned, "/srv/database", 0, no, "transformed: another folder"},
		{turned, "/srv/data/../x", 0, no, "transformed: up"},
		{turned, "/srv/data/a/../../../x", 0, no, "transformed: up after names"},
		{turned, "/run/mnt/a", 0, "", "transformed: the mountpoint's own"},
		{turned, "../f", 1, "", "transformed: a relative one"},
	} {
		got, err := tc.rules.show(tc.text, tc.depth, "/srv/data")
		switch {
		case tc.want == no:
			if err != syscall.EPERM {
				t.Errorf("%s: %q at %d: %q, %v", tc.description, tc.text, tc.depth, got, err)
			}
		case tc.want == "" && got != tc.text || tc.want != "" && got != tc.want || err != nil:
			t.Errorf("%s: %q at %d: %q, %v", tc.description, tc.text, tc.depth, got, err)
		}
	}
}

// The kernel ends a text at NUL, so that what was judged would not be what is
// followed; and it has no links that are empty or longer than a path.
func TestLinkTextThatIsNone(t *testing.T) {
	for _, rules := range []linkRules{{}, {contain: ContainNothing}, {transform: true}} {
		for _, text := range []string{"", "..\x00x", "a\x00", "\x00", strings.Repeat("x", 4096), strings.Repeat("./", 1<<19)} {
			if got, err := rules.show(text, 0, "/"); err != syscall.EIO {
				t.Errorf("%.20q: %.20q, %v", text, got, err)
			}
		}
		if _, err := rules.show(strings.Repeat("x", 4095), 0, "/"); err != nil {
			t.Errorf("the longest: %v", err)
		}
	}
}

// Whatever the text, what is shown keeps a walk inside the mount in which every
// name may lead to the top: the worst that a server can do.
func FuzzLinkText(f *testing.F) {
	for _, text := range []string{"a/../b", "../..", "/m/n/..", "/s/x", "x/x/x/../../..", "./..", "a//b/./", "..\x00"} {
		f.Add(text, uint8(2), false, false)
		f.Add(text, uint8(0), true, true)
	}
	f.Fuzz(func(t *testing.T, text string, depth uint8, strict, transform bool) {
		rules := linkRules{points: [][]string{{"m", "n"}}, transform: transform}
		if strict {
			rules.contain = ContainStrict
		}
		shown, err := rules.show(text, int(depth), "/s")
		if err != nil {
			return
		}
		at := int(depth)
		if shown[0] == '/' {
			if strict || !strings.HasPrefix(filepath.Clean(shown)+"/", "/m/n/") {
				t.Fatalf("%q is shown", shown)
			}
			shown, at = strings.SplitN(shown, "n", 2)[1], 0
		}
		for name := range strings.SplitSeq(shown, "/") {
			switch name {
			case "", ".":
			case "..":
				if at--; at < 0 || strict {
					t.Fatalf("%q at %d leads out", shown, depth)
				}
			default:
				at = 0
			}
		}
	})
}

func TestMountPoints(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at, by, other := filepath.Join(dir, "at"), filepath.Join(dir, "by"), filepath.Join(dir, "other")
	for _, name := range []string{at, other} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("at", by); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for given, want := range map[string]string{
		"": "", at: "", "at": "", by: by, "by": by, "./by/": by, "other/../by": by,
		other: "", "nowhere": "", "by/../other": "",
	} {
		expect := fmt.Sprint([][]string{elements(at)})
		if want != "" {
			expect = fmt.Sprint([][]string{elements(at), elements(want)})
		}
		if got := fmt.Sprint(mountPoints(at, given)); got != expect {
			t.Errorf("given %q: %s, want %s", given, got, expect)
		}
	}
}

func TestGivenLinks(t *testing.T) {
	var l links
	has := func(path, text string, want bool) {
		t.Helper()
		if got := l.gave(path, text); got != want {
			t.Errorf("%s -> %s: %v", path, text, got)
		}
	}
	g := &l.given
	g.made("a/b/l", "/out")
	g.made("a/k", "../../out")
	g.made("plain", "b")
	has("a/b/l", "/out", true)
	has("a/b/l", "/out2", false)
	has("a/b", "/out", false)
	has("plain", "b", false)
	g.moved("a", "c/d")
	has("a/b/l", "/out", false)
	has("c/d/b/l", "/out", true)
	has("c/d/k", "../../out", true)
	g.linked("c/d/k", "k")
	g.moved("c/d/k", "")
	has("k", "../../out", true)
	has("c/d/k", "../../out", false)
	g.moved("nothing", "k") // something else takes the name
	has("k", "../../out", false)
	g.moved("c/d/b", "c")
	has("c/l", "/out", true)
	g.moved("c", "")
	if len(g.sums.At) != 0 || len(g.sums.Inside) != 0 {
		t.Errorf("left: %v, %v", g.sums.At, g.sums.Inside)
	}
	// The memory is bounded, and the first that finds no room says so.
	said := 0
	for i := range givenAtMost + 10 {
		if g.made(fmt.Sprint("l", i), "/out") {
			said++
		}
	}
	if len(g.sums.At) != givenAtMost || said != 1 {
		t.Errorf("%d kept, said %d times", len(g.sums.At), said)
	}
}

func TestRefusedLinksAreBounded(t *testing.T) {
	var l links
	if l.refuse("a") != 1 || l.refuse("a") != 0 || l.refuse("b") != 2 {
		t.Error("a link is not counted once")
	}
	told := 0
	for i := range 2 * countAtMost {
		if l.refuse(fmt.Sprint(i)) > 0 {
			told++
		}
	}
	if told != tellAtMost-2 || l.refusedCount() != countAtMost {
		t.Errorf("told %d, counted %d", told, l.refusedCount())
	}
}

// A link with several names is judged by the one that is nearest to the top.
func TestDepth(t *testing.T) {
	tr := newTree()
	dir := func(parent *node, name string) *node {
		n := &node{typ: syscall.S_IFDIR, lookups: 1}
		tr.name(n, spot{parent, name})
		return n
	}
	a := dir(tr.root, "a")
	b := dir(a, "b")
	link := &node{typ: syscall.S_IFLNK, lookups: 1}
	for i, s := range []spot{{b, "l"}, {a, "l"}, {tr.root, "l"}, {b, "k"}} {
		tr.name(link, s)
		if got, want := tr.depth(link), max(2-i, 0); got != want {
			t.Errorf("depth %d, want %d", got, want)
		}
	}
}
