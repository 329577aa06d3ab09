package pool_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestWidenedFileIsNarrowedAgain pins that a file which its owner may not write has its
// own mode again when it was written after a cut, whichever request behind that is cut
// off as well, and whichever other name it has by then.
func TestWidenedFileIsNarrowedAgain(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		for _, fate := range []remotetest.Fate{remotetest.CutBefore, remotetest.CutAfter, remotetest.Swallow} {
			for i, next := range []string{"SETSTAT", "OPEN", "FSTAT", "SETSTAT again"} {
				for _, moved := range []bool{false, true} {
					if moved && fate == remotetest.Swallow {
						continue // the rename could wait on that session as well
					}
					t.Run(fmt.Sprint(foreign, fate, next, moved), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							s := remotetest.NewServer(t, t.TempDir())
							s.Bubble = true
							if foreign {
								s.Identification = "SSH-2.0-Other"
							}
							s.HonourModes(true)
							p := connected(t, s, pool.Config{Timeout: 30 * time.Second})
							f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o444)
							if err != nil {
								t.Fatal(err)
							}
							behind := func(kind string) *remotetest.Trap { return s.Next(kind, "f", fate) }
							s.Next("WRITE", "f", remotetest.CutBefore)
							var trap *remotetest.Trap
							switch i {
							case 0, 2:
								trap = behind(next)
							case 1:
								s.Next("OPEN", "f", remotetest.Answer) // the one that is refused
								trap = behind("OPEN")
							case 3:
								s.Next("SETSTAT", "f", remotetest.Answer)
								trap = behind("SETSTAT")
							}
							if moved {
								go func() {
									<-trap.Sprung()
									_ = p.Rename(t.Context(), "f", "g", false)
								}()
							}
							if _, err := f.WriteAt(t.Context(), []byte("object"), 0); err != nil {
								t.Fatal(err)
							}
							if err := f.Close(t.Context()); err != nil {
								t.Error(err)
							}
							synctest.Wait()
							time.Sleep(2 * time.Minute)
							name := "f"
							if moved {
								name = "g"
							}
							st, err := os.Stat(filepath.Join(s.Root, name))
							if err != nil || st.Mode() != 0o444 {
								t.Errorf("%v, %v", st, err)
							}
							select {
							case <-trap.Sprung():
							default:
								t.Error("no such request came")
							}
						})
					})
				}
			}
		}
	}
}
