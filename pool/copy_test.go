package pool_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestCopyCountsWhatIsCopied pins that a source that others cut short, before a piece of
// it is copied, is not told to have been copied as it was.
func TestCopyCountsWhatIsCopied(t *testing.T) {
	const piece = 64 << 20
	for _, id := range []string{"SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-Other_1.0"} {
		for name, c := range map[string]struct{ size, pieces, left int64 }{
			"in the first piece":  {10, 1, 4},
			"all of it":           {10, 1, 0},
			"in the second piece": {2*piece + 10, 2, piece + 4},
			"before the second":   {2*piece + 10, 2, 4},
		} {
			t.Run(id+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := remotetest.NewServer(t, t.TempDir())
					s.Identification = id
					p := connected(t, s, pool.Config{})
					src, dst := filepath.Join(s.Root, "src"), filepath.Join(s.Root, "dst")
					put(t, s, "src", "")
					put(t, s, "dst", "")
					if err := os.Truncate(src, c.size); err != nil {
						t.Fatal(err)
					}
					from, _, err := p.Open(t.Context(), "src", remote.FlagRead, 0)
					if err != nil {
						t.Fatal(err)
					}
					to, _, err := p.Open(t.Context(), "dst", remote.FlagWrite, 0)
					if err != nil {
						t.Fatal(err)
					}
					for range c.pieces - 1 {
						s.Next("copy-data", "src", remotetest.Answer)
					}
					s.Ahead("copy-data", "src", remotetest.Answer, func() {
						if err := os.Truncate(src, c.left); err != nil {
							t.Error(err)
						}
					})
					n, err := p.Copy(t.Context(), to, 0, from, 0, c.size)
					want := max(c.left, (c.pieces-1)*piece)
					if n != want || err != nil {
						t.Errorf("copied %d, %v, want %d", n, err, want)
					}
					if a, err := os.Stat(dst); err != nil || a.Size() != want {
						t.Errorf("there are %d bytes, %v, want %d", a.Size(), err, want)
					}
					if a, err := to.Stat(t.Context()); err != nil || a.Size != want {
						t.Errorf("Stat: %d bytes, %v", a.Size, err)
					}
					for _, f := range []remote.File{from, to} {
						if err := f.Close(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			})
		}
	}
}
