package remotetest

import (
	"context"
	"testing"

	"github.com/remotemount/remotemount/pool"
)

// The steps of a test that are not what it tests: they end it when they fail.

// mustOpen opens path, creating with mode 0644, and closes it with the test.
func mustOpen(t testing.TB, r pool.Remote, path string, flag pool.OpenFlag) (pool.File, pool.Attr) {
	t.Helper()
	f, attr, err := r.Open(t.Context(), path, flag, 0o644)
	if err != nil {
		t.Fatalf("Open %q: %v", path, err)
	}
	t.Cleanup(func() {
		_ = f.Close(context.Background()) // the test may have closed it
	})
	return f, attr
}

func mustWrite(t testing.TB, f pool.File, data string, off int64) {
	t.Helper()
	if n, err := f.WriteAt(t.Context(), []byte(data), off); err != nil || n != len(data) {
		t.Fatalf("WriteAt %d: %d of %d bytes, %v", off, n, len(data), err)
	}
}

// mustRead reads as much as want is long and compares.
func mustRead(t testing.TB, f pool.File, off int64, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := f.ReadAt(t.Context(), got, off); err != nil || string(got) != want {
		t.Fatalf("ReadAt %d: %d bytes %.60q, %v; want %.60q", off, n, got[:n], err, want)
	}
}
