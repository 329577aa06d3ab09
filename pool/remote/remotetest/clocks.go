package remotetest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// RunClocks holds a Remote to what a program may rely on where the server's clock is
// another than ours: the mtime that it is told between its last write and its close
// is what the file has afterwards. open is as for RunCuts.
func RunClocks(t *testing.T, open func(t testing.TB, s *Server) remote.Remote) {
	t.Helper()
	for _, clock := range []time.Duration{0, 4 * time.Second, -4 * time.Second, 2 * time.Hour, -2 * time.Hour} {
		for _, size := range []int{10, 1 << 20} {
			t.Run(fmt.Sprint(clock, " ", size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := NewServer(t, t.TempDir())
					s.Bubble, s.Clock, s.Latency = true, clock, 10*time.Millisecond
					toldStays(&cut{Fixture: Fixture{Remote: open(t, s), Path: s.Root, Capabilities: OpenSSH()}, T: t, s: s}, size)
				})
			})
		}
	}
}

func toldStays(c *cut, size int) {
	again := func(f remote.File) error { _, err := f.WriteAt(c.Context(), []byte("again"), 0); return err }
	steps := map[string]func(f remote.File) error{
		"write":   func(remote.File) error { return nil },
		"rewrite": again,
		"append":  func(f remote.File) error { _, err := f.WriteAt(c.Context(), []byte("more"), int64(size)); return err },
		"flush, and write": func(f remote.File) error {
			if _, err := f.Flush(c.Context()); err != nil {
				return err
			}
			return again(f)
		},
		"fsync, and write": func(f remote.File) error {
			if _, err := f.Sync(c.Context()); err != nil {
				return err
			}
			return again(f)
		},
		"told, and written again": func(f remote.File) error {
			if _, err := f.Stat(c.Context()); err != nil {
				return err
			}
			time.Sleep(1300 * time.Millisecond)
			return again(f)
		},
	}
	for _, wait := range []time.Duration{0, 700 * time.Millisecond, 1300 * time.Millisecond} {
		for name, step := range steps {
			for _, anew := range []bool{false, true} {
				what := fmt.Sprintf("%s, closed after %v, made by that: %v", name, wait, anew)
				path, flag := "file", flagsMake|remote.FlagTruncate
				if anew {
					path, flag = fmt.Sprintf("%s %v", name, wait), flagsMake|remote.FlagExclusive
				}
				f := c.file(path, flag)
				mustWrite(c.T, f, strings.Repeat("x", size), 0)
				time.Sleep(wait)
				if err := step(f); err != nil {
					c.Fatalf("%s: %v", what, err)
				}
				byFile, err := f.Stat(c.Context())
				if err != nil {
					c.Fatalf("%s: Stat: %v", what, err)
				}
				byPath := c.mustAttr(c.T, path)
				time.Sleep(wait)
				if err := f.Close(c.Context()); err != nil {
					c.Fatalf("%s: Close: %v", what, err)
				}
				after := c.mustAttr(c.T, path)
				server := c.stat(c.T, path).Mtim.Sec + int64(c.s.Clock/time.Second)
				if byFile.Mtime != after.Mtime || byPath.Mtime != after.Mtime || after.Mtime != server {
					c.Errorf("%s: told %d by the file and %d by its path, then %d; the server has %d",
						what, byFile.Mtime, byPath.Mtime, after.Mtime, server)
				}
			}
		}
	}
}
