package remotetest

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func lookContracts() []contract {
	return []contract{
		{name: "Lstat describes files", test: lstatDescribes},
		{name: "the root is dot", test: rootIsDot},
		{name: "names are bytes", test: namesAreBytes},
		{name: "Lstat never follows and Stat does", test: statFollows},
		{name: "what is not there is ENOENT", test: notThere},
		{name: "a path through a file is ENOTDIR", test: throughFile},
		{name: "a loop of links is ELOOP", test: loopOfLinks},
		{name: "a long name is ENAMETOOLONG", test: longName},
		{name: "ReadLink gives the target unchanged", test: readLinkExact},
		{name: "ReadLink of no link is EINVAL", test: readLinkOfNoLink},
		{name: "StatFS is true", test: statFSTrue},
		{name: "the server has a name", test: serverHasName},
	}
}

func lstatDescribes(t *testing.T, f Fixture) {
	f.put(t, "file", "12345")
	f.mkdir(t, "dir")
	if err := unix.Mkfifo(f.disk("fifo"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"file", "dir", "fifo"} {
		got, want := f.mustAttr(t, path), f.stat(t, path)
		if got.Mode != want.Mode || got.UID != want.Uid || got.GID != want.Gid {
			t.Errorf("%s: mode %o owner %d:%d, want %o %d:%d", path, got.Mode, got.UID, got.GID, want.Mode, want.Uid, want.Gid)
		}
		if got.Mtime != want.Mtim.Sec || got.Atime != want.Atim.Sec || got.Size != want.Size {
			t.Errorf("%s: mtime %d atime %d size %d, want %d %d %d", path, got.Mtime, got.Atime, got.Size, want.Mtim.Sec, want.Atim.Sec, want.Size)
		}
		if got.Nlink != 0 && uint64(got.Nlink) != uint64(want.Nlink) {
			t.Errorf("%s: %d links, want %d or 0", path, got.Nlink, want.Nlink)
		}
	}
}

func rootIsDot(t *testing.T, f Fixture) {
	if a := f.mustAttr(t, "."); !a.IsDir() {
		t.Errorf("the root has mode %o, want a folder", a.Mode)
	}
	if a, err := f.Remote.Stat(t.Context(), "."); err != nil || !a.IsDir() {
		t.Errorf("Stat: mode %o, %v, want a folder", a.Mode, err)
	}
	f.put(t, "a", "")
	if got := names(t, f, "."); len(got) != 1 || got[0] != "a" {
		t.Errorf("the root lists %q, want a", got)
	}
}

// oddNames are names that a file may have and that somebody has choked on.
func oddNames() []string {
	return []string{
		"with space", " leading", "trailing ", "new\nline", "tab\t", "-rf", "...", "..a", ".hidden",
		"*", "?[x]", `back\slash`, "quote'\"", "$HOME", "~", "%s%n", "é", "e\u0301", "日本語",
		"\xff\xfe not UTF-8", "\x01\x7f", "a:b", strings.Repeat("x", 255), strings.Repeat("\xc3\xa9", 127),
	}
}

func namesAreBytes(t *testing.T, f Fixture) {
	ctx := t.Context()
	for _, name := range oddNames() {
		file, _ := mustOpen(t, f.Remote, name, flagsNew)
		mustWrite(t, file, name, 0)
		if err := file.Close(ctx); err != nil {
			t.Fatalf("Close %q: %v", name, err)
		}
		f.holds(t, name, name)
		if got := names(t, f, "."); len(got) != 1 || got[0] != name {
			t.Errorf("listing gives %q, want %q", got, name)
		}
		if a := f.mustAttr(t, name); a.Size != int64(len(name)) {
			t.Errorf("Lstat %q: size %d, want %d", name, a.Size, len(name))
		}
		if err := f.Remote.Rename(ctx, name, "plain", true); err != nil {
			t.Errorf("Rename %q away: %v", name, err)
		}
		if err := f.Remote.Rename(ctx, "plain", name, false); err != nil {
			t.Errorf("Rename back to %q: %v", name, err)
		}
		if err := f.Remote.Remove(ctx, name); err != nil {
			t.Errorf("Remove %q: %v", name, err)
		}
		f.absent(t, name)
		if _, err := f.Remote.Mkdir(ctx, name, 0o755); err != nil {
			t.Errorf("Mkdir %q: %v", name, err)
		}
		if err := f.Remote.Rmdir(ctx, name); err != nil {
			t.Errorf("Rmdir %q: %v", name, err)
		}
	}
}

func statFollows(t *testing.T, f Fixture) {
	f.put(t, "file", "12345")
	f.mkdir(t, "dir")
	f.symlink(t, "file", "toFile")
	f.symlink(t, "dir", "toDir")
	for _, path := range []string{"toFile", "toDir"} {
		if a := f.mustAttr(t, path); !a.IsSymlink() {
			t.Errorf("Lstat %s: mode %o, want a link", path, a.Mode)
		}
	}
	if a, err := f.Remote.Stat(t.Context(), "toFile"); err != nil || !a.IsRegular() || a.Size != 5 {
		t.Errorf("Stat toFile: mode %o size %d, %v", a.Mode, a.Size, err)
	}
	if a, err := f.Remote.Stat(t.Context(), "toDir"); err != nil || !a.IsDir() {
		t.Errorf("Stat toDir: mode %o, %v", a.Mode, err)
	}
	f.put(t, "dir/inside", "123")
	if a := f.mustAttr(t, "toDir/inside"); a.Size != 3 {
		t.Errorf("through a link to a folder: size %d, want 3", a.Size)
	}
	f.symlink(t, "nowhere", "dangling")
	if _, err := f.Remote.Lstat(t.Context(), "dangling"); err != nil {
		t.Errorf("Lstat of a dangling link: %v", err)
	}
	_, err := f.Remote.Stat(t.Context(), "dangling")
	wantErrno(t, "Stat of a dangling link", err, syscall.ENOENT)
}

func notThere(t *testing.T, f Fixture) {
	for name, call := range everyPathCall(t, f) {
		wantErrno(t, name, call("none"), syscall.ENOENT)
		wantErrno(t, name+" in no folder", call("none/x"), syscall.ENOENT)
	}
}

func throughFile(t *testing.T, f Fixture) {
	f.put(t, "file", "")
	for name, call := range everyPathCall(t, f) {
		wantErrno(t, name, call("file/x"), f.noEntry(syscall.ENOTDIR)...)
	}
}

func loopOfLinks(t *testing.T, f Fixture) {
	f.symlink(t, "b", "a")
	f.symlink(t, "a", "b")
	_, err := f.Remote.Stat(t.Context(), "a")
	wantErrno(t, "Stat", err, f.noEntry(syscall.ELOOP)...)
	_, _, err = f.Remote.Open(t.Context(), "a", flagsRead, 0)
	wantErrno(t, "Open", err, f.noEntry(syscall.ELOOP)...)
	_, err = f.Remote.Lstat(t.Context(), "a/x")
	wantErrno(t, "Lstat through the loop", err, f.noEntry(syscall.ELOOP)...)
}

func longName(t *testing.T, f Fixture) {
	ctx := t.Context()
	name := strings.Repeat("x", 256)
	for what, call := range everyPathCall(t, f) {
		wantErrno(t, what, call(name), syscall.ENAMETOOLONG)
	}
	_, err := f.Remote.Mkdir(ctx, name, 0o755)
	wantErrno(t, "Mkdir", err, syscall.ENAMETOOLONG)
	_, err = f.Remote.Symlink(ctx, "x", name)
	wantErrno(t, "Symlink", err, syscall.ENAMETOOLONG)
	_, _, err = f.Remote.Open(ctx, name, flagsNew, 0o644)
	wantErrno(t, "Open that creates", err, syscall.ENAMETOOLONG)
	f.put(t, "file", "")
	wantErrno(t, "Rename", f.Remote.Rename(ctx, "file", name, false), syscall.ENAMETOOLONG)
	f.holds(t, "file", "")
}

// linkTargets are targets that a server or client may be tempted to change.
func linkTargets() map[string]string {
	return map[string]string{
		"plain":     "file",
		"dangling":  "no/such/file",
		"absolute":  "/etc/hostname",
		"upwards":   "../../../x",
		"unclean":   "./a//b/../c/",
		"odd bytes": "\xff \n'\\",
		"long":      strings.Repeat("0123456789abcde/", 62) + "01234567",
	}
}

func readLinkExact(t *testing.T, f Fixture) {
	for name, target := range linkTargets() {
		a, err := f.Remote.Symlink(t.Context(), target, name)
		if err != nil || !a.IsSymlink() || a.Size != int64(len(target)) {
			t.Errorf("Symlink %s: mode %o size %d, %v; want a link of %d", name, a.Mode, a.Size, err, len(target))
		}
		if got, err := os.Readlink(f.disk(name)); err != nil || got != target {
			t.Errorf("%s on the server leads to %.60q, %v; want %.60q", name, got, err, target)
		}
		if got, err := f.Remote.ReadLink(t.Context(), name); err != nil || got != target {
			t.Errorf("ReadLink %s: %.60q, %v; want %.60q", name, got, err, target)
		}
	}
}

func readLinkOfNoLink(t *testing.T, f Fixture) {
	f.put(t, "file", "")
	f.mkdir(t, "dir")
	for _, path := range []string{"file", "dir"} {
		_, err := f.Remote.ReadLink(t.Context(), path)
		wantErrno(t, path, err, syscall.EINVAL)
	}
}

func statFSTrue(t *testing.T, f Fixture) {
	f.put(t, "file", "")
	for _, path := range []string{".", "file"} {
		got, err := f.Remote.StatFS(t.Context(), path)
		if !f.StatFS {
			wantErrno(t, path, err, syscall.EOPNOTSUPP)
			continue
		}
		var want unix.Statfs_t
		if err := unix.Statfs(f.Path, &want); err != nil {
			t.Fatal(err)
		}
		if err != nil || got.Blocks != want.Blocks || int64(got.Frsize) != int64(want.Frsize) || got.Files != want.Files {
			t.Errorf("%s: %+v, %v; want %d blocks of %d and %d files", path, got, err, want.Blocks, want.Frsize, want.Files)
		}
		if got.NameMax != uint64(want.Namelen) || got.Bavail > got.Bfree || got.Bfree > got.Blocks {
			t.Errorf("%s: %+v cannot be", path, got)
		}
	}
	if f.StatFS {
		_, err := f.Remote.StatFS(t.Context(), "none")
		wantErrno(t, "none", err, syscall.ENOENT)
	}
}

func serverHasName(t *testing.T, f Fixture) {
	if f.Remote.Info().Server == "" {
		t.Error("Info().Server is empty")
	}
}
