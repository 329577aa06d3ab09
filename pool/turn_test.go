package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A file that is open here, was removed by somebody else on the server, and is made
// again by an opening that truncates: it is another one.
func TestMadeAgainWhileOpen(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	p := connected(t, s, pool.Config{Timeout: time.Second})
	f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.Root, "f")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	again, _, err := p.Open(ctx, "f", remote.FlagWrite|remote.FlagCreate|remote.FlagTruncate, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[remote.File]string{f: "the removed one", again: "new"} {
		if _, err := file.WriteAt(ctx, []byte(text), 0); err != nil {
			t.Error(err)
		}
		if err := file.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	if got := get(t, s, "f"); got != "new" {
		t.Errorf("the server has %q", got)
	}
}

// An opening that truncates and is refused does not wait for what is written meanwhile,
// which waits for it.
func TestRefusedTruncationOfWhatIsWritten(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
	f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	s.Ahead("OPEN", "f", remotetest.Fail, func() {
		if _, err := f.WriteAt(t.Context(), []byte("x"), 0); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, _, err = p.Open(ctx, "f", remote.FlagWrite|remote.FlagTruncate, 0); err == nil || ctx.Err() != nil {
		t.Errorf("the refused opening: %v", err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What is written when the Pool has ended is not waited for.
func TestWrittenAfterTheEnd(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	p := connected(t, s, pool.Config{Timeout: time.Second})
	f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteAt(t.Context(), []byte("x"), 0) // it may be refused or not
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err = f.Flush(ctx); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush: %v", err)
	}
}
