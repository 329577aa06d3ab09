package sync

import (
	"os"
	"path/filepath"
	"testing"
)

const old, young = 1_600_000_000, 1_700_000_000

func TestPushMakesTheRemoteLikeTheLocal(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	put(t, p.local, "a.txt", "local", old)
	put(t, p.local, "dir/b.txt", "b", old)
	put(t, p.local, "dir/deep/er/c.txt", "", old)
	put(t, p.local, "large", string(pattern(1, 9<<20)), old)
	must(t, os.MkdirAll(filepath.Join(p.local, "empty"), 0o750))
	must(t, os.Symlink("dir/b.txt", filepath.Join(p.local, "link")))
	must(t, os.Chmod(filepath.Join(p.local, "dir/b.txt"), 0o600))
	put(t, p.remote, "a.txt", "newer on the remote", young)
	put(t, p.remote, "kept.txt", "only there", old)
	res := p.clean()
	wantFile(t, p.remote, "kept.txt", "only there")
	must(t, os.Remove(filepath.Join(p.remote, "kept.txt")))
	sameTrees(t, p.local, p.remote, true)
	if res.ToRemote != (Tally{Files: 4, Bytes: 9<<20 + 6, Links: 1, Folders: 4}) {
		t.Errorf("result %+v", res.ToRemote)
	}
	if again := p.clean(); again.Changed() || again.Unchanged != 5 {
		t.Errorf("second run %+v", again)
	}
	noTemps(t, p.local, p.remote)
}

func TestPullMakesTheLocalLikeTheRemote(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Links: LinksCopy})
	put(t, p.remote, "a.txt", "remote", old)
	put(t, p.remote, "dir/large", string(pattern(2, 40<<20)), old)
	must(t, os.Symlink("/etc/passwd", filepath.Join(p.remote, "link")))
	put(t, p.local, "a.txt", "newer here", young)
	p.clean()
	sameTrees(t, p.local, p.remote, true)
	if again := p.clean(); again.Changed() {
		t.Errorf("second run %+v", again)
	}
	noTemps(t, p.local, p.remote)
}

func TestTwoWayKeepsTheNewerOfBoth(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	put(t, p.local, "here", "only here", old)
	put(t, p.remote, "sub/there", "only there", old)
	put(t, p.local, "x", "old here", old)
	put(t, p.remote, "x", "newer there", young)
	put(t, p.local, "y", "newer here", young)
	put(t, p.remote, "y", "old there", old)
	put(t, p.local, "same size", "aaa", old)
	put(t, p.remote, "same size", "bbb", young)
	put(t, p.local, "tie", "a", old)
	put(t, p.remote, "tie", "bb", old)
	res := p.run()
	for _, root := range []string{p.local, p.remote} {
		wantFile(t, root, "here", "only here")
		wantFile(t, root, "sub/there", "only there")
		wantFile(t, root, "x", "newer there")
		wantFile(t, root, "y", "newer here")
	}
	wantFile(t, p.local, "same size", "aaa")
	wantFile(t, p.remote, "same size", "bbb")
	wantFile(t, p.local, "tie", "a")
	if res.LeftAlone != 1 || res.ConflictCount != 1 || res.Conflicts[0].Path != "tie" {
		t.Errorf("result %+v", res)
	}
	if again := p.run(); again.Changed() {
		t.Errorf("second run %+v", again)
	}
	noTemps(t, p.local, p.remote)
}

func TestSmallWorkersStayBelowTheServersLimit(t *testing.T) {
	for open, want := range map[int]int{0: 256, 1019: 748, 4096: 768, 251: 172, 10: 1} {
		if got := smallWorkers(open); got != want {
			t.Errorf("%d files may be open: %d workers, want %d", open, got, want)
		}
	}
}
