package fsnode

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

var (
	aDir  = remote.Attr{Mode: syscall.S_IFDIR | 0o755}
	aFile = remote.Attr{Mode: syscall.S_IFREG | 0o644}
)

func pathIn(t *tree, n *node) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.path()
}

// move renames in the tree, as after a rename on the server.
func move(t testing.TB, tr *tree, from, to spot) {
	t.Helper()
	c, err := tr.claim(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	tr.mu.Lock()
	c.renamed()
	tr.mu.Unlock()
	c.release()
}

func TestNodesKeepTheirNumbers(t *testing.T) {
	tr := newTree()
	d := tr.enter(tr.root, ".", "d", aDir)
	f := tr.enter(d, "d", "f", aFile)
	if again := tr.enter(d, "d", "f", aFile); again != f {
		t.Fatal("a second lookup gave another node")
	}
	if got := pathIn(tr, f); got != "d/f" {
		t.Fatalf("path %q", got)
	}
	id := f.id
	tr.forget(f.id, 2)
	if tr.get(id) != nil {
		t.Fatal("a forgotten node is still there")
	}
	if f = tr.enter(d, "d", "f", aFile); f.id != id {
		t.Errorf("number %d after a forget, was %d", f.id, id)
	}
	// A moved node takes its number along; who comes to the old place has another.
	move(t, tr, spot{d, "f"}, spot{tr.root, "g"})
	if f.id != id || pathIn(tr, f) != "g" {
		t.Errorf("moved to %q, number %d", pathIn(tr, f), f.id)
	}
	if other := tr.enter(d, "d", "f", aFile); other == f || other.id == id {
		t.Error("a new file at the old place is taken for the moved one")
	}
	// Another type is another node.
	if dir := tr.enter(tr.root, ".", "g", aDir); dir == f || dir.id == f.id || !f.gone {
		t.Error("a folder is taken for the file that had its name")
	}
}

func TestFoldersStayWhileChildrenLive(t *testing.T) {
	tr := newTree()
	d := tr.enter(tr.root, ".", "d", aDir)
	f := tr.enter(d, "d", "f", aFile)
	tr.forget(d.id, 1) // forgets may come in any order
	if pathIn(tr, f) != "d/f" || tr.get(d.id) != d {
		t.Fatal("a folder was dropped under its child")
	}
	tr.forget(f.id, 1)
	if len(tr.nodes) != 1 || len(tr.root.children) != 0 {
		t.Errorf("%d nodes are left", len(tr.nodes))
	}
	tr.forget(12345, 1) // what the kernel should not ask
}

func TestHardLinkedNode(t *testing.T) {
	tr := newTree()
	d := tr.enter(tr.root, ".", "d", aDir)
	f := tr.enter(tr.root, ".", "a", aFile)
	tr.linked(f, spot{d, "b"})
	if got := tr.enter(d, "d", "b", aFile); got != f || tr.links(f) != 2 {
		t.Fatalf("two names, %d links", tr.links(f))
	}
	tr.mu.Lock()
	tr.unname(f, spot{tr.root, "a"})
	tr.mu.Unlock()
	if got := pathIn(tr, f); got != "d/b" || tr.links(f) != 1 {
		t.Errorf("path %q, %d links", got, tr.links(f))
	}
	move(t, tr, spot{d, "b"}, spot{d, "c"})
	if got := pathIn(tr, f); got != "d/c" {
		t.Errorf("path %q", got)
	}
	tr.forget(f.id, 3)
	tr.forget(d.id, 1)
	if len(tr.nodes) != 1 {
		t.Errorf("%d nodes are left", len(tr.nodes))
	}
}

// Files with several names keep their number when the kernel forgets them, also
// below a folder that moves meanwhile, until they have one name left.
func TestLinkedNodesOutliveTheKernel(t *testing.T) {
	tr := newTree()
	d := tr.enter(tr.root, ".", "d", aDir)
	f := tr.enter(d, "d", "a", aFile)
	tr.linked(f, spot{tr.root, "b"})
	id := f.id
	tr.forget(f.id, 2)
	tr.forget(d.id, 1)
	d = tr.enter(tr.root, ".", "d", aDir)
	move(t, tr, spot{tr.root, "d"}, spot{tr.root, "e"})
	if got := tr.numberOf(tr.root, ".", "b"); got != id {
		t.Errorf("a listing gives number %d, was %d", got, id)
	}
	for range 2 {
		a, b := tr.enter(d, "e", "a", aFile), tr.enter(tr.root, ".", "b", aFile)
		if a.id != id || b != a {
			t.Fatalf("numbers %d and %d, were %d", a.id, b.id, id)
		}
		tr.forget(id, 2)
	}
	c, err := tr.claim(t.Context(), spot{d, "a"})
	if err != nil {
		t.Fatal(err)
	}
	c.removed()
	c.release()
	if tr.get(id) != nil || tr.kept.Len() != 0 {
		t.Error("with one name left it stays")
	}
	tr.forget(d.id, 1)
	if len(tr.nodes) != 1 {
		t.Errorf("%d nodes are left", len(tr.nodes))
	}
}

func TestLinkedNodesAreBounded(t *testing.T) {
	tr := newTree()
	d := tr.enter(tr.root, ".", "d", aDir)
	const more = 100
	name := func(i int) (a, b string) { return fmt.Sprint("a", i), fmt.Sprint("b", i) }
	inUse := tr.enter(d, "d", "in use", aFile)
	tr.linked(inUse, spot{d, "too"})
	tr.forget(inUse.id, 2)
	tr.enter(d, "d", "too", aFile)
	for i := range maxKept + more {
		a, b := name(i)
		f := tr.enter(d, "d", a, aFile)
		tr.linked(f, spot{d, b})
		tr.forget(f.id, 2)
	}
	if n := tr.kept.Len(); n != maxKept {
		t.Errorf("%d are kept", n)
	}
	if tr.get(inUse.id) != inUse {
		t.Error("one in use was dropped")
	}
	for i, want := range map[int]bool{0: false, more - 1: false, more: true, maxKept + more - 1: true} {
		a, b := name(i)
		if together := d.children[a] != nil && d.children[a] == d.children[b]; together != want {
			t.Errorf("the names of file %d are one file: %v", i, together)
		}
	}
	tr.forget(inUse.id, 1)
	if tr.get(inUse.id) == nil {
		t.Error("one that was in use is not kept")
	}
}

func TestRenameWaitsForPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		d := tr.enter(tr.root, ".", "d", aDir)
		f := tr.enter(d, "d", "f", aFile)
		if path, err := tr.pin(t.Context(), f); err != nil || path != "d/f" {
			t.Fatal(path, err)
		}
		renamed := make(chan struct{})
		go func() {
			move(t, tr, spot{tr.root, "d"}, spot{tr.root, "e"})
			close(renamed)
		}()
		synctest.Wait()
		select {
		case <-renamed:
			t.Fatal("renamed under an operation")
		default:
		}
		// Who comes now waits for the rename, and gets the new path.
		pinned := make(chan string)
		go func() {
			path, err := tr.pin(t.Context(), f)
			if err != nil {
				t.Error(err)
			}
			pinned <- path
		}()
		synctest.Wait()
		tr.unpin(f)
		<-renamed
		if path := <-pinned; path != "e/f" {
			t.Errorf("path %q after the rename", path)
		}
	})
}

func TestWaitingEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		f := tr.enter(tr.root, ".", "f", aFile)
		if _, err := tr.pin(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tr.claim(ctx, spot{tr.root, "f"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("claim: %v", err)
		}
		// The claim that gave up blocks nobody.
		if _, err := tr.pin(t.Context(), f); err != nil {
			t.Error(err)
		}
		tr.unpin(f)
		tr.unpin(f)
		if f.pins != 0 || tr.root.pins != 0 || f.claimed {
			t.Errorf("left: %d and %d pins, claimed %v", f.pins, tr.root.pins, f.claimed)
		}
	})
}

func TestClaimRefuses(t *testing.T) {
	tr := newTree()
	d := tr.enter(tr.root, ".", "d", aDir)
	e := tr.enter(d, "d", "e", aDir)
	if _, err := tr.claim(t.Context(), spot{tr.root, "d"}, spot{e, "d"}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a folder into itself: %v", err)
	}
	c, err := tr.claim(t.Context(), spot{tr.root, "d"})
	if err != nil {
		t.Fatal(err)
	}
	c.removed()
	c.release()
	if _, err := tr.claim(t.Context(), spot{e, "f"}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("below a removed folder: %v", err)
	}
	if _, err := tr.pin(t.Context(), e); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("the path of something below a removed folder: %v", err)
	}
}

// Pins and claims from all sides: nobody waits for ever, and the counts are
// nothing in the end.
func TestPinsAndClaimsUnderLoad(t *testing.T) {
	tr := newTree()
	var dirs, leaves []*node
	for i := range 3 {
		name := fmt.Sprint("d", i)
		d := tr.enter(tr.root, ".", name, aDir)
		dirs = append(dirs, d)
		leaves = append(leaves, tr.enter(d, name, "leaf", aFile))
	}
	var work sync.WaitGroup
	for i := range 6 {
		work.Go(func() {
			for n := range 2000 {
				switch a, b := dirs[(i+n)%3], dirs[(i+n+1)%3]; n % 4 {
				case 0:
					if _, err := tr.pin(t.Context(), a, b); err == nil {
						tr.unpin(a)
						tr.unpin(b)
					}
				case 1:
					if c, err := tr.claim(t.Context(), spot{tr.root, fmt.Sprint("d", i%3)}, spot{b, "x"}); err == nil {
						c.release()
					}
				case 2:
					if c, err := tr.claim(t.Context(), spot{a, "leaf"}, spot{b, "leaf"}); err == nil {
						c.release()
					}
				default:
					if _, err := tr.pin(t.Context(), leaves[n%3]); err == nil {
						tr.unpin(leaves[n%3])
					}
				}
			}
		})
	}
	work.Wait()
	for _, n := range append(append(dirs, leaves...), tr.root) {
		if n.pins != 0 || n.claimed {
			t.Errorf("%s: %d pins, claimed %v", pathIn(tr, n), n.pins, n.claimed)
		}
	}
}

func TestMapShrinks(t *testing.T) {
	tr := newTree()
	const many = 100 << 10
	ids := make([]uint64, many)
	for i := range ids {
		ids[i] = tr.enter(tr.root, ".", fmt.Sprint(i), aFile).id
	}
	for _, id := range ids {
		tr.forget(id, 1)
	}
	if tr.peak > many/8 || len(tr.nodes) != 1 {
		t.Errorf("%d nodes, peak %d", len(tr.nodes), tr.peak)
	}
}

// TestCrowdOfFolders pins that folders, which are never let go of, are not looked through
// for each name that comes, and that what can go still does.
func TestCrowdOfFolders(t *testing.T) {
	tr := newTree()
	tr.most = 100
	looks, crowded := 0, false
	tr.crowded = func() { crowded = true }
	var given []spot
	come := func(name string, a remote.Attr) {
		tr.enter(tr.root, ".", name, a)
		if crowded {
			crowded = false
			looks++
			given = append(given, tr.oldest()...)
		}
	}
	for i := range 1000 {
		come(fmt.Sprint("d", i), aDir)
	}
	if looks == 0 || looks > 40 {
		t.Errorf("1000 folders were looked through %d times", looks)
	}
	for i := range 200 {
		come(fmt.Sprint("f", i), aFile)
	}
	if len(given) == 0 {
		t.Error("no file is let go of")
	}
}

// The numbers are what git and backup programs remember of files: they must not
// change with a version of this program.
func TestHashIsFixed(t *testing.T) {
	for path, want := range map[string]uint64{"a": 0x1605edfa40a107c, "dir/file": 0x6b495db50ff33ae0} {
		if got := InodeNumber(path); got != want {
			t.Errorf("%q: %#x, want %#x", path, got, want)
		}
	}
}

func BenchmarkPin(b *testing.B) {
	tr := newTree()
	n, path := tr.root, "."
	for range 6 {
		n = tr.enter(n, path, "folder", aDir)
		path = remote.Join(path, "folder")
	}
	for b.Loop() {
		if _, err := tr.pin(b.Context(), n); err != nil {
			b.Fatal(err)
		}
		tr.unpin(n)
	}
}

// A listing may tell the name before the file is known to have it, and after.
func TestHiddenNamesAreToldByThemselves(t *testing.T) {
	one, other := newTree(), newTree()
	s := one.hiddenNameIn(one.root)
	if !one.isHidden(s.name) || one.hiddenNameIn(one.root) == s {
		t.Errorf("%q is shown, or given twice", s.name)
	}
	if other.isHidden(s.name) || one.isHidden(hiddenPrefix+"0") {
		t.Error("what another mount hides is hidden here")
	}
	one.hiding.left[s.name] = struct{}{}
	if one.isHidden(s.name) {
		t.Error("what cannot be removed is not shown")
	}
}
