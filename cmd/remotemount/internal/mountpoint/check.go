// Package mountpoint knows what must be true of a local folder before something
// is mounted on it, what the mount table says, and how a mount is taken away.
//
// Everything is looked at before the first connection, so that a wrong folder
// costs no round trip and leaves nothing behind. Nothing here trusts that a
// mounted filesystem answers: the mount table is read instead of the mountpoint,
// and what must touch the mountpoint is done last.
package mountpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An Error says why nothing can be mounted there, and what to do.
type Error struct {
	Path, Why, Hint string
	System          bool // it is not about the folder; Path says what it is about
}

func (e *Error) Error() string {
	if e.System {
		return e.Path + ": " + e.Why
	}
	return fmt.Sprintf("mountpoint %s: %s", e.Path, e.Why)
}

// A Check looks at a mountpoint.
type Check struct {
	NonEmpty bool                                // files in the folder are no hindrance
	Ours     func(mountpoint string) (ours bool) // whether a live mount of remotemount is there
}

// Run gives the mountpoint's path, absolute and free of symbolic links, when it
// can be mounted on. A mount there whose process is dead is taken away first.
func (c Check) Run(path string) (string, error) {
	resolved, err := Resolve(path)
	if err != nil {
		return "", missing(path, err)
	}
	entries, err := Mounts()
	if err != nil {
		return "", err
	}
	if e, mounted := at(entries, resolved); mounted {
		if err := c.mounted(e); err != nil {
			return "", err
		}
	}
	if e, below := above(entries, resolved); below && c.Ours != nil && c.Ours(e.Mountpoint) {
		return "", wrong(resolved, fmt.Sprintf("it lies inside the mount of %s at %s", e.Source, e.Mountpoint), "choose a folder outside of it")
	}
	return resolved, c.folder(resolved)
}

func missing(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return wrong(path, "no such folder", "mkdir -p "+quote(path))
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return wrong(path, errno.Error(), "")
	}
	return wrong(path, err.Error(), "")
}

// mounted decides about a mount that is already there: a dead one of FUSE is
// cleared, a live one of ours or any other FUSE mount is refused. Other mounts
// (a bind mount, a disk) can be covered, as mount(8) does.
func (c Check) mounted(e Entry) error {
	if !e.FUSE() {
		return nil
	}
	if c.Ours != nil && c.Ours(e.Mountpoint) {
		return wrong(e.Mountpoint, fmt.Sprintf("%s is mounted there already", e.Source), "remotemount unmount "+quote(e.Mountpoint))
	}
	if !dead(e.Mountpoint) {
		return wrong(e.Mountpoint, fmt.Sprintf("%s is mounted there already", e.Source), "fusermount3 -u "+quote(e.Mountpoint))
	}
	if err := Detach(e.Mountpoint); err != nil {
		return wrong(e.Mountpoint, fmt.Sprintf("the dead mount of %s cannot be cleared: %v", e.Source, err), "fusermount3 -uz "+quote(e.Mountpoint))
	}
	return nil
}

// Dead reports whether a FUSE mount whose process is gone is at path.
func Dead(path string) bool {
	entries, err := Mounts()
	if err != nil {
		return false
	}
	e, ok := at(entries, path)
	return ok && e.FUSE() && dead(path)
}

// dead: for a mount without a process the kernel answers ENOTCONN itself, at once, and
// ECONNABORTED to whoever asks in the moment in which the process ends. A live one may
// be stalled, and is then not waited for.
func dead(path string) bool {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(path, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
	case <-time.After(2 * time.Second):
		return false
	}
}

func (c Check) folder(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return missing(path, err)
	}
	if !info.IsDir() {
		return wrong(path, "it is not a folder", "give a folder, as mkdir makes one")
	}
	if os.Getuid() != 0 && unix.Access(path, unix.W_OK) != nil {
		return wrong(path, "you may not write to it, and fusermount3 mounts only where you may", "choose a folder of your own")
	}
	if c.NonEmpty {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return missing(path, err)
	}
	names, err := f.Readdirnames(1)
	if closeErr := f.Close(); closeErr != nil {
		return closeErr
	}
	if len(names) > 0 {
		return wrong(path, "it is not empty, and mounting would hide what is in it", "choose an empty folder, or add -o nonempty")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return missing(path, err)
	}
	return nil
}

// System says whether FUSE can be used here at all.
func System(allowOther bool) error {
	const dev = "/dev/fuse"
	f, err := os.OpenFile(dev, os.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return system(dev, "FUSE is not available in this kernel or container", "modprobe fuse; in a container: docker run --device /dev/fuse --cap-add SYS_ADMIN")
	case err != nil:
		return system(dev, "it cannot be opened: "+errnoText(err), "ls -l /dev/fuse")
	}
	if err := f.Close(); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		return nil
	}
	return helper(allowOther)
}

// helper looks at what mounting without root needs. go-fuse looks for fusermount3
// in PATH and in /bin.
func helper(allowOther bool) error {
	if fusermount() == "" {
		return system("fusermount3", "it is not installed, and only root can mount without it", "apt install fuse3 (or dnf install fuse3)")
	}
	if !allowOther || userAllowOther("/etc/fuse.conf") {
		return nil
	}
	return system("allow_other", "this machine lets only root allow others into a mount",
		"leave it out, or have root put the line user_allow_other into /etc/fuse.conf")
}

func wrong(path, why, hint string) error { return &Error{Path: path, Why: why, Hint: hint} }

func system(what, why, hint string) error {
	return &Error{Path: what, Why: why, Hint: hint, System: true}
}

func fusermount() string {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func errnoText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
