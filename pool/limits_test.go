package pool_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// takes makes the server tell that so many bytes are the most that it takes in one READ
// or WRITE.
func takes(s *remotetest.Server, most uint64) {
	s.Corrupt(func(r remotetest.Request, answer []byte) ([]byte, bool) {
		if r.Type != "limits@openssh.com" {
			return answer, false
		}
		answer = slices.Clone(answer)
		binary.BigEndian.PutUint64(answer[17:], most)
		binary.BigEndian.PutUint64(answer[25:], most)
		return answer, false
	})
}

// After a cut there may be another server behind the name, which takes less at a time
// than the one for which packets were gathered.
func TestServerThatTakesLess(t *testing.T) {
	for name, less := range map[string]func(*remotetest.Server){
		"it has no limits@openssh.com": func(s *remotetest.Server) { delete(s.Extensions, "limits@openssh.com") },
		"its limits are lower":         func(s *remotetest.Server) { takes(s, 20_000) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
				f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
				if err != nil {
					t.Fatal(err)
				}
				data := bytes.Repeat([]byte("0123456789abcdef"), 600<<10/16)
				s.Refuse(syscall.ECONNREFUSED)
				s.Next("WRITE", "f", remotetest.CutBefore)
				if _, err := f.WriteAt(t.Context(), data, 0); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				less(s)
				s.Refuse(nil)
				if _, err := f.Sync(t.Context()); err != nil {
					t.Error("fsync:", err)
				}
				got := make([]byte, len(data))
				if n, err := f.ReadAt(t.Context(), got, 0); n != len(data) || err != nil || !bytes.Equal(got, data) {
					t.Errorf("read: %d, %v", n, err)
				}
				if err := f.Close(t.Context()); err != nil {
					t.Error("close:", err)
				}
				there, err := os.ReadFile(filepath.Join(s.Root, "f"))
				if err != nil || !bytes.Equal(there, data) {
					t.Errorf("%d bytes are there, %v", len(there), err)
				}
				if n := p.Status().LostCount; n != 0 {
					t.Errorf("lost: %d", n)
				}
			})
		})
	}
}

// One that takes less may as well come up beside the first.
func TestStripesThatTakeLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Bubble, s.Latency = true, 20*time.Millisecond
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
		delete(s.Extensions, "limits@openssh.com")
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("0123456789abcdef"), 48<<20/16)
		if _, err := f.WriteAt(t.Context(), data, 0); err != nil {
			t.Error("write:", err)
		}
		if _, err := f.Sync(t.Context()); err != nil {
			t.Error("fsync:", err)
		}
		if p.Status().Connections < 2 {
			t.Error("there was one connection")
		}
		if there, err := os.ReadFile(filepath.Join(s.Root, "f")); err != nil || !bytes.Equal(there, data) {
			t.Errorf("%d bytes are there, %v", len(there), err)
		}
	})
}
