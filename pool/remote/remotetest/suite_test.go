package remotetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// openDir is a Dir as a Fixture of the suite.
func openDir(writeBehind bool) func(t testing.TB) Fixture {
	return func(t testing.TB) Fixture {
		d := NewDir(t.TempDir())
		d.WriteBehind = writeBehind
		var mu sync.Mutex
		var stalled chan struct{}
		d.Before = func(ctx context.Context, _, _ string) error {
			mu.Lock()
			gate := stalled
			mu.Unlock()
			if gate == nil {
				return nil
			}
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		able := OpenSSH()
		able.Errnos = true
		return Fixture{Remote: d, Path: d.root, Capabilities: able, Stall: func() func() {
			mu.Lock()
			defer mu.Unlock()
			gate := make(chan struct{})
			stalled = gate
			return func() { close(gate) }
		}}
	}
}

func TestDirContract(t *testing.T) { Run(t, openDir(false)) }

func TestDirContractWriteBehind(t *testing.T) { Run(t, openDir(true)) }

// Root is refused nothing: what gives EACCES is seen by an ordinary user only.
func TestDirContractUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		return // the other tests are it already
	}
	dir, err := os.MkdirTemp("", "remotetest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "tmp")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	// By /proc, because the folder of the test's binary may be closed to others.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestDirContract$", "-test.v")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "TMPDIR="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}
