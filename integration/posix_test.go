package integration

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"github.com/remotemount/remotemount/integration/lab"
)

// posixExceptions are the tests of go-fuse's suite that a mount by SFTP cannot
// pass, each with the reason. Two are about the suite itself: go-fuse skips them
// for its own loopback filesystem.
var posixExceptions = map[string]string{
	"XAttr":               "SFTP has no extended attributes; setxattr is refused",
	"XAttrLarge":          "SFTP has no extended attributes; setxattr is refused",
	"FallocateKeepSize":   "SFTP cannot allocate without writing; fallocate is refused",
	"FcntlFlockLocksFile": "wants flock and fcntl locks to exclude each other, which Linux does not; go-fuse skips it upstream",
	"OpenSymlinkRace":     "wants the steps of an open to be one; another client can always come between them, and go-fuse skips it upstream",
}

// TestPosix runs go-fuse's suite. The exceptions are not run: a test that is
// expected to fail may also hang.
func TestPosix(t *testing.T) {
	for name := range posixExceptions {
		if posixtest.All[name] == nil {
			t.Errorf("exception %s is no test of the suite", name)
		}
	}
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.mount(t)
		s.inside(t, "posix", s.point)
	})
}

func posixJob(t *testing.T, dir string) {
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		if posixExceptions[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			own := filepath.Join(dir, name)
			must(t, os.Mkdir(own, 0o755))
			posixtest.All[name](t, own)
			if err := os.RemoveAll(own); err != nil {
				t.Errorf("remove: %v", err)
			}
		})
	}
}
