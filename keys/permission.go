package keys

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// A PermissionError is a private key file that others can read.
type PermissionError struct {
	File string
	Mode fs.FileMode
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("others can read this private key file (mode %04o): it must be 0600 or stricter", e.Mode)
}

// checkPermissions is ssh's rule: a file of ours must have no bit for group or
// others. A file of somebody else (root's, mounted read-only into a container)
// is not ours to judge. Pipes and sockets have no permissions worth reading.
func checkPermissions(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0 {
		return &PermissionError{File: file, Mode: info.Mode().Perm()}
	}
	return nil
}
