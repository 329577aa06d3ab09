package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestContract holds the mount itself to what the contract of a Remote says of data:
// what the layers keep one by one, they keep together, behind the kernel. The test
// makes files behind the mount's back, so nothing may be remembered.
func TestContract(t *testing.T) {
	t.Parallel() // it takes long
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		for n := range fixtures {
			must(t, s.Mkdir(filepath.Join(s.remote, fmt.Sprint(n)), 0o755))
		}
		m := s.mount(t, "--attr-timeout", "0")
		s.inside(t, "contract", s.point)
		unmount(t, m)
	})
}

// fixtures is more than the contract has parts.
const fixtures = 100

func contractJob(t *testing.T, dir string) {
	server, n := filepath.Join(filepath.Dir(dir), "remote"), 0
	remotetest.RunData(t, func(t testing.TB) remotetest.Fixture {
		name := fmt.Sprint(n)
		n++
		return remotetest.Fixture{
			Remote:       mounted{remotetest.NewDir(filepath.Join(dir, name))},
			Path:         filepath.Join(server, name),
			Capabilities: remotetest.OpenSSH(),
		}
	})
}

// mounted is a folder of a mount as a Remote. Data is on the server after fsync.
type mounted struct{ *remotetest.Dir }

func (m mounted) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := m.Dir.Open(ctx, path, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return mountedFile{f}, a, nil
}

func (m mounted) Copy(ctx context.Context, dst remote.File, dstOff int64, src remote.File, srcOff int64, n int64) (int64, error) {
	done, err := m.Dir.Copy(ctx, dst.(mountedFile).File, dstOff, src.(mountedFile).File, srcOff, n)
	if err == nil {
		_, err = dst.Sync(ctx)
	}
	return done, err
}

type mountedFile struct{ remote.File }

func (f mountedFile) Flush(ctx context.Context) (remote.Attr, error) { return f.Sync(ctx) }
