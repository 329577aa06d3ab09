package pool_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestEndAfterASlowOpen pins that who opens a file on a busy machine, so that the link
// seems long, does not write over what another appends by turns.
func TestEndAfterASlowOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		path := filepath.Join(root, "f")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("")
		s := remotetest.NewServer(t, root)
		p := connected(t, s, pool.Config{})
		slow := s.Next("OPEN", "f", remotetest.Hold)
		go func() {
			time.Sleep(400 * time.Millisecond)
			slow.Release()
		}()
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		if end, err := f.End(t.Context()); end != 0 || err != nil {
			t.Errorf("at once: %d, %v", end, err)
		}
		before := len(s.Requests())
		write("theirs\n")
		time.Sleep(20 * time.Millisecond)
		if end, err := f.End(t.Context()); end != 7 || err != nil {
			t.Errorf("after another appended: %d, %v", end, err)
		}
		if len(s.Requests()) == before {
			t.Error("nothing was asked")
		}
	})
}

// TestEndWithDataElsewhere pins that data under way in the middle of a file says nothing
// of where it ends.
func TestEndWithDataElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		put(t, s, "f", "0123456789")
		s.Latency = 5 * time.Millisecond
		p := connected(t, s, pool.Config{})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		slow := s.Next("WRITE", "f", remotetest.Hold)
		if _, err := f.WriteAt(t.Context(), []byte("ours"), 2); err != nil {
			t.Fatal(err)
		}
		<-slow.Sprung()
		if err := os.Truncate(filepath.Join(s.Root, "f"), 17); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		time.AfterFunc(time.Second, slow.Release)
		if end, err := f.End(t.Context()); end != 17 || err != nil {
			t.Errorf("after another appended: %d, %v", end, err)
		}
		slow = s.Next("WRITE", "f", remotetest.Hold)
		if _, err := f.WriteAt(t.Context(), []byte("end"), 17); err != nil {
			t.Fatal(err)
		}
		<-slow.Sprung()
		before := len(s.Requests())
		time.Sleep(20 * time.Millisecond)
		if end, err := f.End(t.Context()); end != 20 || err != nil || len(s.Requests()) > before {
			t.Errorf("with data at the end: %d, %v, asked %d times", end, err, len(s.Requests())-before)
		}
		slow.Release()
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestClockIsNotThatOfAnOldFile pins that the server's clock is not learned from a file
// whose time was set behind what was written: all that is written from then on would be
// newer than any change of ours can be, and lost with the next cut.
func TestClockIsNotThatOfAnOldFile(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	for _, name := range []string{"old", "written"} {
		path := filepath.Join(s.Root, name)
		if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(1_000_000_000, 0), time.Unix(1_000_000_000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	p := connected(t, s, pool.Config{})
	old, _, err := p.Open(t.Context(), "old", remote.FlagWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.WriteAt(t.Context(), []byte("more"), 0); err != nil {
		t.Fatal(err)
	}
	for s.Succeeded("WRITE", "old") == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // the answer is here
	if _, err := p.SetAttr(t.Context(), "old", remote.Change{Fields: remote.SetMtime, Mtime: 1_000_000_000}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, _, err := p.Open(t.Context(), "written", remote.FlagWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Next("WRITE", "written", remotetest.CutAfter)
	if _, err := f.WriteAt(t.Context(), []byte("more"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
