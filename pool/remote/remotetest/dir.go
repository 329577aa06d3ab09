package remotetest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// Dir is a remote.Remote on a local directory. The exported fields are set before
// its first use and left alone then; a test that changes its mind changes what
// the hook looks at.
//
// The names of the operations, as Before gets them and Calls counts them:
//
//	lstat stat readdir readlink statfs open mkdir symlink link remove rmdir
//	rename setattr copy                      a Remote's methods
//	read write flush sync fstat fsetattr close   a File's methods
//	send                                     written data leaves (WriteBehind)
//
// A listing tells sizes as they are on the disk; Lstat, Stat and File.Stat count
// data that WriteBehind still holds.
type Dir struct {
	// Before runs ahead of each call, in the caller's goroutine. It may sleep,
	// block until ctx ends, or return an error (a syscall.Errno, or ctx.Err()),
	// which becomes the call's; the call is then not executed. An error for
	// "send", unless it is the end of ctx, loses the data, as the pool does after
	// its retry time.
	Before func(ctx context.Context, op, path string) error

	// Latency passes before each call, as one round trip would.
	Latency time.Duration

	// WriteBehind keeps written data in memory until Flush, Sync or Close of the
	// File, until something must see it (a read, a copy, a truncation), or until
	// there is more than 16 MiB for one file.
	WriteBehind bool

	root string

	mu    sync.Mutex
	calls map[string]int      // guarded by mu
	nodes map[nodeKey]*dirent // guarded by mu: files that are open
}

var _ remote.Remote = (*Dir)(nil)

// NewDir gives a Remote whose folder "." is root, an absolute path.
func NewDir(root string) *Dir {
	return &Dir{root: root, calls: map[string]int{}, nodes: map[nodeKey]*dirent{}}
}

// Calls tells how often each operation was called since the last Reset.
func (d *Dir) Calls() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.calls)
}

// Reset sets the counts of Calls to nothing.
func (d *Dir) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.calls)
}

// begin is what each call does first: it is counted, hooked and delayed.
func (d *Dir) begin(ctx context.Context, op, path string) error {
	d.mu.Lock()
	d.calls[op]++
	d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return failure(op, path, err)
	}
	if d.Before != nil {
		if err := d.Before(ctx, op, path); err != nil {
			return failure(op, path, err)
		}
	}
	if d.Latency > 0 {
		timer := time.NewTimer(d.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return failure(op, path, err)
	}
	return nil
}

// failure is err as it crosses the seam: the errno alone, with the seam's own
// operation and path.
func failure(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return remote.PathError(op, path, errno)
	}
	var there *fs.PathError
	if errors.As(err, &there) {
		return remote.PathError(op, path, there.Err)
	}
	return remote.PathError(op, path, err)
}

// local is where path is on this machine. The "." stays: root may be a link.
func (d *Dir) local(path string) string { return d.root + "/" + path }

func attrOf(st *unix.Stat_t) remote.Attr {
	return remote.Attr{
		Mode: st.Mode, UID: st.Uid, GID: st.Gid, Nlink: uint32(st.Nlink),
		Size: st.Size, Atime: st.Atim.Sec, Mtime: st.Mtim.Sec,
	}
}

// lstat describes path with the data that is still held for it.
func (d *Dir) lstat(path string) (remote.Attr, nodeKey, error) {
	return d.describe(path, unix.AT_SYMLINK_NOFOLLOW)
}

func (d *Dir) describe(path string, flags int) (remote.Attr, nodeKey, error) {
	stat := func(st *unix.Stat_t) error { return unix.Fstatat(unix.AT_FDCWD, d.local(path), st, flags) }
	var st unix.Stat_t
	if err := stat(&st); err != nil {
		return remote.Attr{}, nodeKey{}, err
	}
	key := keyOf(&st)
	attr, err := d.open(key).look(stat)
	return attr, key, err
}

// Lstat implements remote.Remote.
func (d *Dir) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	if err := d.begin(ctx, "lstat", path); err != nil {
		return remote.Attr{}, err
	}
	attr, _, err := d.lstat(path)
	return attr, failure("lstat", path, err)
}

// Stat implements remote.Remote.
func (d *Dir) Stat(ctx context.Context, path string) (remote.Attr, error) {
	if err := d.begin(ctx, "stat", path); err != nil {
		return remote.Attr{}, err
	}
	attr, _, err := d.describe(path, 0)
	return attr, failure("stat", path, err)
}

// dirBatch is how many names a listing hands over at once: as many as OpenSSH's
// server puts into one answer.
const dirBatch = 100

// ReadDir implements remote.Remote.
func (d *Dir) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	if err := d.begin(ctx, "readdir", path); err != nil {
		return err
	}
	fd, err := unix.Open(d.local(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return failure("readdir", path, err)
	}
	folder := os.NewFile(uintptr(fd), path)
	defer func() { _ = folder.Close() }()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return failure("readdir", path, err)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	for batch := range slices.Chunk(names, dirBatch) {
		if err := emit(entries(fd, batch)); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return failure("readdir", path, err)
		}
	}
	return nil
}

// place orders a listing, as most filesystems do, by a hash of the names: in no
// order that means anything, but in the same one wherever the tests run.
func place(name string) uint64 {
	h := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(h[:])
}

// entries describes names of the folder fd. One that has gone meanwhile is left
// out.
func entries(fd int, names []string) []remote.Entry {
	list := make([]remote.Entry, 0, len(names))
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			list = append(list, remote.Entry{Name: name, Attr: attrOf(&st)})
		}
	}
	return list
}

// ReadLink implements remote.Remote.
func (d *Dir) ReadLink(ctx context.Context, path string) (string, error) {
	if err := d.begin(ctx, "readlink", path); err != nil {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(d.local(path), buf)
	if err != nil {
		return "", failure("readlink", path, err)
	}
	return string(buf[:n]), nil
}

// StatFS implements remote.Remote.
func (d *Dir) StatFS(ctx context.Context, path string) (remote.StatFS, error) {
	if err := d.begin(ctx, "statfs", path); err != nil {
		return remote.StatFS{}, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.local(path), &st); err != nil {
		return remote.StatFS{}, failure("statfs", path, err)
	}
	return remote.StatFS{
		Bsize: uint64(st.Bsize), Frsize: uint64(st.Frsize),
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail,
		Files: st.Files, Ffree: st.Ffree, Favail: st.Ffree,
		Fsid: fsid(&st),
		Flag: uint64(st.Flags), NameMax: uint64(st.Namelen),
	}, nil
}

// fsid is f_fsid of statvfs(3).
func fsid(st *unix.Statfs_t) uint64 {
	return uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32
}

// Info implements remote.Remote.
func (d *Dir) Info() remote.Info {
	return remote.Info{
		Server: "SSH-2.0-OpenSSH_9.2p1", Ordered: true, Root: d.root,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), KnownOwner: true,
		Extensions: maps.Clone(openSSHExtensions),
	}
}

// openSSHExtensions is what OpenSSH 9.2's server announces, of what we use.
var openSSHExtensions = map[string]string{
	"posix-rename@openssh.com":       "1",
	"statvfs@openssh.com":            "2",
	"fstatvfs@openssh.com":           "2",
	"hardlink@openssh.com":           "1",
	"fsync@openssh.com":              "1",
	"lsetstat@openssh.com":           "1",
	"limits@openssh.com":             "1",
	"expand-path@openssh.com":        "1",
	"copy-data":                      "1",
	"home-directory":                 "1",
	"users-groups-by-id@openssh.com": "1",
}
