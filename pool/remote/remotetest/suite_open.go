package remotetest

import (
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

func openContracts() []contract {
	return []contract{
		{name: "creates the exact mode", test: createMode, mask: true},
		{name: "creating what is there keeps it", test: createKeeps},
		{name: "exclusive is EEXIST over anything", test: createExclusively},
		{name: "truncating empties", test: openTruncates},
		{name: "gives fresh attributes", test: openAttributes},
		{name: "follows links", test: openFollows},
		{name: "a folder is EISDIR", test: openFolder},
		{name: "what is not there is ENOENT", test: openNowhere},
		{name: "what is closed to us is EACCES", test: openRefused},
	}
}

// A file with a mode that forbids writing is still written by who creates it:
// git makes its objects so.
func createMode(t *testing.T, f Fixture) {
	for _, perm := range []uint32{0o666, 0o644, 0o600, 0o777, 0o755, 0o444, 0o000, 0o4711, 0o2755, 0o6755} {
		file, a, err := f.Remote.Open(t.Context(), "file", flagsNew, perm)
		if err != nil {
			t.Fatalf("Open %o: %v", perm, err)
		}
		if got := f.stat(t, "file").Mode; got != syscall.S_IFREG|perm {
			t.Errorf("Open %o made %o", perm, got)
		}
		if a.Mode != syscall.S_IFREG|perm || a.Size != 0 {
			t.Errorf("Open %o told %o and size %d", perm, a.Mode, a.Size)
		}
		mustWrite(t, file, "data", 0)
		if err := file.Close(t.Context()); err != nil {
			t.Errorf("Close %o: %v", perm, err)
		}
		if got := f.stat(t, "file"); got.Size != 4 || got.Mode&0o777 != perm&0o777 {
			t.Errorf("%o after writing: mode %o size %d", perm, got.Mode, got.Size)
		}
		if err := f.Remote.Remove(t.Context(), "file"); err != nil {
			t.Fatal(err)
		}
	}
}

func createKeeps(t *testing.T, f Fixture) {
	f.put(t, "file", "data")
	f.chmod(t, "file", 0o640)
	_, a, err := f.Remote.Open(t.Context(), "file", flagsMake, 0o777)
	if err != nil || a.Size != 4 || a.Mode != syscall.S_IFREG|0o640 {
		t.Errorf("Open: mode %o size %d, %v; want those of before", a.Mode, a.Size, err)
	}
	if st := f.stat(t, "file"); st.Mode&0o7777 != 0o640 || st.Mtim.Sec != longAgo {
		t.Errorf("the file has mode %o and mtime %d now", st.Mode, st.Mtim.Sec)
	}
	f.holds(t, "file", "data")
}

func createExclusively(t *testing.T, f Fixture) {
	f.put(t, "file", "kept")
	f.put(t, "empty", "")
	f.mkdir(t, "dir")
	f.symlink(t, "file", "link")
	f.symlink(t, "nowhere", "dangling")
	for _, path := range []string{"file", "empty", "dir", "link", "dangling"} {
		_, _, err := f.Remote.Open(t.Context(), path, flagsNew|remote.FlagTruncate, 0o644)
		wantErrno(t, path, err, syscall.EEXIST)
	}
	f.holds(t, "file", "kept")
	f.absent(t, "nowhere")
}

func openTruncates(t *testing.T, f Fixture) {
	f.put(t, "file", "data")
	file, a := mustOpen(t, f.Remote, "file", flagsMake|remote.FlagTruncate)
	if a.Size != 0 || f.stat(t, "file").Size != 0 {
		t.Errorf("size %d told and %d on the server, want 0", a.Size, f.stat(t, "file").Size)
	}
	if a.Mode&0o777 != 0o644 {
		t.Errorf("mode %o, want that of before", a.Mode)
	}
	mustEnd(t, file, 0, "")
	mustWrite(t, file, "new", 0)
	mustFlush(t, file)
	f.holds(t, "file", "new")
}

func openAttributes(t *testing.T, f Fixture) {
	f.put(t, "file", "data")
	f.mustAttr(t, "file")
	f.put(t, "file", "changed by another")
	for _, flag := range []remote.OpenFlag{flagsRead, flagsWrite, remote.FlagWrite} {
		file, a := mustOpen(t, f.Remote, "file", flag)
		if want := f.stat(t, "file"); a.Size != want.Size || a.Mode != want.Mode || a.Mtime != want.Mtim.Sec || a.UID != want.Uid {
			t.Errorf("Open: %+v, want what is there now: %+v", a, want)
		}
		if s, err := file.Stat(t.Context()); err != nil || s.Size != a.Size || s.Mode != a.Mode || s.Mtime != a.Mtime {
			t.Errorf("File.Stat: %+v, %v; want %+v", s, err, a)
		}
	}
}

func openFollows(t *testing.T, f Fixture) {
	f.put(t, "file", "data")
	f.symlink(t, "file", "link")
	f.symlink(t, "new", "dangling")
	file, a := mustOpen(t, f.Remote, "link", flagsRead)
	if !a.IsRegular() || a.Size != 4 {
		t.Errorf("Open of a link: mode %o size %d, want the file's", a.Mode, a.Size)
	}
	mustRead(t, file, 0, "data")
	_, _, err := f.Remote.Open(t.Context(), "dangling", flagsRead, 0)
	wantErrno(t, "Open of a dangling link", err, syscall.ENOENT)
	mustOpen(t, f.Remote, "dangling", flagsMake)
	f.holds(t, "new", "")
}

func openFolder(t *testing.T, f Fixture) {
	f.mkdir(t, "dir")
	for _, flag := range []remote.OpenFlag{flagsRead, flagsWrite, remote.FlagWrite, flagsMake, flagsMake | remote.FlagTruncate} {
		_, _, err := f.Remote.Open(t.Context(), "dir", flag, 0o644)
		wantErrno(t, "Open", err, syscall.EISDIR)
	}
}

func openNowhere(t *testing.T, f Fixture) {
	_, _, err := f.Remote.Open(t.Context(), "none", flagsWrite, 0)
	wantErrno(t, "for writing", err, syscall.ENOENT)
	_, _, err = f.Remote.Open(t.Context(), "none/new", flagsMake, 0o644)
	wantErrno(t, "in no folder", err, syscall.ENOENT)
	f.put(t, "file", "")
	_, _, err = f.Remote.Open(t.Context(), "file/new", flagsMake, 0o644)
	wantErrno(t, "in a file", err, f.noEntry(syscall.ENOTDIR)...)
}

func openRefused(t *testing.T, f Fixture) {
	if f.allPowerful() {
		return
	}
	f.put(t, "closed", "data")
	f.chmod(t, "closed", 0)
	f.put(t, "readonly", "data")
	f.chmod(t, "readonly", 0o444)
	_, _, err := f.Remote.Open(t.Context(), "closed", flagsRead, 0)
	wantRefused(t, "for reading", err)
	_, _, err = f.Remote.Open(t.Context(), "readonly", flagsWrite, 0)
	wantRefused(t, "for writing", err)
	_, _, err = f.Remote.Open(t.Context(), "readonly", flagsMake|remote.FlagTruncate, 0o644)
	wantRefused(t, "for truncating", err)
	if got := f.stat(t, "readonly"); got.Size != 4 || got.Mode&0o777 != 0o444 {
		t.Errorf("the read-only file has size %d and mode %o now", got.Size, got.Mode)
	}
}
