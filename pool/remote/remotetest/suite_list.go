package remotetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

func listContracts() []contract {
	return []contract{
		{name: "an empty folder has no names", test: listEmpty},
		{name: "entries carry their attributes", test: listAttributes},
		{name: "5000 names come once each", test: listMany},
		{name: "an error of emit ends it and comes back as it is", test: listEmitError},
		{name: "the end of ctx ends it", test: listContextEnds},
		{name: "a file is ENOTDIR", test: listFile},
		{name: "a folder that is closed to us is EACCES", test: listRefused},
	}
}

// list gives what ReadDir gives.
func list(t testing.TB, f Fixture, path string) []remote.Entry {
	t.Helper()
	var all []remote.Entry
	err := f.Remote.ReadDir(t.Context(), path, func(batch []remote.Entry) error {
		all = append(all, batch...)
		return nil
	})
	if err != nil {
		t.Fatalf("ReadDir %q: %v", path, err)
	}
	return all
}

func names(t testing.TB, f Fixture, path string) []string {
	t.Helper()
	var all []string
	for _, e := range list(t, f, path) {
		all = append(all, e.Name)
	}
	slices.Sort(all)
	return all
}

func listEmpty(t *testing.T, f Fixture) {
	f.mkdir(t, "dir")
	if got := names(t, f, "dir"); len(got) != 0 {
		t.Errorf("an empty folder lists %q", got)
	}
}

func listAttributes(t *testing.T, f Fixture) {
	f.put(t, "file", "12345")
	f.mkdir(t, "dir")
	f.symlink(t, "nowhere", "link")
	if err := os.Link(f.disk("file"), f.disk("other name")); err != nil {
		t.Fatal(err)
	}
	for _, e := range list(t, f, ".") {
		want := f.stat(t, e.Name)
		if a := e.Attr; a.Mode != want.Mode || a.Size != want.Size || a.Mtime != want.Mtim.Sec || a.UID != want.Uid || a.GID != want.Gid {
			t.Errorf("%s: %+v, want %+v", e.Name, a, want)
		}
		if n := e.Attr.Nlink; n != 0 && uint64(n) != uint64(want.Nlink) {
			t.Errorf("%s: %d links, want %d or 0", e.Name, n, want.Nlink)
		}
	}
	if got, want := names(t, f, "."), []string{"dir", "file", "link", "other name"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

func listMany(t *testing.T, f Fixture) {
	f.mkdir(t, "dir")
	want := make([]string, 5000)
	for i := range want {
		want[i] = fmt.Sprintf("name %04d with some length to it", i)
		f.put(t, "dir/"+want[i], "")
	}
	if got := names(t, f, "dir"); !slices.Equal(got, want) {
		t.Errorf("%d names, want %d, each once", len(got), len(want))
	}
}

// some puts more names than one answer can hold.
func some(t testing.TB, f Fixture) {
	t.Helper()
	for i := range 1000 {
		f.put(t, fmt.Sprintf("name %d", i), "")
	}
}

func listEmitError(t *testing.T, f Fixture) {
	some(t, f)
	enough := errors.New("enough")
	calls := 0
	err := f.Remote.ReadDir(t.Context(), ".", func([]remote.Entry) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 {
		t.Errorf("ReadDir: %v after %d batches, want the error as it is after 1", err, calls)
	}
	if got := len(names(t, f, ".")); got != 1000 {
		t.Errorf("the next listing has %d names, want 1000", got)
	}
}

func listContextEnds(t *testing.T, f Fixture) {
	some(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := 0
	err := f.Remote.ReadDir(ctx, ".", func(batch []remote.Entry) error {
		got += len(batch)
		cancel()
		return nil
	})
	if got < 1000 && !errors.Is(err, context.Canceled) {
		t.Errorf("ReadDir: %v after %d names, want the end of ctx", err, got)
	}
}

func listFile(t *testing.T, f Fixture) {
	f.put(t, "file", "")
	err := f.Remote.ReadDir(t.Context(), "file", func([]remote.Entry) error { return nil })
	wantErrno(t, "ReadDir", err, syscall.ENOTDIR)
}

func listRefused(t *testing.T, f Fixture) {
	if f.allPowerful() {
		return
	}
	f.mkdir(t, "dir")
	f.put(t, "dir/file", "")
	f.chmod(t, "dir", 0)
	t.Cleanup(func() { f.chmod(t, "dir", 0o755) })
	err := f.Remote.ReadDir(t.Context(), "dir", func([]remote.Entry) error { return nil })
	wantRefused(t, "ReadDir", err)
	_, err = f.Remote.Lstat(t.Context(), "dir/file")
	wantRefused(t, "Lstat inside", err)
}
