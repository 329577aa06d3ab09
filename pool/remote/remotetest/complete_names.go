package remotetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// RunCompleteNames plays every history of so many operations on two names and two
// Files, from nothing and from two open files, with cuts as RunCompleteData has them,
// but for requests that are executed late: these are just ahead of the next one, as
// nothing can fence off a change of names that comes later.
// Each operation gives what it would give on a local folder, and the folder is as it
// would be there.
func RunCompleteNames(t *testing.T, open func(t testing.TB, s *Server) remote.Remote, turn Turn) {
	t.Helper()
	var names []string
	for _, s := range nameSteps {
		names = append(names, s.name)
	}
	for start, full := range map[string]bool{"empty": false, "two open files": true} {
		t.Run(start, func(t *testing.T) {
			play{names, 0, func(h *history, ctx context.Context, r remote.Remote) { playNames(h, ctx, r, full) }}.complete(t, open, turn)
		})
	}
}

// A twin is a folder in memory, beside the one on the server.
type twin struct {
	names map[string]*twinFile
	open  [2]*twinFile
	files [2]remote.File
	i     int  // of the step
	cut   bool // the connection breaks in this history
}

type twinFile struct{ data []byte }

// isNamed reports whether a name leads to the file: what has none is not followed
// across a cut.
func (w *twin) isNamed(f *twinFile) bool {
	for _, g := range w.names {
		if f == g {
			return true
		}
	}
	return false
}

// A nameStep does an operation on the server, and in memory.
type nameStep struct {
	name  string
	do    func(ctx context.Context, r remote.Remote, w *twin) error
	model func(w *twin) error
}

var nameSteps = []nameStep{
	openStep("make a", 0, "a", remote.FlagExclusive),
	openStep("open b, or make it", 1, "b", 0),
	openStep("open and cut a, or make it", 0, "a", remote.FlagTruncate),
	writeStep("write [0,4) to the first", 0, 0),
	writeStep("write [2,6) to the second", 1, 2),
	renameStep("rename a to b", "a", "b"),
	renameStep("rename b to a", "b", "a"),
	removeStep("remove a", "a"),
	removeStep("remove b", "b"),
	{"link a as b", func(ctx context.Context, r remote.Remote, _ *twin) error {
		_, err := r.Link(ctx, "a", "b")
		return err
	}, func(w *twin) error {
		switch {
		case w.names["a"] == nil:
			return syscall.ENOENT
		case w.names["b"] != nil:
			return syscall.EEXIST
		}
		w.names["b"] = w.names["a"]
		return nil
	}},
	{"cut b to 1", func(ctx context.Context, r remote.Remote, _ *twin) error {
		_, err := r.SetAttr(ctx, "b", newSize(1))
		return err
	}, func(w *twin) error {
		f := w.names["b"]
		if f == nil {
			return syscall.ENOENT
		}
		f.data = append(f.data, 0)[:1]
		return nil
	}},
	{"close the first", func(ctx context.Context, _ remote.Remote, w *twin) error { return w.shut(ctx, 0) },
		func(w *twin) error { w.open[0] = nil; return nil }},
}

// shut closes a File, if it is open.
func (w *twin) shut(ctx context.Context, n int) error {
	f := w.files[n]
	if f == nil {
		return nil
	}
	w.files[n] = nil
	if err := f.Close(ctx); err != nil && (w.isNamed(w.open[n]) || !w.cut) {
		return err
	}
	return nil
}

func openStep(name string, n int, path string, flag remote.OpenFlag) nameStep {
	return nameStep{name, func(ctx context.Context, r remote.Remote, w *twin) error {
		if err := w.shut(ctx, n); err != nil {
			return err
		}
		f, _, err := r.Open(ctx, path, remote.FlagRead|remote.FlagWrite|remote.FlagCreate|flag, 0o644)
		if err == nil {
			w.files[n] = f
		}
		return err
	}, func(w *twin) error {
		w.open[n] = nil
		f := w.names[path]
		switch {
		case f != nil && flag&remote.FlagExclusive != 0:
			return syscall.EEXIST
		case f == nil:
			f = &twinFile{}
			w.names[path] = f
		case flag&remote.FlagTruncate != 0:
			f.data = nil
		}
		w.open[n] = f
		return nil
	}}
}

func writeStep(name string, n int, off int64) nameStep {
	return nameStep{name, func(ctx context.Context, _ remote.Remote, w *twin) error {
		if w.files[n] == nil {
			return nil
		}
		_, err := w.files[n].WriteAt(ctx, stepData(w.i), off)
		if !w.isNamed(w.open[n]) && w.cut {
			err = nil
		}
		return err
	}, func(w *twin) error {
		if f := w.open[n]; f != nil {
			f.data = dataStep{off: off}.model(w.i, f.data)
		}
		return nil
	}}
}

func renameStep(name, from, to string) nameStep {
	return nameStep{name, func(ctx context.Context, r remote.Remote, w *twin) error {
		if w.cut && w.names[from] == nil {
			return syscall.ENOENT // whoever renames has just seen it: without any answer that is relied on
		}
		return r.Rename(ctx, from, to, false)
	},
		func(w *twin) error {
			f := w.names[from]
			if f == nil {
				return syscall.ENOENT
			}
			if w.names[to] != f {
				w.names[to] = f
				delete(w.names, from)
			}
			return nil
		}}
}

func removeStep(name, path string) nameStep {
	return nameStep{name, func(ctx context.Context, r remote.Remote, w *twin) error {
		err := r.Remove(ctx, path)
		if err == nil && w.cut && w.names[path] == nil {
			return syscall.ENOENT // that it is not there after an uncertain try means done
		}
		return err
	}, func(w *twin) error {
		if w.names[path] == nil {
			return syscall.ENOENT
		}
		delete(w.names, path)
		return nil
	}}
}

func playNames(h *history, ctx context.Context, r remote.Remote, full bool) {
	w := &twin{names: map[string]*twinFile{}, cut: h.at >= 0}
	if full {
		for n, name := range []string{"a", "b"} {
			data := stepData(10 + n)
			if err := os.WriteFile(filepath.Join(h.s.Root, name), data, 0o644); err != nil {
				h.Fatal(err)
			}
			h.s.stamp(filepath.Join(h.s.Root, name))
			step := openStep("", n, name, 0)
			w.names[name] = &twinFile{data: data}
			if err := errors.Join(step.do(ctx, r, w), step.model(w)); err != nil {
				h.Fatal(err)
			}
		}
	}
	for i, step := range h.steps {
		h.begin(i)
		w.i = i
		op := nameSteps[step]
		err := op.do(ctx, r, w)
		if want := op.model(w); !errors.Is(err, want) && (err != nil || want != nil) {
			h.Errorf("%s: %v, want %v", op.name, err, want)
		}
		time.Sleep(h.pause)
	}
	for n := range w.files {
		if err := w.shut(ctx, n); err != nil {
			h.Errorf("Close: %v", err)
		}
	}
	h.s.RunZombies()
	for _, name := range []string{"a", "b"} {
		got, err := os.ReadFile(filepath.Join(h.s.Root, name))
		switch f := w.names[name]; {
		case f == nil && !errors.Is(err, os.ErrNotExist):
			h.Errorf("%s is there, with %q, %v", name, got, err)
		case f != nil && (err != nil || string(got) != string(f.data)):
			h.Errorf("%s has %q, %v; want %q", name, got, err, f.data)
		}
	}
}
