package sync

import (
	"os"

	"golang.org/x/sys/unix"
)

// onNetwork reports that a local folder lies on a filesystem whose files get their times
// from another machine, whose clock may be off.
func onNetwork(root *os.Root) bool {
	d, err := root.Open(".")
	if err != nil {
		return false
	}
	defer func() { _ = d.Close() }() // nothing was written
	var st unix.Statfs_t
	if unix.Fstatfs(int(d.Fd()), &st) != nil {
		return false
	}
	return networked(uint32(st.Type))
}

// networked tells by the magic number of statfs(2). FUSE may be anything.
func networked(magic uint32) bool {
	switch magic {
	case unix.NFS_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC,
		unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC:
		return true
	}
	return false
}
