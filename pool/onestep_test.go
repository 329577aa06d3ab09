package pool_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A rename in one step is no link and unlink, and still replaces nothing: not at once,
// and not when it was executed, the link is cut, and the old name made again by then: it is
// done.
func TestRenameInOneStep(t *testing.T) {
	for _, cut := range []bool{false, true} {
		p, s, _ := otherPool(t, remotetest.NewServer(t, t.TempDir()), pool.Config{})
		save(t, p, "f", "first", 0o644)
		save(t, p, "g", "other", 0o644)
		ctx := remote.InOneStep(t.Context())
		if err := p.Rename(ctx, "f", "g", true); !errors.Is(err, syscall.EEXIST) {
			t.Errorf("to a name that is there: %v", err)
		}
		s.Forget()
		if cut {
			s.Next(renaming, "f", remotetest.CutAfter)
			s.Ahead("LSTAT", "f", remotetest.Answer, func() {}) // of the first try
			s.Ahead("LSTAT", "f", remotetest.Answer, func() {
				if err := os.WriteFile(filepath.Join(s.Root, "f"), []byte("second"), 0o644); err != nil {
					t.Error(err)
				}
			})
		}
		if err := p.Rename(ctx, "f", "aside", true); err != nil {
			t.Errorf("cut %v: %v", cut, err)
		}
		want := map[string]string{"aside": "first", "g": "other"}
		if cut {
			want["f"] = "second"
		}
		wantFiles(t, s.Root, want)
		for _, r := range s.Requests() {
			if r.Type == "RENAME" {
				t.Errorf("cut %v: a plain RENAME was sent", cut)
			}
		}
	}
}
