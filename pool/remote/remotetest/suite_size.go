package remotetest

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

func sizeContracts() []contract {
	return []contract{
		{name: "shrinks and grows by path", test: truncatePath},
		{name: "shrinks and grows by File", test: truncateFile},
		{name: "by path is a barrier for data of every File", test: truncateBarrier},
		{name: "by File is a barrier for data of another", test: truncateBarrierFile},
		{name: "a truncating open comes after what was written", test: truncateByOpen},
		{name: "of a folder fails", test: truncateFolder},
	}
}

func newSize(size int64) remote.Change { return remote.Change{Fields: remote.SetSize, Size: size} }

func truncatePath(t *testing.T, f Fixture) {
	f.put(t, "file", "0123456789")
	if a, err := f.Remote.SetAttr(t.Context(), "file", newSize(4)); err != nil || a.Size != 4 || a.Mtime == longAgo {
		t.Errorf("SetAttr: size %d mtime %d, %v; want 4 and now", a.Size, a.Mtime, err)
	}
	f.holds(t, "file", "0123")
	if a, err := f.Remote.SetAttr(t.Context(), "file", newSize(6)); err != nil || a.Size != 6 {
		t.Errorf("SetAttr: size %d, %v; want 6", a.Size, err)
	}
	f.holds(t, "file", "0123\x00\x00")
	if a, err := f.Remote.SetAttr(t.Context(), "file", newSize(6<<30)); err != nil || a.Size != 6<<30 {
		t.Errorf("SetAttr: size %d, %v; want 6 GiB", a.Size, err)
	}
}

func truncateFile(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, "0123456789", 0)
	if a, err := file.SetAttr(t.Context(), newSize(4)); err != nil || a.Size != 4 {
		t.Errorf("SetAttr: size %d, %v; want 4", a.Size, err)
	}
	f.holds(t, "file", "0123")
	mustEnd(t, file, 2, "23")
	mustWrite(t, file, "x", 7)
	if a := mustFlush(t, file); a.Size != 8 {
		t.Errorf("Flush: size %d, want 8", a.Size)
	}
	f.holds(t, "file", "0123\x00\x00\x00x")
}

func truncateBarrier(t *testing.T, f Fixture) {
	one, _ := mustOpen(t, f.Remote, "file", flagsNew)
	two, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	mustWrite(t, one, strings.Repeat("1", 300_000), 0)
	mustWrite(t, two, strings.Repeat("2", 300_000), 300_000)
	if a, err := f.Remote.SetAttr(t.Context(), "file", newSize(10)); err != nil || a.Size != 10 {
		t.Errorf("SetAttr: size %d, %v; want 10", a.Size, err)
	}
	mustWrite(t, one, "tail", 8)
	mustFlush(t, one)
	mustFlush(t, two)
	f.holds(t, "file", "11111111tail")
}

func truncateBarrierFile(t *testing.T, f Fixture) {
	one, _ := mustOpen(t, f.Remote, "file", flagsNew)
	two, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	mustWrite(t, one, strings.Repeat("1", 300_000), 0)
	if a, err := two.SetAttr(t.Context(), newSize(3)); err != nil || a.Size != 3 {
		t.Errorf("SetAttr: size %d, %v; want 3", a.Size, err)
	}
	mustFlush(t, one)
	f.holds(t, "file", "111")
}

func truncateByOpen(t *testing.T, f Fixture) {
	one, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, one, strings.Repeat("1", 300_000), 0)
	two, a := mustOpen(t, f.Remote, "file", flagsWrite|remote.FlagTruncate)
	if a.Size != 0 {
		t.Errorf("Open: size %d, want 0", a.Size)
	}
	mustWrite(t, two, "2", 0)
	mustFlush(t, one)
	mustFlush(t, two)
	f.holds(t, "file", "2")
}

func truncateFolder(t *testing.T, f Fixture) {
	f.mkdir(t, "dir")
	_, err := f.Remote.SetAttr(t.Context(), "dir", newSize(0))
	wantErrno(t, "SetAttr", err, syscall.EISDIR, syscall.EINVAL)
	_, err = f.Remote.SetAttr(t.Context(), "none", newSize(0))
	wantErrno(t, "SetAttr of nothing", err, syscall.ENOENT)
}

func aliveContracts() []contract {
	return []contract{
		{name: "renamed goes on under the new name", test: aliveRenamed},
		{name: "in a renamed folder goes on", test: aliveFolderRenamed},
		{name: "removed goes on", test: aliveRemoved},
		{name: "replaced goes on as the old file", test: aliveReplaced},
		{name: "closed to its reader goes on", test: aliveModeless},
	}
}

func aliveRenamed(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "old", flagsNew)
	mustWrite(t, file, "before ", 0)
	if err := f.Remote.Rename(t.Context(), "old", "new", false); err != nil {
		t.Fatalf("Rename: %v", err)
	}
	mustWrite(t, file, "after", 7)
	if a := f.mustAttr(t, "new"); a.Size != 12 {
		t.Errorf("Lstat: size %d, want 12", a.Size)
	}
	if a, err := file.SetAttr(t.Context(), remote.Change{Fields: remote.SetMode, Mode: 0o640}); err != nil || a.Perm() != 0o640 {
		t.Errorf("File.SetAttr: mode %o, %v; want 640", a.Mode, err)
	}
	if a := mustFlush(t, file); a.Size != 12 {
		t.Errorf("Flush: size %d, want 12", a.Size)
	}
	mustRead(t, file, 0, "before after")
	f.holds(t, "new", "before after")
	f.absent(t, "old")
}

func aliveFolderRenamed(t *testing.T, f Fixture) {
	f.mkdir(t, "old")
	file, _ := mustOpen(t, f.Remote, "old/file", flagsNew)
	mustWrite(t, file, "before ", 0)
	if err := f.Remote.Rename(t.Context(), "old", "new", false); err != nil {
		t.Fatalf("Rename: %v", err)
	}
	mustWrite(t, file, "after", 7)
	if a := f.mustAttr(t, "new/file"); a.Size != 12 {
		t.Errorf("Lstat: size %d, want 12", a.Size)
	}
	if err := file.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.holds(t, "new/file", "before after")
}

func aliveRemoved(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, "before ", 0)
	if err := f.Remote.Remove(t.Context(), "file"); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	wantGone(t, f, "file")
	mustWrite(t, file, "after", 7)
	mustRead(t, file, 0, "before after")
	if a, err := file.Stat(t.Context()); err != nil || a.Size != 12 {
		t.Errorf("File.Stat: size %d, %v; want 12", a.Size, err)
	}
	if a, err := file.SetAttr(t.Context(), newSize(3)); err != nil || a.Size != 3 {
		t.Errorf("File.SetAttr: size %d, %v; want 3", a.Size, err)
	}
	if err := file.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.absent(t, "file")
	wantGone(t, f, "file")
}

func aliveReplaced(t *testing.T, f Fixture) {
	if !f.PosixRename {
		return
	}
	f.put(t, "file", "the old one")
	f.put(t, "new", "new")
	old, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	if err := f.Remote.Rename(t.Context(), "new", "file", false); err != nil {
		t.Fatalf("Rename: %v", err)
	}
	mustRead(t, old, 0, "the old one")
	mustWrite(t, old, "THE", 0)
	mustRead(t, old, 0, "THE old one")
	if a := f.mustAttr(t, "file"); a.Size != 3 {
		t.Errorf("Lstat of the new: size %d, want 3", a.Size)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.holds(t, "file", "new")
	file, _ := mustOpen(t, f.Remote, "file", flagsRead)
	mustEnd(t, file, 0, "new")
}

// A right is looked at when a file is opened, and no more.
func aliveModeless(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	if err := os.Chmod(f.disk("file"), 0); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, file, "data", 0)
	mustFlush(t, file)
	mustRead(t, file, 0, "data")
}
