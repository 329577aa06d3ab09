package pool_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// Eight exbibytes free are not too few.
func TestFailureOnAHugeDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Corrupt(func(r remotetest.Request, answer []byte) ([]byte, bool) {
			if r.Type == "statvfs@openssh.com" {
				answer = slices.Clone(answer)
				for i, v := range []uint64{4096, 4096, 1 << 52, 1 << 51, 1 << 51} {
					binary.BigEndian.PutUint64(answer[9+8*i:], v)
				}
			}
			return answer, false
		})
		s.Quirks.Refuse = func(r remotetest.Request) uint32 {
			if r.Type == "WRITE" {
				return 4 // SSH_FX_FAILURE
			}
			return 0
		}
		p := connected(t, s, pool.Config{})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	})
}
