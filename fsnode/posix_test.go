package fsnode_test

import (
	"os"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// posixExceptions are go-fuse's tests that SFTP cannot pass.
var posixExceptions = map[string]string{
	"FallocateKeepSize": "SFTP cannot reserve space beyond the end of a file",
	// Upstream skips it too: it locks twice from one process, whose fcntl locks
	// do not exclude each other.
	"FcntlFlockLocksFile": "fcntl locks of one process never conflict",
	// And this one, which replaces a file a thousand times while it is opened. A
	// file that was replaced between its lookup and its opening cannot be opened
	// any more: ESTALE, after which the kernel looks up and opens once more, and
	// once more it may be too late. As on NFS.
	"OpenSymlinkRace": "a replaced file cannot be opened by its inode",
}

func TestPosix(t *testing.T) {
	for _, timeout := range []time.Duration{0, 5 * time.Second} {
		t.Run("attr-timeout="+timeout.String(), func(t *testing.T) {
			m := mount(t, setup{AttrTimeout: timeout, WriteBehind: timeout > 0})
			for name, test := range posixtest.All {
				t.Run(name, func(t *testing.T) {
					if reason := posixExceptions[name]; reason != "" {
						t.Skip(reason)
					}
					dir := m.path(name)
					if err := os.Mkdir(dir, 0o755); err != nil {
						t.Fatal(err)
					}
					test(t, dir)
				})
			}
		})
	}
}
