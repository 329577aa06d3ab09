package sshconfig

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// trust refuses a file that somebody else could have written: others, another
// owner than root and us, or a group with more in it than the owner. A group of
// the owner's alone may write, as Debian's ssh has it, because there the usual
// umask gives it the right.
func trust(path string, info fs.FileInfo, named bool) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	uid, mode := os.Getuid(), info.Mode().Perm()
	switch {
	case named && uid == 0 && st.Uid != 0:
		return fmt.Errorf("%s: its owner is not root: a command in it would be run as root (chown root, or use a copy)", path)
	case named || !info.Mode().IsRegular():
		return nil
	case st.Uid != 0 && int(st.Uid) != uid:
		return fmt.Errorf("%s: it belongs to somebody else (uid %d), which ssh does not accept either", path, st.Uid)
	case mode&0o002 != 0:
		return fmt.Errorf("%s: others can write to this file (mode %04o), which ssh does not accept either: chmod go-w", path, mode)
	case mode&0o020 != 0 && !ownGroup(int(st.Gid), int(st.Uid), "/etc/passwd", "/etc/group"):
		return fmt.Errorf("%s: its group can write to this file (mode %04o) and is not the owner's alone: chmod g-w", path, mode)
	}
	return nil
}

// ownGroup reports whether nobody but the owner is in a group. Users that these
// files do not have cannot be counted, and then nothing is known.
func ownGroup(gid, uid int, passwd, group string) bool {
	owner, primary := "", false
	for _, f := range records(passwd, 4) {
		switch {
		case f[2] == strconv.Itoa(uid):
			owner = f[0]
			primary = primary || f[3] == strconv.Itoa(gid)
		case f[3] == strconv.Itoa(gid):
			return false
		}
	}
	if owner == "" {
		return false
	}
	found, member := false, false
	for _, f := range records(group, 4) {
		if f[2] != strconv.Itoa(gid) {
			continue
		}
		found = true
		for _, name := range strings.Split(f[3], ",") {
			if name != "" && name != owner {
				return false
			}
			member = member || name == owner
		}
	}
	return found && (primary || member)
}

// records reads a file of fields between colons, at least n in each line.
func records(path string, n int) [][]string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out [][]string
	for _, l := range strings.Split(string(data), "\n") {
		if f := strings.Split(l, ":"); len(f) >= n {
			out = append(out, f)
		}
	}
	return out
}
