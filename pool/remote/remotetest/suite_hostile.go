package remotetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// everyLie are the requests that are answered with every lie: one of each form of
// answer. Of the lies that are the same for all, others get every fourth, in turn.
var everyLie = map[string]bool{"LSTAT": true, "READDIR": true, "READ": true, "OPEN": true, "MKDIR": true}

// RunHostile holds a Remote to a server that lies: each Lie, told in answer to
// the types of request that it fits, about the folder "bad". Whatever the lie,
// every call ends, with an error that is an errno; no name comes up that no file
// can have; what is asked about the folder "good" meanwhile is answered, but for one
// lie in ten at most, and rightly always; and when
// the server speaks the truth again everything works. Subtests are synctest
// bubbles; open is as for RunCuts, with a timeout of 30 seconds.
func RunHostile(t *testing.T, open func(t testing.TB, s *Server) remote.Remote) {
	t.Helper()
	told, innocent := 0, 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for k, kind := range RequestTypes() {
		for l, lie := range Lies() {
			if !lie.Fits(kind) || lie.Types == "" && !everyLie[kind] && (k+l)%4 != 0 {
				continue
			}
			told++
			t.Run(kind+" answered "+lie.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { (&hostile{cut: newCut(t, open)}).play(kind, lie, &innocent) })
			})
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d MiB were kept", grown>>20)
	}
	// Who shares a session with what kills it time and again may run out of time.
	if innocent > told/10 {
		t.Errorf("%d times a call failed that was not lied about", innocent)
	}
	t.Logf("%d lies; %d times a call failed that was not lied about", told, innocent)
}

// hostile is a cut whose server lies.
type hostile struct{ *cut }

// longest is how long a call may take: the pauses between tries of what kills
// sessions, and the timeout. Behind a packet that does not end a call may wait for
// longer, while the connection lives; its caller gives up then.
const longest = 5 * time.Minute

func (h *hostile) play(kind string, lie Lie, innocent *int) {
	for _, dir := range []string{"bad", "good"} {
		h.scene(filepath.Join(h.s.Root, dir))
	}
	if _, err := h.Remote.Stat(h.Context(), "."); err != nil {
		h.Fatal(err)
	}
	everywhere := kind == "INIT" || kind == "REALPATH" || kind == "limits@openssh.com"
	h.s.Corrupt(func(r Request, answer []byte) ([]byte, bool) {
		if r.Type != kind || !everywhere && r.Path != "bad" && !strings.HasPrefix(r.Path, "bad/") && !strings.HasPrefix(r.Target, "bad/") {
			return answer, false
		}
		return lie.Tell(r, answer)
	})
	if everywhere {
		h.s.CutAll() // so that it is asked again
	}
	honest := make(chan error, 1)
	go func() { honest <- h.good(everywhere || lie.Stalls) }()
	h.use("bad", lie.Stalls)
	if err := <-honest; err != nil {
		var errno syscall.Errno
		if *innocent++; !errors.As(err, &errno) {
			h.Errorf("what was not lied about: %v", err)
		}
	}
	h.s.Corrupt(nil)
	h.recovers()
}

// scene makes what use works on.
func (h *hostile) scene(dir string) {
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "folder/empty"), 0o755),
		os.WriteFile(filepath.Join(dir, "file"), []byte(long(10_000)), 0o644),
		os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o644),
		os.Symlink("file", filepath.Join(dir, "link")),
	)
	if err != nil {
		h.Fatal(err)
	}
}

// good uses the other folder until all is done, and then tells the first error.
// While nobody can log in, or the root is nowhere, errors are to be expected.
func (h *hostile) good(everywhere bool) error {
	for i := range 5 {
		path := fmt.Sprintf("good/new%d", i)
		if err := h.copyThrough(path); err != nil && !everywhere {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// copyThrough reads, writes, lists and removes.
func (h *hostile) copyThrough(path string) error {
	ctx, cancel := context.WithTimeout(h.Context(), longest)
	defer cancel()
	f, _, err := h.Remote.Open(ctx, path, remote.FlagWrite|remote.FlagCreate, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(ctx, []byte("data"), 0)
	if err = errors.Join(err, f.Close(ctx)); err != nil {
		return err
	}
	if got, err := os.ReadFile(filepath.Join(h.s.Root, path)); err != nil || string(got) != "data" {
		return fmt.Errorf("on the server there is %q, %v", got, err)
	}
	if err := h.Remote.ReadDir(ctx, filepath.Dir(path), func([]remote.Entry) error { return nil }); err != nil {
		return err
	}
	return h.Remote.Remove(ctx, path)
}

// use makes every call there is in a folder.
func (h *hostile) use(dir string, stalls bool) {
	r := h.Remote
	in := func(name string) string { return dir + "/" + name }
	none := func(_ any, err error) error { return err }
	calls := map[string]func(ctx context.Context) error{
		"stat":     func(ctx context.Context) error { _, err := r.Stat(ctx, in("file")); return err },
		"lstat":    func(ctx context.Context) error { _, err := r.Lstat(ctx, in("link")); return err },
		"readlink": func(ctx context.Context) error { _, err := r.ReadLink(ctx, in("link")); return err },
		"statfs":   func(ctx context.Context) error { _, err := r.StatFS(ctx, dir); return err },
		"readdir":  func(ctx context.Context) error { return h.list(ctx, dir) },
		"mkdir":    func(ctx context.Context) error { return none(r.Mkdir(ctx, in("made"), 0o755)) },
		"rmdir":    func(ctx context.Context) error { return r.Rmdir(ctx, in("folder/empty")) },
		"symlink":  func(ctx context.Context) error { return none(r.Symlink(ctx, "x", in("made link"))) },
		"link":     func(ctx context.Context) error { return none(r.Link(ctx, in("old"), in("other name"))) },
		"rename":   func(ctx context.Context) error { return r.Rename(ctx, in("old"), in("new name"), false) },
		"remove":   func(ctx context.Context) error { return r.Remove(ctx, in("link")) },
		"setattr": func(ctx context.Context) error {
			return none(r.SetAttr(ctx, in("file"), remote.Change{Fields: remote.SetMode, Mode: 0o600}))
		},
		"times": func(ctx context.Context) error {
			return none(r.SetAttr(ctx, in("link"), remote.Change{Fields: remote.SetMtime, Mtime: 1}))
		},
		"read":  func(ctx context.Context) error { return h.read(ctx, in("file")) },
		"write": func(ctx context.Context) error { return h.write(ctx, in("written")) },
		"copy":  func(ctx context.Context) error { return h.copy(ctx, in("file"), in("copied")) },
	}
	for _, name := range sortedCalls(calls) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(h.Context(), 2*longest)
		err := calls[name](ctx)
		cancel()
		if stalls {
			continue
		}
		if took := time.Since(start); took > longest {
			h.Errorf("%s took %v", name, took)
		}
		var path *fs.PathError
		var errno syscall.Errno
		if err != nil && err != errEnough && (!errors.As(err, &path) || !errors.As(err, &errno)) {
			h.Errorf("%s: an error without path and errno: %v", name, err)
		}
	}
}

func sortedCalls(calls map[string]func(context.Context) error) []string {
	m := map[string]string{}
	for name := range calls {
		m[name] = ""
	}
	return sortedKeys(m)
}

var errEnough = errors.New("enough")

// list looks at the names, and has enough of a listing without an end.
func (h *hostile) list(ctx context.Context, dir string) error {
	seen := 0
	return h.Remote.ReadDir(ctx, dir, func(entries []remote.Entry) error {
		for _, e := range entries {
			if e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00") {
				h.Errorf("the name %q comes up", e.Name)
			}
			if e.Attr.Size < 0 {
				h.Errorf("%q has %d bytes", e.Name, e.Attr.Size)
			}
			seen++
		}
		if seen > 1000 {
			return errEnough
		}
		return nil
	})
}

func (h *hostile) read(ctx context.Context, path string) error {
	f, _, err := h.Remote.Open(ctx, path, remote.FlagRead, 0)
	if err != nil {
		return err
	}
	_, err = f.Stat(ctx)
	p := make([]byte, 20_000)
	n, readErr := f.ReadAt(ctx, p, 0)
	if n < 0 || n > len(p) {
		h.Errorf("%d bytes read", n)
	}
	if readErr != nil && readErr.Error() == "EOF" {
		readErr = nil
	}
	closeErr := f.Close(ctx)
	return firstError(err, readErr, closeErr)
}

func (h *hostile) write(ctx context.Context, path string) error {
	f, _, err := h.Remote.Open(ctx, path, remote.FlagRead|remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o640)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(ctx, []byte(long(600_000)), 0)
	_, truncErr := f.SetAttr(ctx, remote.Change{Fields: remote.SetSize, Size: 10})
	_, syncErr := f.Sync(ctx)
	return firstError(err, truncErr, syncErr, f.Close(ctx))
}

func (h *hostile) copy(ctx context.Context, from, to string) error {
	src, _, err := h.Remote.Open(ctx, from, remote.FlagRead, 0)
	if err != nil {
		return err
	}
	dst, _, err := h.Remote.Open(ctx, to, remote.FlagWrite|remote.FlagCreate, 0o644)
	if err != nil {
		return firstError(err, src.Close(ctx))
	}
	_, err = h.Remote.Copy(ctx, dst, 0, src, 0, 100_000)
	return firstError(err, dst.Close(ctx), src.Close(ctx))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// recovers asks for everything in the folder "good" to work again.
func (h *hostile) recovers() {
	ctx, cancel := context.WithTimeout(h.Context(), longest)
	defer cancel()
	var err error
	for range 20 {
		if _, err = h.Remote.Lstat(ctx, "good"); err == nil {
			break
		}
		time.Sleep(10 * time.Second)
	}
	if err = errors.Join(err, h.copyThrough("good/afterwards")); err != nil {
		h.Errorf("the server speaks the truth again: %v", err)
	}
}
