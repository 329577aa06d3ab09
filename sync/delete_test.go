package sync

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestDeleteRemovesWhatWasCopiedAndVerified(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true, Prune: true})
	put(t, p.local, "new", "new", old)
	put(t, p.local, "dir/earlier", "copied by an earlier run", old)
	put(t, p.local, "dir/sub/new", "new", old)
	put(t, p.local, "dir2/conflict/x", "a file there", old)
	must(t, os.Symlink("new", filepath.Join(p.local, "link")))
	must(t, os.Mkdir(filepath.Join(p.local, "was empty"), 0o755))
	put(t, p.remote, "dir/earlier", "copied by an earlier run", old)
	put(t, p.remote, "dir2/conflict", "in the way", old)
	res := p.run()
	for _, gone := range []string{"new", "dir", "link"} {
		wantAbsent(t, p.local, gone)
	}
	wantFile(t, p.local, "dir2/conflict/x", "a file there")
	wantFile(t, p.remote, "dir/sub/new", "new")
	if _, err := os.Stat(filepath.Join(p.local, "was empty")); err != nil {
		t.Error("a folder that was empty before is not pruned:", err)
	}
	if res.Deleted != 4 || res.Pruned != 2 || res.ConflictCount != 1 {
		t.Errorf("deleted %d, pruned %d, conflicts %d", res.Deleted, res.Pruned, res.ConflictCount)
	}
}

func TestDeleteOfARemoteSource(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true})
	put(t, p.remote, "dir/a", "a", old)
	put(t, p.remote, "fresh", "may change again in this second", time.Now().Unix())
	res := p.run()
	wantAbsent(t, p.remote, "dir/a")
	wantFile(t, p.local, "dir/a", "a")
	wantFile(t, p.local, "fresh", "may change again in this second")
	wantAbsent(t, p.remote, "fresh") // it was read when the second was over
	if res.Deleted != 2 || res.Partial() {
		t.Errorf("deleted %d, settling %d", res.Deleted, res.Settling)
	}
	if _, err := os.Stat(filepath.Join(p.remote, "dir")); err != nil {
		t.Error("folders stay without pruning:", err)
	}
}

// The copy is complete when the source changes: the source must stay.
func TestDeleteKeepsASourceThatChanged(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	put(t, p.local, "a", "first", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "rename" {
			put(t, p.local, "a", "other", old)
		}
		return nil
	}
	res := p.run()
	wantFile(t, p.local, "a", "other")
	if res.Deleted != 0 || res.FailureCount != 1 || res.ToRemote.Files != 1 {
		t.Errorf("%+v", res)
	}
}

func TestDeleteNeedsTheCopyOnTheDisk(t *testing.T) {
	for _, earlier := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Push, Delete: true})
		put(t, p.local, "a", "text", old)
		if earlier {
			put(t, p.remote, "a", "text", old)
		}
		p.dir.Before = func(_ context.Context, op, _ string) error {
			if op == "sync" {
				return syscall.EIO
			}
			return nil
		}
		if res := p.run(); res.FailureCount != 1 || res.Deleted != 0 {
			t.Errorf("earlier %v: %+v", earlier, res)
		}
		wantFile(t, p.local, "a", "text")
		noTemps(t, p.remote)
	}
}

func TestDeleteBySizeReadsFirst(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true, Compare: CompareSize})
	put(t, p.local, "same", "abc", old)
	put(t, p.remote, "same", "abc", young)
	put(t, p.local, "other", "abc", old)
	put(t, p.remote, "other", "xyz", young)
	res := p.run()
	wantAbsent(t, p.local, "same")
	wantFile(t, p.local, "other", "abc")
	wantFile(t, p.remote, "other", "xyz")
	if res.Deleted != 1 || res.Unverified != 1 {
		t.Errorf("%+v", res)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true, DryRun: true})
	put(t, p.local, "b/new", "new", old)
	put(t, p.local, "a", "other size", old)
	put(t, p.remote, "a", "x", old)
	before := treeText(t, p.local, true) + treeText(t, p.remote, true)
	res := p.run()
	if after := treeText(t, p.local, true) + treeText(t, p.remote, true); after != before {
		t.Errorf("something changed:\n%s\nwas\n%s", after, before)
	}
	if res.ToRemote != (Tally{Files: 2, Bytes: 13, Folders: 1}) || res.Deleted != 2 {
		t.Errorf("%+v", res)
	}
	var paths []string
	for _, e := range p.events {
		if e.Kind == EventPlan {
			paths = append(paths, e.Text())
		}
	}
	want := []string{
		"would copy to remote: a (10 B, size differs); then delete on local",
		"would make the folder on remote: b/",
		"would copy to remote: b/new (3 B, new); then delete on local",
	}
	if len(paths) != 3 || paths[0] != want[0] || paths[1] != want[1] || paths[2] != want[2] {
		t.Errorf("plan %q", paths)
	}
}

// A source on a filesystem that has no room for one more name can be emptied.
func TestDeleteFromAFullFilesystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	p := newPairing(t, Options{Mode: Push, Delete: true})
	must(t, syscall.Mount("tmpfs", p.local, "tmpfs", 0, "nr_inodes=2"))
	t.Cleanup(func() { must(t, syscall.Unmount(p.local, 0)) })
	put(t, p.local, "f", "text", old)
	if err := os.WriteFile(filepath.Join(p.local, "g"), nil, 0o644); err == nil {
		t.Fatal("it is not full")
	}
	p.clean()
	wantAbsent(t, p.local, "f")
	wantFile(t, p.remote, "f", "text")
	noTemps(t, p.remote)
}
