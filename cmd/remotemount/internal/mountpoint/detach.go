package mountpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Detach takes a mount out of the tree at once, also while it is in use or its
// process is dead. Without root it is fusermount3 that does it.
func Detach(path string) error {
	if os.Getuid() == 0 {
		return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	program := fusermount()
	if program == "" {
		return fmt.Errorf("fusermount3 is not installed")
	}
	out, err := exec.Command(program, "-u", "-z", "--", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w", strings.TrimSpace(string(out)), err)
	}
	return nil
}

// ErrNotMounted: nothing of FUSE is mounted there.
var ErrNotMounted = errors.New("no FUSE mount is there")

// Abort detaches a mount whose process does not answer, and then has the kernel
// fail every call that still waits for it, so that no program stays stuck.
func Abort(path string) error {
	entries, err := Mounts()
	if err != nil {
		return err
	}
	e, ok := at(entries, path)
	if !ok || !e.FUSE() {
		return fmt.Errorf("unmount %s: %w", path, ErrNotMounted)
	}
	// Opened before: when the mount is gone its number may be that of another one, and
	// what is open then leads nowhere.
	abort, err := os.OpenFile(fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", e.Minor), os.O_WRONLY, 0)
	if detachErr := Detach(path); detachErr != nil {
		if err == nil {
			_ = abort.Close() // nothing was written
		}
		return fmt.Errorf("unmount %s: %w", path, detachErr)
	}
	if err == nil {
		_, err = abort.WriteString("1")
		err = errors.Join(err, abort.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmount %s: detached, but: %w", path, err)
	}
	return nil
}

// userAllowOther reads fuse.conf as fusermount3 does: a word on a line of its own.
func userAllowOther(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // read only
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "user_allow_other" {
			return true
		}
	}
	return false
}

// quote writes a path so that it can be pasted into a shell.
func quote(path string) string {
	if path != "" && !strings.ContainsAny(path, " \t\n\"'\\$`&;|<>()*?[]{}!#~") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
