package remotetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A Fixture is a Remote under test, and a way to look behind it.
type Fixture struct {
	Remote remote.Remote

	// Path is the local folder that is the Remote's ".", empty at the start. The
	// test's process may do everything in it.
	Path string

	// Stall, where it is there, makes every call wait from now on, as a server
	// does that answers nothing, until release is called.
	Stall func() (release func())

	Capabilities
}

// Capabilities say what the server behind a Remote can do. For what it cannot,
// the suite asks for an honest EOPNOTSUPP.
type Capabilities struct {
	Hardlinks    bool // hardlink@openssh.com
	SymlinkTimes bool // lsetstat@openssh.com
	StatFS       bool // statvfs@openssh.com
	Copy         bool // copy-data
	PosixRename  bool // posix-rename@openssh.com
	Fsync        bool // fsync@openssh.com

	// FollowsOut: symbolic links may lead out of Path, which a gateway over
	// os.Root does not let them do.
	FollowsOut bool

	// NoAtime: attributes tell the mtime also as atime.
	NoAtime bool

	// Errnos: ENOTDIR and ELOOP of a path's parents are told from ENOENT. SFTP
	// has one status for the three, and looking would cost a round trip for each
	// name that is not there.
	Errnos bool
}

// OpenSSH is what a server of OpenSSH 9.1 or newer can do.
func OpenSSH() Capabilities {
	return Capabilities{
		Hardlinks: true, SymlinkTimes: true, StatFS: true, Copy: true,
		PosixRename: true, Fsync: true, FollowsOut: true,
	}
}

// A contract is one thing that a Remote holds.
type contract struct {
	name string
	test func(t *testing.T, f Fixture)
	mask bool // the server's umask is 077
}

// Run holds a Remote to the contract in pool/remote.go. It calls open for each
// subtest, which cleans up with t. Some subtests set the umask of the process:
// Run is not for t.Parallel, and a server that has a umask of its own should be
// started by open.
func Run(t *testing.T, open func(t testing.TB) Fixture) {
	t.Helper()
	run(t, open, append([]group{
		{"look", lookContracts()},
		{"list", listContracts()},
		{"tree", treeContracts()},
		{"rename", renameContracts()},
		{"open", openContracts()},
		{"attr", attrContracts()},
		{"context", contextContracts()},
	}, dataGroups()...))
}

// RunData is Run for what is promised of data alone. That can be asked of a mount,
// where the kernel stands between and keeps other things as it likes.
func RunData(t *testing.T, open func(t testing.TB) Fixture) {
	t.Helper()
	run(t, open, dataGroups())
}

type group struct {
	name      string
	contracts []contract
}

func dataGroups() []group {
	return []group{
		{"data", dataContracts()},
		{"size", sizeContracts()},
		{"order", orderContracts()},
		{"alive", aliveContracts()},
		{"copy", copyContracts()},
		{"together", togetherContracts()},
	}
}

func run(t *testing.T, open func(t testing.TB) Fixture, groups []group) {
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.contracts {
				t.Run(c.name, func(t *testing.T) {
					if c.mask {
						umask(t, 0o077)
					}
					c.test(t, open(t))
				})
			}
		})
	}
}

// umask sets the umask of this process for one subtest.
func umask(t testing.TB, mask int) {
	old := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(old) })
}

// disk is where path is behind the Remote.
func (f Fixture) disk(path string) string { return filepath.Join(f.Path, path) }

// longAgo is a time that no clock gives.
const longAgo = 1_000_000_000

// put makes a file behind the Remote, with times long past.
func (f Fixture) put(t testing.TB, path, data string) {
	t.Helper()
	if err := os.WriteFile(f.disk(path), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	f.age(t, path)
}

// age makes a file's times old, so that a change shows.
func (f Fixture) age(t testing.TB, path string) {
	t.Helper()
	then := time.Unix(longAgo, 0)
	if err := os.Chtimes(f.disk(path), then, then); err != nil {
		t.Fatal(err)
	}
}

func (f Fixture) mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.Mkdir(f.disk(path), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (f Fixture) symlink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, f.disk(path)); err != nil {
		t.Fatal(err)
	}
}

// stat is the file behind the Remote, a link itself.
func (f Fixture) stat(t testing.TB, path string) *syscall.Stat_t {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(f.disk(path), &st); err != nil {
		t.Fatalf("%q on the server: %v", path, err)
	}
	return &st
}

// holds asks for the file's whole content.
func (f Fixture) holds(t testing.TB, path, want string) {
	t.Helper()
	onDisk(t, f.Path, path, want)
}

func onDisk(t testing.TB, root, path, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(root, path))
	if err != nil || string(got) != want {
		t.Errorf("%q on the server: %d bytes %.60q, %v; want %d bytes %.60q", path, len(got), got, err, len(want), want)
	}
}

func (f Fixture) absent(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(f.disk(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q is on the server (%v), want it absent", path, err)
	}
}

// mustAttr is Lstat that must work.
func (f Fixture) mustAttr(t testing.TB, path string) remote.Attr {
	t.Helper()
	attr, err := f.Remote.Lstat(t.Context(), path)
	if err != nil {
		t.Fatalf("Lstat %q: %v", path, err)
	}
	return attr
}

// wantErrno asks for an error as it crosses the seam, with one of the errnos.
func wantErrno(t testing.TB, what string, err error, errnos ...syscall.Errno) {
	t.Helper()
	var perr *fs.PathError
	if !errors.As(err, &perr) {
		t.Errorf("%s: %v (%T), want a *fs.PathError of %v", what, err, err, errnos)
		return
	}
	errno, ok := perr.Err.(syscall.Errno)
	if !ok || !slices.Contains(errnos, errno) {
		t.Errorf("%s: %v (%T in it), want %v", what, err, perr.Err, errnos)
	}
}

// noEntry is what a path through something that is no folder may give.
func (f Fixture) noEntry(exact syscall.Errno) []syscall.Errno {
	if f.Errnos {
		return []syscall.Errno{exact}
	}
	return []syscall.Errno{exact, syscall.ENOENT}
}

// wantRefused asks for the lack of a right: SFTP has one status for EACCES and
// EPERM.
func wantRefused(t testing.TB, what string, err error) {
	t.Helper()
	wantErrno(t, what, err, syscall.EACCES, syscall.EPERM)
}
