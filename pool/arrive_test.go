package pool_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// Where the remote folder is, what is there and who we are is one round trip, and one
// more for the server's table of users.
func TestConnectIsOneFlight(t *testing.T) {
	for _, tt := range []struct {
		name, dir, user string
		flights         int
	}{
		{"the home", "", "", 1},
		{"below the home", "sub", "", 1},
		{"by its path", "/", "", 1},
		{"with the owner", "sub", "me", 2},
		{"expanded", "~/sub", "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Latency = 100 * time.Millisecond
				if err := os.Mkdir(filepath.Join(s.Root, "sub"), 0o755); err != nil {
					t.Fatal(err)
				}
				dir := tt.dir
				if dir == "/" {
					dir = s.Root
				}
				connected(t, s, pool.Config{Dir: dir, User: tt.user}).Abort()
				all := s.Requests()
				if got := all[len(all)-1].Flight - all[0].Flight + 1; got != tt.flights {
					t.Errorf("%d flights, want %d: %+v", got, tt.flights, all)
				}
			})
		})
	}
}

func TestConnectToAFolderThatIsNone(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(s.Root, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]error{
		"none": syscall.ENOENT, filepath.Join(s.Root, "none"): syscall.ENOENT,
		"file": syscall.ENOTDIR, filepath.Join(s.Root, "file"): syscall.ENOTDIR,
	} {
		p := scripted(t, s, pool.Config{Dir: dir})
		if err := p.Connect(t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", dir, err, want)
		}
		if dir == "file" {
			continue
		}
		if _, err := p.Mkdir(t.Context(), ".", 0o755); err == nil {
			err = p.Connect(t.Context())
			if err != nil {
				t.Errorf("%s, made since: %v", dir, err)
			}
			if err := os.Remove(filepath.Join(s.Root, "none")); err != nil {
				t.Error(err)
			}
		}
	}
}

// There are servers that take no path but those from their top, and such as take a look
// amiss that comes before they were told of the folder.
func TestConnectWhereOnlyAbsolutePathsAreTaken(t *testing.T) {
	for _, status := range []uint32{sftp3.StatusNoSuchFile, sftp3.StatusPermissionDenied, sftp3.StatusFailure} {
		s := remotetest.NewServer(t, t.TempDir())
		if err := os.Mkdir(filepath.Join(s.Root, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		first := true
		s.Quirks.Refuse = func(r remotetest.Request) uint32 {
			if r.Type == "STAT" && first {
				first = false
				return status
			}
			return 0
		}
		if err := scripted(t, s, pool.Config{Dir: "sub"}).Connect(t.Context()); err != nil {
			t.Errorf("status %d: %v", status, err)
		}
	}
}
