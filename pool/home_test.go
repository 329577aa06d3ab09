package pool_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// unmounting runs test on a server with a remote folder "data", which unmount takes away
// with its disk, as after a start of the server, and mount brings back.
func unmounting(t *testing.T, bare map[string]string, test func(t *testing.T, s *remotetest.Server, p *pool.Pool, unmount, mount func())) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		s := remotetest.NewServer(t, root)
		s.Bubble = true
		data, disk := filepath.Join(root, "data"), filepath.Join(root, "disk")
		must := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		s.Corrupt(func(r remotetest.Request, answer []byte) ([]byte, bool) {
			if _, err := os.Stat(disk); err == nil && r.Type == "statvfs@openssh.com" {
				answer = slices.Clone(answer)
				answer[9+8*8]++ // f_fsid
			}
			return answer, false
		})
		must(os.Mkdir(data, 0o755))
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second, Dir: "data"})
		save(t, p, "f", "data", 0o644)
		synctest.Wait() // until the filesystem is known
		test(t, s, p, func() {
			must(os.Rename(data, disk))
			if bare != nil {
				must(os.Mkdir(data, 0o755))
			}
			for name, text := range bare {
				must(os.WriteFile(filepath.Join(data, name), []byte(text), 0o644))
			}
		}, func() {
			must(os.RemoveAll(data))
			must(os.Rename(disk, data))
		})
	})
}

// bareFolders are what may be at the remote folder before its disk is mounted.
var bareFolders = map[string]map[string]string{
	"nothing": nil, "an empty folder": {}, "a folder with another file": {"f": "something else"},
}

// Data waits for the disk as it does for the server.
func TestWriteBeforeDiskIsMounted(t *testing.T) {
	for name, bare := range bareFolders {
		t.Run(name, func(t *testing.T) {
			unmounting(t, bare, func(t *testing.T, s *remotetest.Server, p *pool.Pool, unmount, mount func()) {
				f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
				if err != nil {
					t.Fatal(err)
				}
				s.Ahead("WRITE", "data/f", remotetest.CutBefore, func() {
					unmount()
					time.AfterFunc(3*time.Minute, mount)
				})
				if _, err := f.WriteAt(t.Context(), []byte("more"), 4); err != nil {
					t.Fatal(err)
				}
				lasts(t, "close", 3*time.Minute, 4*time.Minute, nil, func() error { return f.Close(t.Context()) })
				if got := get(t, s, "data/f"); got != "datamore" || p.Status().LostCount != 0 {
					t.Errorf("%q is there, %d lost", got, p.Status().LostCount)
				}
			})
			unmounting(t, bare, func(t *testing.T, s *remotetest.Server, p *pool.Pool, unmount, mount func()) {
				f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
				if err != nil {
					t.Fatal(err)
				}
				s.Ahead("WRITE", "data/f", remotetest.CutBefore, unmount)
				if _, err := f.WriteAt(t.Context(), []byte("more"), 4); err != nil {
					t.Fatal(err)
				}
				lasts(t, "close, without the disk", 10*time.Minute, 11*time.Minute, syscall.EIO, func() error { return f.Close(t.Context()) })
				if n := p.Status().LostCount; n != 1 {
					t.Errorf("%d lost", n)
				}
			})
		})
	}
}

// A read ends as one does of a remote that is away, and the file is not lost by it.
func TestReadBeforeDiskIsMounted(t *testing.T) {
	for name, bare := range bareFolders {
		t.Run(name, func(t *testing.T) {
			unmounting(t, bare, func(t *testing.T, s *remotetest.Server, p *pool.Pool, unmount, mount func()) {
				f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
				if err != nil {
					t.Fatal(err)
				}
				read := func() error {
					_, err := f.ReadAt(t.Context(), make([]byte, 4), 0)
					return err
				}
				if err := read(); err != nil {
					t.Fatal(err)
				}
				unmount()
				s.CutAll()
				lasts(t, "read", 30*time.Second, 45*time.Second, syscall.ETIMEDOUT, read)
				mount()
				lasts(t, "read afterwards", 0, time.Second, nil, read)
			})
		})
	}
}

// What others have removed or replaced is told at once, where the disk is there.
func TestGoneWhereDiskIsMounted(t *testing.T) {
	for name, do := range map[string]func(file string) error{
		"removed":  os.Remove,
		"replaced": func(file string) error { return os.WriteFile(file, []byte("something else"), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			unmounting(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool, unmount, mount func()) {
				f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				if err := do(filepath.Join(s.Root, "data", "f")); err != nil {
					t.Fatal(err)
				}
				s.CutAll()
				time.Sleep(time.Second)
				lasts(t, "writing", 0, time.Second, syscall.ESTALE, func() error {
					_, err := f.WriteAt(t.Context(), []byte("more"), 4)
					return errors.Join(err, f.Close(t.Context()))
				})
			})
		})
	}
}

// It may be mounted just between the OPEN that is refused and the look at it.
func TestMountedAfterRefusal(t *testing.T) {
	unmounting(t, nil, func(t *testing.T, s *remotetest.Server, p *pool.Pool, unmount, mount func()) {
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Ahead("WRITE", "data/f", remotetest.CutBefore, func() {
			unmount()
			s.Ahead("STAT", "data", remotetest.Answer, mount)
		})
		if _, err := f.WriteAt(t.Context(), []byte("more"), 4); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(t.Context()); err != nil || get(t, s, "data/f") != "datamore" {
			t.Errorf("%v, %q is there", err, get(t, s, "data/f"))
		}
	})
}
