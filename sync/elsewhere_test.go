package sync

import (
	"context"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

// mountedThere is a server that has another filesystem under "mounted".
type mountedThere struct{ remote.Remote }

func (m mountedThere) StatFS(_ context.Context, path string) (remote.StatFS, error) {
	return remote.StatFS{Fsid: map[bool]uint64{true: 8, false: 7}[path == "mounted"]}, nil
}

// A folder on another filesystem is left alone, and not made here.
func TestAFolderElsewhereIsNotMade(t *testing.T) {
	for _, mode := range []Mode{Pull, TwoWay} {
		p := newPairing(t, Options{Mode: mode, OneFileSystem: true})
		put(t, p.remote, "mounted/f", "text", old)
		put(t, p.remote, "dir/f", "text", old)
		if res := p.runOn(mountedThere{p.dir}); res.Elsewhere != 1 {
			t.Errorf("%+v", res)
		}
		wantAbsent(t, p.local, "mounted")
		wantFile(t, p.local, "dir/f", "text")
	}
}
