package remotetest

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

// The steps of a test that are not what it tests: they end it when they fail.

const (
	flagsRead  = remote.FlagRead
	flagsWrite = remote.FlagRead | remote.FlagWrite
	flagsMake  = flagsWrite | remote.FlagCreate
	flagsNew   = flagsMake | remote.FlagExclusive
)

// mustOpen opens path, creating with mode 0644, and closes it with the test.
func mustOpen(t testing.TB, r remote.Remote, path string, flag remote.OpenFlag) (remote.File, remote.Attr) {
	t.Helper()
	f, attr, err := r.Open(t.Context(), path, flag, 0o644)
	if err != nil {
		t.Fatalf("Open %q: %v", path, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = f.Close(ctx) // the test may have closed it
	})
	return f, attr
}

func mustWrite(t testing.TB, f remote.File, data string, off int64) {
	t.Helper()
	if n, err := f.WriteAt(t.Context(), []byte(data), off); err != nil || n != len(data) {
		t.Fatalf("WriteAt %d: %d of %d bytes, %v", off, n, len(data), err)
	}
}

func mustFlush(t testing.TB, f remote.File) remote.Attr {
	t.Helper()
	attr, err := f.Flush(t.Context())
	if err != nil {
		t.Fatalf("Flush: %v", err)
	}
	return attr
}

// mustRead reads as much as want is long and compares.
func mustRead(t testing.TB, f remote.File, off int64, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := f.ReadAt(t.Context(), got, off); err != nil || string(got) != want {
		t.Fatalf("ReadAt %d: %d bytes %.60q, %v; want %.60q", off, n, got[:n], err, want)
	}
}

// mustEnd reads at off and asks for rest and the end of the file.
func mustEnd(t testing.TB, f remote.File, off int64, rest string) {
	t.Helper()
	got := make([]byte, len(rest)+100)
	n, err := f.ReadAt(t.Context(), got, off)
	if string(got[:n]) != rest || err != io.EOF {
		t.Fatalf("ReadAt %d: %d bytes %.60q, %v; want %.60q and io.EOF", off, n, got[:n], err, rest)
	}
}

// allPowerful: the server's user is root, whom nothing refuses.
func (f Fixture) allPowerful() bool {
	if info := f.Remote.Info(); info.KnownOwner {
		return info.UID == 0
	}
	return os.Geteuid() == 0
}

func (f Fixture) chmod(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(f.disk(path), mode); err != nil {
		t.Fatal(err)
	}
}

// everyPathCall is each call that asks for a path to be there.
func everyPathCall(t testing.TB, f Fixture) map[string]func(path string) error {
	ctx := t.Context()
	return map[string]func(string) error{
		"Lstat":    func(p string) error { _, err := f.Remote.Lstat(ctx, p); return err },
		"Stat":     func(p string) error { _, err := f.Remote.Stat(ctx, p); return err },
		"ReadDir":  func(p string) error { return f.Remote.ReadDir(ctx, p, func([]remote.Entry) error { return nil }) },
		"ReadLink": func(p string) error { _, err := f.Remote.ReadLink(ctx, p); return err },
		"Open":     func(p string) error { _, _, err := f.Remote.Open(ctx, p, flagsRead, 0); return err },
		"Remove":   func(p string) error { return f.Remote.Remove(ctx, p) },
		"Rmdir":    func(p string) error { return f.Remote.Rmdir(ctx, p) },
		"Rename":   func(p string) error { return f.Remote.Rename(ctx, p, "new", false) },
		"SetAttr": func(p string) error {
			_, err := f.Remote.SetAttr(ctx, p, remote.Change{Fields: remote.SetMode, Mode: 0o600})
			return err
		},
	}
}
