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
