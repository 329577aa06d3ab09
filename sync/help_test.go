package sync

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A pairing is two folders in a test: one local, one behind a Remote.
type pairing struct {
	t             testing.TB
	local, remote string
	dir           *remotetest.Dir
	options       Options
	events        []Event
	watch         func() (*fsnotify.Watcher, error) // nil for the real one
}

func newPairing(t testing.TB, o Options) *pairing {
	t.Helper()
	local, remote := t.TempDir(), t.TempDir()
	return &pairing{t: t, local: local, remote: remote, dir: remotetest.NewDir(remote), options: o}
}

func (p *pairing) config() Config {
	return Config{
		Options: p.options, Local: p.local, Remote: p.dir, Pair: "test " + p.local,
		Events: func(e Event) { p.events = append(p.events, e) },
	}
}

// run makes a run that must not fail as a whole.
func (p *pairing) run() *Result {
	p.t.Helper()
	res, err := p.try(p.t.Context())
	if err != nil {
		p.t.Fatalf("run: %v", err)
	}
	return res
}

// runOn is run with another remote.
func (p *pairing) runOn(on remote.Remote) *Result {
	p.t.Helper()
	c := p.config()
	c.Remote = on
	r, err := New(c)
	must(p.t, err)
	res, err := r.Run(p.t.Context())
	must(p.t, err)
	return res
}

func (p *pairing) try(ctx context.Context) (*Result, error) {
	p.t.Helper()
	p.events = nil
	r, err := New(p.config())
	if err != nil {
		p.t.Fatal(err)
	}
	return r.Run(ctx)
}

// clean makes a run in which nothing may be left to do.
func (p *pairing) clean() *Result {
	p.t.Helper()
	res := p.run()
	if res.Partial() {
		p.t.Fatalf("conflicts %v, failures %v", res.Conflicts, res.Failures)
	}
	return res
}

// newRun is the name of a run of this pair that began an hour ago.
func newRun(c Config) runName {
	return newRunName(ownerOf(c.Pair), time.Now().Add(-time.Hour), "")
}

func dirAt(path string) *remotetest.Dir { return remotetest.NewDir(path) }

// A fixture describes one name: "path text", "path/" for a folder, "path -> to"
// for a link. at is its time.
func put(t testing.TB, root, path, text string, at int64) {
	t.Helper()
	full := filepath.Join(root, path)
	must(t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(t, os.WriteFile(full, []byte(text), 0o644))
	setTime(t, full, at)
}

func setTime(t testing.TB, full string, at int64) {
	t.Helper()
	must(t, os.Chtimes(full, time.Unix(at, 0), time.Unix(at, 0)))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree describes what lies under a folder, a line a name: content, mode and time.
func treeText(t testing.TB, root string, times bool) string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		line, err := describe(root, p, d, times)
		lines = append(lines, line)
		return err
	}))
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func describe(root, p string, d fs.DirEntry, times bool) (string, error) {
	rel, err := filepath.Rel(root, p)
	if err != nil {
		return "", err
	}
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		to, err := os.Readlink(p)
		return fmt.Sprintf("%q -> %q", rel, to), err
	case d.IsDir():
		return fmt.Sprintf("%q %v", rel+"/", info.Mode()), nil
	case !d.Type().IsRegular():
		return fmt.Sprintf("%q special", rel), nil
	}
	text, err := os.ReadFile(p)
	if len(text) > 64 {
		text = fmt.Appendf(nil, "%d bytes, %x", len(text), sha256.Sum256(text))
	}
	line := fmt.Sprintf("%q %v %q", rel, info.Mode(), text)
	if times {
		line += fmt.Sprintf(" %d", info.ModTime().Unix())
	}
	return line, err
}

func sameTrees(t testing.TB, a, b string, times bool) {
	t.Helper()
	if x, y := treeText(t, a, times), treeText(t, b, times); x != y {
		t.Fatalf("the two sides differ\n--- one\n%s\n--- other\n%s", x, y)
	}
}

func wantFile(t testing.TB, root, path, text string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(root, path))
	if err != nil || string(got) != text {
		t.Errorf("%.80s: %.80q, %v; want %.80q", path, got, err, text)
	}
}

func wantAbsent(t testing.TB, root, path string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(root, path)); !os.IsNotExist(err) {
		t.Errorf("%s: %v; want it gone", path, err)
	}
}

// noTemps fails if a temporary file is left anywhere below a folder.
func noTemps(t testing.TB, roots ...string) {
	t.Helper()
	for _, root := range roots {
		must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(filepath.Base(p), tempPrefix) {
				t.Errorf("left behind: %s", p)
			}
			return err
		}))
	}
}

// pattern is n bytes that do not repeat within a file.
func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// missing skips a test for want of a program, which is a failure where
// everything has to be there.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is missing", what)
}
