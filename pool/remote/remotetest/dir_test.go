package remotetest

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A written file is not on the disk before Flush, but in every answer.
func TestDirWriteBehind(t *testing.T) {
	ctx := t.Context()
	root := t.TempDir()
	d := NewDir(root)
	d.WriteBehind = true
	f, _ := mustOpen(t, d, "f", remote.FlagRead|remote.FlagWrite|remote.FlagCreate)
	mustWrite(t, f, "hello", 0)
	onDisk(t, root, "f", "")
	if a, err := d.Lstat(ctx, "f"); err != nil || a.Size != 5 {
		t.Errorf("Lstat: size %d, %v; want the 5 bytes still held", a.Size, err)
	}
	if a, err := f.SetAttr(ctx, remote.Change{Fields: remote.SetMtime, Mtime: 1234}); err != nil || a.Mtime != 1234 || a.Size != 5 {
		t.Errorf("SetAttr: mtime %d size %d, %v; want 1234 and 5", a.Mtime, a.Size, err)
	}
	onDisk(t, root, "f", "")
	if a, err := f.Flush(ctx); err != nil || a.Mtime != 1234 || a.Size != 5 {
		t.Errorf("Flush: mtime %d size %d, %v; want 1234 and 5", a.Mtime, a.Size, err)
	}
	onDisk(t, root, "f", "hello")

	mustWrite(t, f, "HE", 0)
	other, _ := mustOpen(t, d, "f", remote.FlagRead)
	mustRead(t, other, 0, "HEllo")
	if got := d.Calls()["send"]; got != 2 {
		t.Errorf("data left %d times, want 2", got)
	}
}

// Data that cannot be sent is told once, to the File that wrote it.
func TestDirLosesDataAloud(t *testing.T) {
	ctx := t.Context()
	root := t.TempDir()
	d := NewDir(root)
	d.WriteBehind = true
	full := true
	d.Before = func(_ context.Context, op, _ string) error {
		if op == "send" && full {
			return syscall.ENOSPC
		}
		return nil
	}
	f, _ := mustOpen(t, d, "f", remote.FlagWrite|remote.FlagCreate)
	mustWrite(t, f, "lost", 0)
	if _, err := f.Flush(ctx); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("first Flush: %v, want ENOSPC", err)
	}
	full = false
	if _, err := f.Flush(ctx); err != nil {
		t.Errorf("second Flush: %v, want nothing", err)
	}
	onDisk(t, root, "f", "")
}

func TestDirHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDir(t.TempDir())
		d.Latency = time.Second
		d.Before = func(ctx context.Context, op, path string) error {
			switch path {
			case "bad":
				return syscall.EIO
			case "stuck":
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		start := time.Now()
		if _, err := d.Mkdir(t.Context(), "dir", 0o755); err != nil || time.Since(start) != time.Second {
			t.Errorf("Mkdir: %v after %v, want the latency of 1s", err, time.Since(start))
		}
		_, err := d.Lstat(t.Context(), "bad")
		var perr *fs.PathError
		if !errors.As(err, &perr) || perr.Err != syscall.EIO || perr.Path != "bad" {
			t.Errorf("Lstat: %#v, want a PathError of EIO", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := d.Remove(ctx, "stuck"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Remove: %v, want the end of ctx", err)
		}
		want := map[string]int{"mkdir": 1, "lstat": 1, "remove": 1}
		if got := d.Calls(); !maps.Equal(got, want) {
			t.Errorf("Calls: %v, want %v", got, want)
		}
		if d.Reset(); len(d.Calls()) != 0 {
			t.Error("Reset left counts")
		}
	})
}

// A File that is closed under calls in flight gives EBADF, and never reaches
// another descriptor with its old number.
func TestDirCloseTwice(t *testing.T) {
	d := NewDir(t.TempDir())
	f, _, err := d.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); !errors.Is(err, syscall.EBADF) {
		t.Errorf("second Close: %v, want EBADF", err)
	}
	if _, err := f.WriteAt(t.Context(), []byte("x"), 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("WriteAt after Close: %v, want EBADF", err)
	}
	if len(d.nodes) != 0 {
		t.Errorf("%d files remembered after the last Close", len(d.nodes))
	}
}
