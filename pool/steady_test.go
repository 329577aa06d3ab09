package pool_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
)

// A large file is replaced, between its first byte and its last, by another of the same
// size and time. What is read through a steady File is all of the first.
func TestASteadyFileIsOneFile(t *testing.T) {
	p, dir := openPool(t, pool.Config{})
	const size = 48 << 20
	at, when := filepath.Join(dir, "f"), time.Unix(1_600_000_000, 0)
	write := func(path string, b byte) {
		if err := errors.Join(os.WriteFile(path, bytes.Repeat([]byte{b}, size), 0o644), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	write(at, 'a')
	f, a, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagSteady, 0)
	if err != nil || a.Size != size {
		t.Fatal(a.Size, err)
	}
	defer func() { _ = f.Close(context.Background()) }() // nothing was written
	write(at+"~", 'b')
	got := [2][]byte{}
	for half := range got {
		got[half] = make([]byte, size/2)
		if _, err := f.ReadAt(t.Context(), got[half], int64(half)*size/2); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(at+"~", at); half == 0 && err != nil {
			t.Fatal(err)
		}
	}
	for half := range got {
		if n := bytes.Count(got[half], []byte{'a'}); n != size/2 {
			t.Errorf("half %d: %d bytes of %d are of the file that was opened", half, n, size/2)
		}
	}
}

// After a cut a file to be opened once is not opened again.
func TestASteadyFileOpenedOnce(t *testing.T) {
	program := sftpServer(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	var last atomic.Pointer[pipes]
	p := connect(t, pool.Config{Dir: dir, Timeout: 10 * time.Second, Transport: func(context.Context) (pool.Conn, error) {
		c := newPipes(program)
		last.Store(c)
		return c, nil
	}})
	f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagSteady|remote.FlagOnce, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close(context.Background()) }() // nothing was written
	last.Load().Abort()
	if _, err := f.ReadAt(t.Context(), make([]byte, 4), 0); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("%v", err)
	}
}
