// Package lab sets up what tests and benchmarks of the built program need: a
// folder tree that belongs to some user, a real sshd for that user, and mounts
// run as processes of their own. Everything is thrown away at the end, and what
// does not go away is reported.
//
// A mount is never inside the process that uses it: a Go program that waits for
// a filesystem it serves itself can deadlock.
package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// TestUser is the ordinary user that integration/setup.sh makes.
const TestUser = "remotemount-test"

// A User is who runs the programs of a Lab.
type User struct {
	Name     string
	UID, GID int
}

// Users are those that tests run as: the current one and, when that is root,
// the test user as well. The error says how to get that one.
func Users() ([]User, error) {
	current, err := user.Current()
	if err != nil {
		return nil, err
	}
	me, err := newUser(current)
	if err != nil || me.UID != 0 {
		return []User{me}, err
	}
	other, err := user.Lookup(TestUser)
	if err != nil {
		return nil, fmt.Errorf("%w: integration/setup.sh makes it", err)
	}
	ordinary, err := newUser(other)
	return []User{me, ordinary}, err
}

func newUser(u *user.User) (User, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return User{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	return User{u.Username, uid, gid}, err
}

// A Lab is a folder tree of one user's.
type Lab struct {
	User User
	Dir  string // of everything below
	Home string // HOME of the programs
	Run  string // XDG_RUNTIME_DIR of the programs
}

// New makes a Lab, to be closed.
func New(u User) (*Lab, error) {
	dir, err := os.MkdirTemp("", "remotemount-lab-")
	if err != nil {
		return nil, err
	}
	l := &Lab{User: u, Dir: dir, Home: filepath.Join(dir, "home"), Run: filepath.Join(dir, "run")}
	err = errors.Join(
		os.Chmod(dir, 0o755),
		os.Chown(dir, u.UID, u.GID),
		l.Mkdir(l.Home, 0o700),
		l.Mkdir(l.Run, 0o700),
	)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return l, nil
}

// Mkdir makes a folder that belongs to the Lab's user. A relative path is in
// the Lab.
func (l *Lab) Mkdir(path string, mode os.FileMode) error {
	path = l.Path(path)
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chown(path, l.User.UID, l.User.GID)
}

// WriteFile is os.WriteFile for the Lab's user. No child is begun meanwhile: it would have
// the file open for a moment, and a program that is open for writing cannot be run.
func (l *Lab) WriteFile(path string, data []byte, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	path = l.Path(path)
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return os.Chown(path, l.User.UID, l.User.GID)
}

// Path is a path in the Lab.
func (l *Lab) Path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.Dir, path)
}

// Command is exec.CommandContext as the Lab's user, in the Lab, with nothing of
// this process's environment but PATH and what steers Go's race detector.
func (l *Lab) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.Dir
	cmd.Env = []string{
		"HOME=" + l.Home, "USER=" + l.User.Name, "LOGNAME=" + l.User.Name, "XDG_RUNTIME_DIR=" + l.Run,
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "TERM=dumb", "TZ=UTC",
		"GORACE=" + os.Getenv("GORACE"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
	}
	if l.User.UID != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(l.User.UID), Gid: uint32(l.User.GID)},
		}
	}
	return cmd
}

// Close removes the Lab. It refuses, and says so, while something is mounted in
// it: removing would go on into the mount.
func (l *Lab) Close() error {
	mounts, err := MountsBelow(l.Dir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("still mounted: %v", mounts)
	}
	return os.RemoveAll(l.Dir)
}

// MountsBelow lists the mountpoints at and below a path, without touching them:
// one whose program hangs would hang whoever looks.
func MountsBelow(path string) ([]string, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = table.Close() }()
	var found []string
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if point == path || strings.HasPrefix(point, path+"/") {
			found = append(found, point)
		}
	}
	return found, lines.Err()
}

// unescape undoes the octal escapes of proc(5).
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
