package remotetest

import (
	"bytes"
	"os"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

func copyContracts() []contract {
	return []contract{
		{name: "copies a range", test: copyRange},
		{name: "is short at the end of the source", test: copyShort},
		{name: "a large file", test: copyLarge},
		{name: "data under way counts", test: copyUnderWay},
	}
}

// copyFiles are a source with data and a target; nil where there is no Copy,
// which is then asked to say so.
func copyFiles(t *testing.T, f Fixture, data string) (dst, src remote.File) {
	t.Helper()
	f.put(t, "src", data)
	f.put(t, "dst", "..........")
	src, _ = mustOpen(t, f.Remote, "src", flagsWrite)
	dst, _ = mustOpen(t, f.Remote, "dst", flagsWrite)
	if !f.Copy {
		_, err := f.Remote.Copy(t.Context(), dst, 0, src, 0, 10)
		wantErrno(t, "Copy", err, syscall.EOPNOTSUPP)
		return nil, nil
	}
	return dst, src
}

func copyRange(t *testing.T, f Fixture) {
	dst, src := copyFiles(t, f, "0123456789")
	if dst == nil {
		return
	}
	if n, err := f.Remote.Copy(t.Context(), dst, 2, src, 5, 3); n != 3 || err != nil {
		t.Errorf("Copy: %d, %v; want 3", n, err)
	}
	f.holds(t, "dst", "..567.....")
	if n, err := f.Remote.Copy(t.Context(), dst, 0, src, 0, 0); n != 0 || err != nil {
		t.Errorf("Copy of nothing: %d, %v", n, err)
	}
	f.holds(t, "dst", "..567.....")
}

func copyShort(t *testing.T, f Fixture) {
	dst, src := copyFiles(t, f, "0123456789")
	if dst == nil {
		return
	}
	if n, err := f.Remote.Copy(t.Context(), dst, 8, src, 7, 1000); n != 3 || err != nil {
		t.Errorf("Copy: %d, %v; want the 3 there are", n, err)
	}
	f.holds(t, "dst", "........789")
	if n, err := f.Remote.Copy(t.Context(), dst, 0, src, 10, 5); n != 0 || err != nil {
		t.Errorf("Copy at the end: %d, %v; want 0", n, err)
	}
	if n, err := f.Remote.Copy(t.Context(), dst, 0, src, 1<<40, 5); n != 0 || err != nil {
		t.Errorf("Copy past the end: %d, %v; want 0", n, err)
	}
	f.holds(t, "dst", "........789")
	if a, err := dst.Stat(t.Context()); err != nil || a.Size != 11 {
		t.Errorf("Stat afterwards: size %d, %v; want 11", a.Size, err)
	}
}

func copyLarge(t *testing.T, f Fixture) {
	want := pattern(5<<20 + 77)
	dst, src := copyFiles(t, f, string(want))
	if dst == nil {
		return
	}
	n, err := f.Remote.Copy(t.Context(), dst, 0, src, 0, int64(len(want)))
	if got, e := os.ReadFile(f.disk("dst")); n != int64(len(want)) || err != nil || e != nil || !bytes.Equal(got, want) {
		t.Errorf("Copy: %d, %v, identical: %v", n, err, bytes.Equal(got, want))
	}
}

func copyUnderWay(t *testing.T, f Fixture) {
	dst, src := copyFiles(t, f, "0123456789")
	if dst == nil {
		return
	}
	mustWrite(t, src, "abc", 0)
	mustWrite(t, dst, "xyz", 7)
	if n, err := f.Remote.Copy(t.Context(), dst, 0, src, 0, 8); n != 8 || err != nil {
		t.Errorf("Copy: %d, %v; want 8", n, err)
	}
	mustRead(t, dst, 0, "abc34567yz")
	mustFlush(t, dst)
	f.holds(t, "dst", "abc34567yz")
}
