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

// TestKnownNamesMove pins that names which were moved away with their folder, or went
// with it, are free again: what is found there behind a lost answer is our own work.
func TestKnownNamesMove(t *testing.T) {
	for name, away := range map[string]func(*testing.T, *pool.Pool, string) error{
		"the folder is renamed": func(t *testing.T, p *pool.Pool, _ string) error { return p.Rename(t.Context(), "d", "old", false) },
		"the folder is replaced": func(t *testing.T, p *pool.Pool, root string) error {
			if _, err := p.Mkdir(t.Context(), "new", 0o755); err != nil {
				return err
			}
			return errors.Join(os.Remove(filepath.Join(root, "d/x")), os.Remove(filepath.Join(root, "d/lock")),
				p.Rename(t.Context(), "new", "d", false), p.Rename(t.Context(), "d", "old", false))
		},
		"the folder is removed": func(t *testing.T, p *pool.Pool, root string) error {
			return errors.Join(os.Remove(filepath.Join(root, "d/x")), os.Remove(filepath.Join(root, "d/lock")), p.Rmdir(t.Context(), "d"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.NewServer(t, t.TempDir())
			p := connected(t, s, pool.Config{})
			mkdir := func(path string) error { _, err := p.Mkdir(t.Context(), path, 0o755); return err }
			create := func(path string) error {
				f, _, err := p.Open(t.Context(), path, remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o644)
				if err == nil {
					err = f.Close(t.Context())
				}
				return err
			}
			if err := errors.Join(mkdir("d"), mkdir("d/x"), create("d/lock"), away(t, p, s.Root), mkdir("d")); err != nil {
				t.Fatal(err)
			}
			s.Next("MKDIR", "d/x", remotetest.CutAfter)
			if err := mkdir("d/x"); err != nil {
				t.Error(err)
			}
			s.Next("OPEN", "d/lock", remotetest.CutAfter)
			if err := create("d/lock"); err != nil {
				t.Error(err)
			}
			// The names are known where they are now.
			if name != "the folder is renamed" {
				return
			}
			s.Next("MKDIR", "old/x", remotetest.CutBefore)
			if err := mkdir("old/x"); !errors.Is(err, syscall.EEXIST) {
				t.Errorf("a folder that was there is taken for ours: %v", err)
			}
		})
	}
}
