package pool_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestRenamedWhileOpenedAgain pins that a file which is renamed while it is opened again
// after a cut, by its name of before, is opened by the new one: the answer may come when
// the rename is over, and may tell of another file.
func TestRenamedWhileOpenedAgain(t *testing.T) {
	for name, successor := range map[string]bool{"nothing is there then": false, "another file is": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.NewServer(t, t.TempDir())
			p := connected(t, s, pool.Config{})
			save(t, p, "f", "data", 0o644)
			save(t, p, "new", "DATA", 0o644)
			f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
			if err != nil {
				t.Fatal(err)
			}
			s.Next("WRITE", "f", remotetest.CutBefore)
			s.Ahead("OPEN", "f", remotetest.Answer, func() {
				time.Sleep(1500 * time.Millisecond) // so that others get a session of their own
				if err := p.Rename(t.Context(), "f", "moved", false); err != nil {
					t.Error(err)
				}
				if !successor {
					return
				}
				if err := p.Rename(t.Context(), "new", "f", false); err != nil {
					t.Error(err)
				}
			})
			if _, err := f.WriteAt(t.Context(), []byte("more"), 4); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(t.Context()); err != nil {
				t.Error(err)
			}
			for name, want := range map[string]string{"moved": "datamore", "f": "DATA"} {
				if name == "f" && !successor {
					continue
				}
				if got, err := os.ReadFile(filepath.Join(s.Root, name)); err != nil || string(got) != want {
					t.Errorf("%s has %q, %v", name, got, err)
				}
			}
		})
	}
}
