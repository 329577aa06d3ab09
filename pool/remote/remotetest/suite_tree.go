package remotetest

import (
	"os"
	"syscall"
	"testing"
)

func treeContracts() []contract {
	return []contract{
		{name: "Mkdir makes the exact mode", test: mkdirMode, mask: true},
		{name: "Mkdir where something is is EEXIST", test: mkdirExists},
		{name: "Mkdir in no folder is ENOENT", test: mkdirNowhere},
		{name: "Symlink where something is is EEXIST", test: symlinkExists},
		{name: "Link gives a file another name", test: linkNames},
		{name: "Link fails honestly", test: linkFails},
		{name: "Remove removes files and links", test: removeFiles},
		{name: "Remove of a folder is EISDIR", test: removeFolder},
		{name: "Rmdir removes an empty folder", test: rmdirEmpty},
		{name: "Rmdir of a full folder is ENOTEMPTY", test: rmdirFull},
		{name: "Rmdir of a file is ENOTDIR", test: rmdirFile},
		{name: "a folder that is read-only is EACCES", test: treeRefused},
	}
}

func mkdirMode(t *testing.T, f Fixture) {
	for _, perm := range []uint32{0o777, 0o755, 0o700, 0o750, 0o500, 0o1777, 0o2775} {
		a, err := f.Remote.Mkdir(t.Context(), "dir", perm)
		if err != nil {
			t.Fatalf("Mkdir %o: %v", perm, err)
		}
		if got := f.stat(t, "dir").Mode; got != syscall.S_IFDIR|perm {
			t.Errorf("Mkdir %o made %o", perm, got)
		}
		if a.Mode != syscall.S_IFDIR|perm {
			t.Errorf("Mkdir %o told %o", perm, a.Mode)
		}
		if err := f.Remote.Rmdir(t.Context(), "dir"); err != nil {
			t.Fatal(err)
		}
	}
}

func mkdirExists(t *testing.T, f Fixture) {
	f.put(t, "file", "kept")
	f.mkdir(t, "dir")
	f.symlink(t, "nowhere", "dangling")
	for _, path := range []string{"file", "dir", "dangling"} {
		_, err := f.Remote.Mkdir(t.Context(), path, 0o700)
		wantErrno(t, "Mkdir over "+path, err, syscall.EEXIST)
	}
	if got := f.stat(t, "dir").Mode & 0o777; got != 0o755 {
		t.Errorf("the folder that was there has mode %o now", got)
	}
}

func mkdirNowhere(t *testing.T, f Fixture) {
	_, err := f.Remote.Mkdir(t.Context(), "none/dir", 0o755)
	wantErrno(t, "Mkdir", err, syscall.ENOENT)
	f.put(t, "file", "")
	_, err = f.Remote.Mkdir(t.Context(), "file/dir", 0o755)
	wantErrno(t, "Mkdir in a file", err, f.noEntry(syscall.ENOTDIR)...)
}

func symlinkExists(t *testing.T, f Fixture) {
	f.put(t, "file", "kept")
	f.symlink(t, "old", "link")
	for _, path := range []string{"file", "link", "."} {
		_, err := f.Remote.Symlink(t.Context(), "new", path)
		wantErrno(t, "Symlink over "+path, err, syscall.EEXIST)
	}
	_, err := f.Remote.Symlink(t.Context(), "new", "none/link")
	wantErrno(t, "Symlink in no folder", err, syscall.ENOENT)
	if got, err := os.Readlink(f.disk("link")); got != "old" {
		t.Errorf("the link that was there leads to %q now, %v", got, err)
	}
}

func linkNames(t *testing.T, f Fixture) {
	f.put(t, "file", "data")
	a, err := f.Remote.Link(t.Context(), "file", "other")
	if !f.Hardlinks {
		wantErrno(t, "Link", err, syscall.EOPNOTSUPP)
		f.absent(t, "other")
		return
	}
	if err != nil || !a.IsRegular() || a.Size != 4 {
		t.Errorf("Link: mode %o size %d, %v", a.Mode, a.Size, err)
	}
	if f.stat(t, "file").Ino != f.stat(t, "other").Ino {
		t.Error("the two names are two files")
	}
}

func linkFails(t *testing.T, f Fixture) {
	if !f.Hardlinks {
		return
	}
	f.put(t, "file", "")
	f.put(t, "there", "kept")
	f.mkdir(t, "dir")
	_, err := f.Remote.Link(t.Context(), "none", "new")
	wantErrno(t, "Link of nothing", err, syscall.ENOENT)
	_, err = f.Remote.Link(t.Context(), "file", "none/new")
	wantErrno(t, "Link into no folder", err, syscall.ENOENT)
	_, err = f.Remote.Link(t.Context(), "file", "there")
	wantErrno(t, "Link over a file", err, syscall.EEXIST)
	_, err = f.Remote.Link(t.Context(), "dir", "new")
	wantRefused(t, "Link of a folder", err)
	f.holds(t, "there", "kept")
}

func removeFiles(t *testing.T, f Fixture) {
	f.put(t, "file", "kept")
	f.mkdir(t, "dir")
	f.symlink(t, "file", "toFile")
	f.symlink(t, "dir", "toDir")
	for _, path := range []string{"toFile", "toDir"} {
		if err := f.Remote.Remove(t.Context(), path); err != nil {
			t.Errorf("Remove %s: %v", path, err)
		}
		f.absent(t, path)
	}
	f.holds(t, "file", "kept")
	f.stat(t, "dir")
	if err := f.Remote.Remove(t.Context(), "file"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	f.absent(t, "file")
	wantErrno(t, "Remove again", f.Remote.Remove(t.Context(), "file"), syscall.ENOENT)
}

func removeFolder(t *testing.T, f Fixture) {
	f.mkdir(t, "dir")
	wantErrno(t, "Remove", f.Remote.Remove(t.Context(), "dir"), syscall.EISDIR)
	f.stat(t, "dir")
}

func rmdirEmpty(t *testing.T, f Fixture) {
	f.mkdir(t, "dir")
	if err := f.Remote.Rmdir(t.Context(), "dir"); err != nil {
		t.Errorf("Rmdir: %v", err)
	}
	f.absent(t, "dir")
	wantErrno(t, "Rmdir again", f.Remote.Rmdir(t.Context(), "dir"), syscall.ENOENT)
}

func rmdirFull(t *testing.T, f Fixture) {
	f.mkdir(t, "dir")
	f.put(t, "dir/file", "kept")
	wantErrno(t, "Rmdir", f.Remote.Rmdir(t.Context(), "dir"), syscall.ENOTEMPTY)
	f.holds(t, "dir/file", "kept")
}

func rmdirFile(t *testing.T, f Fixture) {
	f.put(t, "file", "kept")
	f.mkdir(t, "dir")
	f.symlink(t, "dir", "link")
	for _, path := range []string{"file", "link"} {
		wantErrno(t, "Rmdir "+path, f.Remote.Rmdir(t.Context(), path), syscall.ENOTDIR)
	}
	f.holds(t, "file", "kept")
	f.stat(t, "link")
}

func treeRefused(t *testing.T, f Fixture) {
	if f.allPowerful() {
		return
	}
	ctx := t.Context()
	f.mkdir(t, "dir")
	f.put(t, "dir/file", "kept")
	f.mkdir(t, "dir/sub")
	f.put(t, "outside", "")
	f.chmod(t, "dir", 0o555)
	t.Cleanup(func() { f.chmod(t, "dir", 0o755) })
	_, err := f.Remote.Mkdir(ctx, "dir/new", 0o755)
	wantRefused(t, "Mkdir", err)
	_, err = f.Remote.Symlink(ctx, "x", "dir/new")
	wantRefused(t, "Symlink", err)
	_, _, err = f.Remote.Open(ctx, "dir/new", flagsNew, 0o644)
	wantRefused(t, "Open that creates", err)
	wantRefused(t, "Remove", f.Remote.Remove(ctx, "dir/file"))
	wantRefused(t, "Rmdir", f.Remote.Rmdir(ctx, "dir/sub"))
	wantRefused(t, "Rename away", f.Remote.Rename(ctx, "dir/file", "file", false))
	if f.PosixRename {
		wantRefused(t, "Rename into", f.Remote.Rename(ctx, "outside", "dir/new", false))
	}
	f.holds(t, "dir/file", "kept")
}
