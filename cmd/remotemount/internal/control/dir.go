package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// RuntimeDir makes, checks and gives the runtime folder: where the sockets of
// mounts and the lock files of connections are. It is $XDG_RUNTIME_DIR/remotemount,
// or, where that is not set (cron, a bare su), /run/user/UID/remotemount, where that
// folder is ours, or else a folder of the user's under /tmp.
//
// /tmp is everybody's: somebody else could have made the folder first, to read
// what comes into it or to answer in our place. So it must be a real folder,
// ours, and closed to others, or it is not used.
func RuntimeDir(getenv func(string) string) (string, error) {
	dir := candidates(getenv)[0]
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("runtime folder: %w", err)
	}
	if err := checkDir(dir); err != nil {
		return "", fmt.Errorf("runtime folder: %w", err)
	}
	return dir, nil
}

// runUser is where systemd makes a folder for each user that is logged in. Nobody
// else can make it.
const runUser = "/run/user/"

// candidates are the places a mount of this user could have used, the one we
// would use first. A mount made by a service has no XDG_RUNTIME_DIR, the shell
// that asks for it has.
func candidates(getenv func(string) string) []string {
	uid := strconv.Itoa(os.Getuid())
	dirs := []string{runUser + uid + "/remotemount", "/tmp/remotemount-" + uid}
	xdg := getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(xdg) {
		if checkDir(runUser+uid) != nil {
			return []string{dirs[1], dirs[0]}
		}
		return dirs
	}
	own := filepath.Join(xdg, "remotemount")
	if own == dirs[0] {
		return dirs
	}
	return append([]string{own}, dirs...)
}

func checkDir(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case !ok || st.Uid != uint32(os.Getuid()):
		return fmt.Errorf("%s belongs to somebody else", dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others (mode %04o): chmod 700 it", dir, info.Mode().Perm())
	}
	return nil
}

// lockDir has one process at a time change what a name in dir is. It waits so long
// at most: a process may be stopped in the middle.
func lockDir(dir string, patience time.Duration) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // and with it the lock is gone
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(until) {
			return nil, errors.Join(err, f.Close())
		}
	}
}

// Mounting has one mount of a user at a time be put into its place, since the mount table
// tells whose device is whose by the order alone. Whoever is stopped meanwhile holds up the
// others for a moment.
func Mounting(dir string) (done func()) {
	dir = filepath.Join(dir, "mounting")
	if os.MkdirAll(dir, 0o700) == nil {
		if unlock, err := lockDir(dir, 2*time.Second); err == nil {
			return unlock
		}
	}
	return func() {} // the mount is worth more
}

// withDir calls use with a path of name in dir that is short enough for a socket
// address, which ends at 107 bytes: through a descriptor of the folder.
func withDir(dir, name string, use func(path string) error) error {
	if path := filepath.Join(dir, name); len(path) <= 100 {
		return use(path)
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = use(fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name))
	return errors.Join(err, f.Close())
}
