package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// outcomes are what reads were told.
type outcomes chan outcome

type outcome struct {
	n   int
	err error
}

func (o outcomes) told(n int, err error) { o <- outcome{n, err} }

func TestStartedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := remotetest.NewServer(t, dir)
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		open := func(flag remote.OpenFlag) remote.File {
			f, _, err := p.Open(t.Context(), "f", flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		f, all := open(remote.FlagRead), make(outcomes, 1)
		buf := make([]byte, 7)
		reads := func(what string) {
			t.Helper()
			if got := <-all; got.n != 7 || got.err != nil || string(buf) != "content" {
				t.Errorf("%s: %d bytes, %v, %q", what, got.n, got.err, buf)
			}
			clear(buf)
		}
		if !f.StartReadAt(t.Context(), buf, 0, false, all.told) {
			t.Fatal("a read that needs no waiting was not begun")
		}
		reads("begun at once")
		if !f.StartReadAt(t.Context(), nil, 0, false, all.told) {
			t.Error("a read of nothing was not begun")
		} else if got := <-all; got.n != 0 || got.err != nil {
			t.Errorf("a read of nothing: %d bytes, %v", got.n, got.err)
		}

		s.Stall(true)
		ctx, cancel := context.WithCancel(t.Context())
		if !f.StartReadAt(ctx, make([]byte, 7), 0, false, all.told) {
			t.Fatal("a read on a stalled link was not begun")
		}
		cancel()
		if got := <-all; got.n != 0 || !errors.Is(got.err, context.Canceled) && !errors.Is(got.err, syscall.EINTR) {
			t.Errorf("given up: %d bytes, %v", got.n, got.err)
		}
		s.Stall(false)

		f.StartReadAt(t.Context(), buf, 0, true, all.told)
		s.CutAll()
		reads("asked again after a cut")
		s.CutAll()
		time.Sleep(time.Second)
		if f.StartReadAt(t.Context(), buf, 0, false, all.told) {
			t.Error("a read was begun though the file had to be opened again")
			reads("begun")
		}
		f.StartReadAt(t.Context(), buf, 0, true, all.told)
		reads("after the file was opened again")

		w := open(remote.FlagWrite)
		s.Stall(true)
		if _, err := w.WriteAt(t.Context(), []byte("CONTENT"), 0); err != nil {
			t.Fatal(err)
		}
		if !f.StartReadAt(t.Context(), buf, 0, false, all.told) {
			t.Error("a read of what was just written was not begun")
		} else if got := <-all; got.n != 7 || got.err != nil || string(buf) != "CONTENT" {
			t.Errorf("what was just written: %d bytes, %v, %q", got.n, got.err, buf)
		}
		s.Stall(false)
		f.StartReadAt(t.Context(), buf, 0, true, all.told)
		if got := <-all; got.n != 7 || got.err != nil || string(buf) != "CONTENT" {
			t.Errorf("behind a write: %d bytes, %v, %q", got.n, got.err, buf)
		}
		for _, f := range []remote.File{w, f} {
			if err := f.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if f.StartReadAt(t.Context(), buf, 0, false, all.told) {
			t.Error("a read of a closed file was begun")
		}
		f.StartReadAt(t.Context(), buf, 0, true, all.told)
		if got := <-all; !errors.Is(got.err, syscall.EBADF) {
			t.Errorf("a read of a closed file: %v, want EBADF", got.err)
		}
	})
}
