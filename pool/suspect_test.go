package pool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A server that dies of what lies behind a limit, as under ulimit -f, gets all that lies
// before it, and that in small pieces; what else goes over the same session is neither
// lost nor refused.
func TestSuspectGoesAlone(t *testing.T) {
	stuckIn(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		const limit = 100_000
		var pieces, beside int
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type != "WRITE" || r.Path != "deadly" {
				return remotetest.Answer
			}
			if r.Offset+int64(r.Length) > limit {
				return remotetest.Kill
			}
			pieces++
			return remotetest.Answer
		})
		data := bytes.Repeat([]byte("0123456789abcdef"), 40<<10) // three packets
		deadly, _, err := p.Open(t.Context(), "deadly", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := p.Open(t.Context(), "other", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := deadly.WriteAt(t.Context(), data, 0)
			done <- errors.Join(err, deadly.Close(t.Context()))
		}()
		start := time.Now()
		for running := true; running; {
			select {
			case err = <-done:
				running = false
			default:
			}
			_, err := other.WriteAt(t.Context(), []byte("x"), int64(beside))
			if beside++; err != nil {
				t.Fatalf("the file beside it: %v", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if took := time.Since(start); !errors.Is(err, syscall.EIO) || took > 30*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		s.Script(nil)
		if err := other.Close(t.Context()); err != nil {
			t.Errorf("the file beside it: %v", err)
		}
		if got, err := os.ReadFile(filepath.Join(s.Root, "other")); err != nil || len(got) != beside {
			t.Errorf("%d bytes beside it, %v, want %d", len(got), err, beside)
		}
		got, err := os.ReadFile(filepath.Join(s.Root, "deadly"))
		if err != nil || len(got) != limit>>15<<15 || !bytes.Equal(got, data[:len(got)]) {
			t.Errorf("%d bytes before the limit, %v", len(got), err)
		}
		if pieces != limit>>15 {
			t.Errorf("%d pieces", pieces)
		}
	})
}

// While a suspect is under way nothing of its file is sent beside it, also what is only
// written then: it would be lost with it, and count as lost.
func TestNothingGoesBesideASuspect(t *testing.T) {
	foreign := func(s *remotetest.Server) { s.Identification = "SSH-2.0-Other_1.0" } // goes on beside what is held
	stuckIn(t, foreign, func(t *testing.T, s *remotetest.Server, p *pool.Pool) {
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Next("WRITE", "f", remotetest.Kill)
		s.Next("WRITE", "f", remotetest.Kill)
		alone := s.Next("WRITE", "f", remotetest.Hold)
		if _, err := f.WriteAt(t.Context(), []byte("deadly"), 0); err != nil {
			t.Fatal(err)
		}
		<-alone.Sprung()
		before := s.Succeeded("WRITE", "f")
		if _, err := f.WriteAt(t.Context(), []byte("beside"), 1000); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := s.Succeeded("WRITE", "f"); n != before {
			t.Errorf("%d writes beside it", n-before)
		}
		alone.Release()
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := get(t, s, "f"); len(got) != 1006 || got[:6] != "deadly" || got[1000:] != "beside" {
			t.Errorf("the server has %d bytes", len(got))
		}
	})
}
