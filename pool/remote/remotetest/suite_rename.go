package remotetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func renameContracts() []contract {
	return []contract{
		{name: "moves files, links and folders", test: renameMoves(false)},
		{name: "moves them with NoReplace", test: renameMoves(true)},
		{name: "replaces in one step", test: renameReplaces},
		{name: "NoReplace is EEXIST over anything", test: renameNoReplace},
		{name: "a name onto itself changes nothing", test: renameSelf},
		{name: "two names of one file stay", test: renameSameFile},
		{name: "fails as rename(2) does", test: renameFails},
		{name: "to another filesystem is EXDEV", test: renameAcross},
		{name: "a changed case is another name", test: renameCase},
		{name: "what is replaced can keep a name", test: replaceKeeps},
		{name: "and where nothing is, keeps none", test: replaceNothing},
		{name: "and keeps none of what was not replaced that is not told", test: replaceFails},
	}
}

func renameMoves(noReplace bool) func(*testing.T, Fixture) {
	return func(t *testing.T, f Fixture) {
		f.put(t, "file", "data")
		f.mkdir(t, "dir")
		f.put(t, "dir/inside", "more")
		f.symlink(t, "nowhere", "link")
		f.mkdir(t, "to")
		for _, path := range []string{"file", "dir", "link"} {
			if err := f.Remote.Rename(t.Context(), path, "to/new "+path, noReplace); err != nil {
				t.Errorf("Rename %s: %v", path, err)
			}
			f.absent(t, path)
			wantGone(t, f, path)
		}
		f.holds(t, "to/new file", "data")
		f.holds(t, "to/new dir/inside", "more")
		if a := f.mustAttr(t, "to/new link"); !a.IsSymlink() {
			t.Errorf("the link has mode %o now", a.Mode)
		}
		if a := f.mustAttr(t, "to/new dir/inside"); a.Size != 4 {
			t.Errorf("inside the moved folder: size %d, want 4", a.Size)
		}
	}
}

// wantGone asks the Remote itself, which may remember too well.
func wantGone(t testing.TB, f Fixture, path string) {
	t.Helper()
	if a, err := f.Remote.Lstat(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat %q: mode %o, %v; want ENOENT", path, a.Mode, err)
	}
}

func renameReplaces(t *testing.T, f Fixture) {
	f.put(t, "new", "new")
	f.put(t, "old", "old data")
	f.mkdir(t, "newDir")
	f.mkdir(t, "oldDir")
	f.put(t, "newDir/inside", "")
	file := f.Remote.Rename(t.Context(), "new", "old", false)
	dir := f.Remote.Rename(t.Context(), "newDir", "oldDir", false)
	if !f.PosixRename {
		wantErrno(t, "Rename of a file", file, syscall.EOPNOTSUPP)
		wantErrno(t, "Rename of a folder", dir, syscall.EOPNOTSUPP)
		f.holds(t, "old", "old data")
		f.holds(t, "new", "new")
		return
	}
	if file != nil || dir != nil {
		t.Fatalf("Rename: %v of a file, %v of a folder", file, dir)
	}
	f.holds(t, "old", "new")
	f.absent(t, "new")
	f.holds(t, "oldDir/inside", "")
	f.absent(t, "newDir")
	if a := f.mustAttr(t, "old"); a.Size != 3 {
		t.Errorf("Lstat of the replaced: size %d, want 3", a.Size)
	}
}

func renameNoReplace(t *testing.T, f Fixture) {
	f.put(t, "new", "new")
	f.put(t, "file", "old")
	f.mkdir(t, "dir")
	f.symlink(t, "nowhere", "dangling")
	for _, path := range []string{"file", "dir", "dangling"} {
		err := f.Remote.Rename(t.Context(), "new", path, true)
		wantErrno(t, "Rename over "+path, err, syscall.EEXIST)
	}
	f.holds(t, "new", "new")
	f.holds(t, "file", "old")
}

func renameSelf(t *testing.T, f Fixture) {
	f.put(t, "file", "data")
	if err := f.Remote.Rename(t.Context(), "file", "file", false); err != nil {
		t.Errorf("Rename: %v", err)
	}
	f.holds(t, "file", "data")
}

// rename(2) does nothing for two names of one file, and says it worked.
func renameSameFile(t *testing.T, f Fixture) {
	if !f.PosixRename {
		return
	}
	f.put(t, "a", "data")
	if err := os.Link(f.disk("a"), f.disk("b")); err != nil {
		t.Fatal(err)
	}
	if err := f.Remote.Rename(t.Context(), "a", "b", false); err != nil {
		t.Errorf("Rename: %v", err)
	}
	f.holds(t, "b", "data")
}

func renameFails(t *testing.T, f Fixture) {
	if !f.PosixRename {
		return
	}
	f.put(t, "file", "kept")
	f.mkdir(t, "dir")
	f.mkdir(t, "full")
	f.put(t, "full/x", "kept")
	for _, c := range []struct {
		from, to string
		want     []syscall.Errno
	}{
		{"none", "new", []syscall.Errno{syscall.ENOENT}},
		{"none", "file", []syscall.Errno{syscall.ENOENT}},
		{"file", "none/new", []syscall.Errno{syscall.ENOENT}},
		{"file", "dir", []syscall.Errno{syscall.EISDIR}},
		{"file", "full", []syscall.Errno{syscall.EISDIR}},
		{"dir", "file", []syscall.Errno{syscall.ENOTDIR}},
		{"dir", "full", []syscall.Errno{syscall.ENOTEMPTY, syscall.EEXIST}},
		{"dir", "dir/inside", []syscall.Errno{syscall.EINVAL}},
	} {
		wantErrno(t, c.from+" to "+c.to, f.Remote.Rename(t.Context(), c.from, c.to, false), c.want...)
	}
	f.holds(t, "file", "kept")
	f.holds(t, "full/x", "kept")
}

// renameAcross needs a second filesystem that a link can lead to.
func renameAcross(t *testing.T, f Fixture) {
	const shm = "/dev/shm"
	var here, there syscall.Stat_t
	if syscall.Stat(shm, &there) != nil || syscall.Stat(f.Path, &here) != nil || here.Dev == there.Dev || !f.FollowsOut || !f.StatFS {
		return
	}
	other, err := os.MkdirTemp(shm, "remotetest")
	if err != nil {
		return
	}
	t.Cleanup(func() { _ = os.RemoveAll(other) })
	f.symlink(t, other, "other")
	f.put(t, "file", "kept")
	wantErrno(t, "Rename", f.Remote.Rename(t.Context(), "file", "other/file", false), syscall.EXDEV)
	f.holds(t, "file", "kept")
	if list, err := filepath.Glob(filepath.Join(other, "*")); len(list) != 0 {
		t.Errorf("left on the other filesystem: %q, %v", list, err)
	}
	if f.Hardlinks {
		_, err := f.Remote.Link(t.Context(), "file", "other/file")
		wantErrno(t, "Link", err, syscall.EXDEV)
	}
}

func renameCase(t *testing.T, f Fixture) {
	f.put(t, "name", "data")
	if err := f.Remote.Rename(t.Context(), "name", "Name", true); err != nil {
		t.Errorf("Rename: %v", err)
	}
	if got := names(t, f, "."); len(got) != 1 || got[0] != "Name" {
		t.Errorf("the folder lists %q", got)
	}
}

func replaceKeeps(t *testing.T, f Fixture) {
	f.put(t, "new", "new")
	f.put(t, "file", "old data")
	file, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	mustWrite(t, file, "OLD", 0)
	kept, err := f.Remote.Replace(t.Context(), "new", "file", ".kept")
	if !f.PosixRename {
		wantErrno(t, "Replace", err, syscall.EOPNOTSUPP)
		wantKept(t, f, kept, false)
		return
	}
	if err != nil {
		t.Fatalf("Replace: %v", err)
	}
	wantKept(t, f, kept, f.Hardlinks)
	f.holds(t, "file", "new")
	wantGone(t, f, "new")
	if a := f.mustAttr(t, "file"); a.Size != 3 {
		t.Errorf("Lstat of the new: size %d, want 3", a.Size)
	}
	if !kept {
		return
	}
	mustWrite(t, file, ", and more", 8)
	mustRead(t, file, 0, "OLD data, and more")
	mustFlush(t, file)
	f.holds(t, ".kept", "OLD data, and more")
	other, a := mustOpen(t, f.Remote, ".kept", flagsRead)
	if a.Size != 18 {
		t.Errorf("Open of the kept: size %d, want 18", a.Size)
	}
	mustEnd(t, other, 0, "OLD data, and more")
	if err := f.Remote.Remove(t.Context(), ".kept"); err != nil {
		t.Errorf("Remove of the kept: %v", err)
	}
	f.holds(t, "file", "new")
}

// wantKept compares what was told with what is there.
func wantKept(t testing.TB, f Fixture, kept, want bool) {
	t.Helper()
	if kept != want {
		t.Errorf("Replace kept %v, want %v", kept, want)
	}
	if !kept {
		f.absent(t, ".kept")
		wantGone(t, f, ".kept")
	}
}

func replaceNothing(t *testing.T, f Fixture) {
	f.put(t, "new", "new")
	kept, err := f.Remote.Replace(t.Context(), "new", "file", ".kept")
	if err != nil {
		t.Fatalf("Replace of nothing: %v", err)
	}
	wantKept(t, f, kept, false)
	kept, _ = f.Remote.Replace(t.Context(), "file", "file", ".kept") // whether it works is a Rename's
	wantKept(t, f, kept, false)
	f.holds(t, "file", "new")
}

func replaceFails(t *testing.T, f Fixture) {
	f.put(t, "file", "old")
	file, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	kept, err := f.Remote.Replace(t.Context(), "none", "file", ".kept")
	wantErrno(t, "Replace", err, syscall.ENOENT)
	if !kept {
		f.absent(t, ".kept")
	} else if err := f.Remote.Remove(t.Context(), ".kept"); err != nil {
		t.Errorf("Remove of the kept: %v", err)
	}
	mustWrite(t, file, "new", 0)
	mustFlush(t, file)
	f.holds(t, "file", "new")
}
