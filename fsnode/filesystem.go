package fsnode

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// blockSize is the st_blksize of every file: what programs read and write at
// once when they have no idea of their own. Each write is a request, so small is
// slow; but stdio and Python allocate and fetch as much for one record.
const blockSize = 128 << 10

// nameMax is the longest name that any server is asked for.
const nameMax = 255

// listedNameMax is the longest name that the kernel takes in a listing: for a longer
// one it would fail as a whole.
const listedNameMax = 1024

// A filesystem answers the kernel's requests. It implements go-fuse's raw
// interface; what it does not implement is answered with ENOSYS by the embedded
// default, after which the kernel does without: extended attributes, lseek's
// SEEK_DATA and SEEK_HOLE, statx, O_TMPFILE, file locks.
type filesystem struct {
	fuse.RawFileSystem

	cfg      Config
	remote   remote.Remote
	tree     *tree
	clock    *clock
	proc     procfs
	dead     func() bool // the connection to the kernel is gone
	counters counters
	refusals refusals
	links    links

	// base is the context of work that no caller waits for. It ends with the
	// filesystem.
	base context.Context
	stop context.CancelFunc
	work sync.WaitGroup // goroutines that close waits for

	// ending is closed when the kernel asks for nothing any more; expunging are those
	// who try once more then to remove a hidden file.
	ending    chan struct{}
	expunging sync.WaitGroup

	// gone ends all calls under way, when it is closed.
	gone  chan struct{}
	letGo func()

	kernel notifier // set before the first request

	kept   atomic.Int64 // names of open folders
	noCopy atomic.Bool  // the server cannot copy, and said so: the kernel is told to ask no more

	mu     sync.Mutex
	files  map[uint64]*handle    // guarded by mu
	dirs   map[uint64]*dirHandle // guarded by mu
	lastFH uint64                // guarded by mu

	ownUID, ownGID uint32 // the user and group who mount
}

// notifier tells the kernel that what it holds is old. None of these may be
// called while a request that holds the kernel's lock of that folder is being
// answered, but for InodeNotify with a negative offset, which takes no lock.
type notifier interface {
	InodeNotify(node uint64, off, length int64) fuse.Status
	EntryNotify(parent uint64, name string) fuse.Status
	DeleteNotify(parent, child uint64, name string) fuse.Status
}

func newFilesystem(cfg Config) *filesystem {
	base, stop := context.WithCancel(context.Background())
	gone := make(chan struct{})
	f := &filesystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		cfg:           cfg,
		remote:        cfg.Remote,
		tree:          newTree(),
		clock:         &clock{now: time.Now},
		proc:          procfs{read: os.ReadFile, root: "/proc"},
		dead:          func() bool { return false },
		base:          base,
		stop:          stop,
		links:         links{rules: linkRules{contain: cfg.Contain, transform: cfg.TransformSymlinks, points: cfg.points}},
		gone:          gone,
		ending:        make(chan struct{}),
		letGo:         sync.OnceFunc(func() { close(gone) }),
		files:         map[uint64]*handle{},
		dirs:          map[uint64]*dirHandle{},
		ownUID:        uint32(os.Getuid()),
		ownGID:        uint32(os.Getgid()),
	}
	f.bound()
	return f
}

// String is part of go-fuse's interface.
func (f *filesystem) String() string { return f.cfg.Subtype }

// keptOut is the node, which there is never, of a request whose caller may not enter.
// With AllowRoot the kernel lets everybody in, and we all but root and the user who
// mounted out again, as libfuse does. What is done through an open handle was allowed
// when it was opened, and needs no node.
const keptOut = 0

// node is the node of a request, or ESTALE for one we do not know.
func (f *filesystem) node(id uint64) (*node, error) {
	if n := f.tree.get(id); n != nil {
		return n, nil
	}
	if id == keptOut {
		return nil, syscall.EACCES
	}
	return nil, syscall.ESTALE
}

// at runs what with n's path, pinned.
func (f *filesystem) at(ctx context.Context, id uint64, what func(n *node, path string) error) error {
	n, err := f.node(id)
	if err != nil {
		return err
	}
	path, err := f.tree.pin(ctx, n)
	if err != nil {
		return err
	}
	defer f.tree.unpin(n)
	return what(n, path)
}

// look is what the kernel is to know of path: the file itself, or with
// FollowSymlinks what a link leads to, if it leads anywhere. Where that cannot be asked
// the link is not shown instead: programs would follow it on this machine.
func (f *filesystem) look(ctx context.Context, path string) (remote.Attr, error) {
	a, err := f.remote.Lstat(ctx, path)
	if err != nil || !a.IsSymlink() || !f.cfg.FollowSymlinks && path != "." {
		return a, err
	}
	to, err := f.remote.Stat(ctx, path)
	if slices.Contains(leadsNowhere, syscall.Errno(statusOf(err))) {
		return a, nil
	}
	return to, err
}

// leadsNowhere is what Stat says of a link that leads to nothing that can be reached.
var leadsNowhere = []syscall.Errno{syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.EACCES, syscall.ENAMETOOLONG}

// Forget drops references of the kernel.
func (f *filesystem) Forget(id, lookups uint64) { f.tree.forget(id, lookups) }

// Lookup implements fuse.RawFileSystem.
func (f *filesystem) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	c := f.begin(opLookup, cancel, in)
	err := f.at(c, in.NodeId, func(dir *node, path string) error {
		return f.lookup(c, dir, path, name, out)
	})
	status := c.finish(err)
	if status == fuse.ENOENT && f.cfg.AttrTimeout > 0 {
		// An entry without a node is an absence the kernel may remember.
		*out = fuse.EntryOut{}
		out.SetEntryTimeout(f.life(c.age))
		return fuse.OK
	}
	return status
}

func (f *filesystem) lookup(ctx *call, dir *node, dirPath, name string, out *fuse.EntryOut) error {
	if len(name) > nameMax {
		return syscall.ENAMETOOLONG
	}
	if f.tree.isHidden(name) {
		return syscall.ENOENT
	}
	since := f.tree.now()
	path := remote.Join(dirPath, name)
	if len(path) > pathMax {
		return syscall.ENAMETOOLONG
	}
	a, err := f.look(ctx, path)
	if err != nil {
		return err
	}
	if f.unmapped(a) {
		return syscall.EPERM
	}
	if _, err := f.wasReplaced(ctx, f.tree.child(dir, name), a); err != nil {
		return err
	}
	h, other := f.tree.twin(spot{dir, name}, a)
	if other != nil {
		a = f.part(ctx, spot{dir, name}, path, a, other)
	}
	if h != nil {
		if a, err = f.byOpen(h, stat(ctx), a, nil); err != nil {
			return err
		}
	}
	f.fillEntry(out, f.tree.enter(dir, dirPath, name, a), a, since, f.life(ctx.age))
	return nil
}

// GetAttr implements fuse.RawFileSystem.
func (f *filesystem) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	c := f.begin(opGetattr, cancel, &in.InHeader)
	return c.finish(f.getattr(c, in.NodeId, out))
}

func (f *filesystem) getattr(ctx *call, id uint64, out *fuse.AttrOut) error {
	n, err := f.node(id)
	if err != nil {
		return err
	}
	since := f.tree.now()
	a, err := f.attr(ctx, n)
	if err != nil {
		return err
	}
	if f.unmapped(a) {
		return syscall.EPERM
	}
	f.tree.saw(n, a, since)
	f.fillAttr(out, n, a, f.life(ctx.age))
	return nil
}

// attr describes n by its path, and by an open handle when it has none or the
// server has no such file any more.
func (f *filesystem) attr(ctx context.Context, n *node) (remote.Attr, error) {
	path, err := f.tree.pin(ctx, n)
	var a remote.Attr
	if err == nil {
		a, err = f.look(ctx, path)
		f.tree.unpin(n)
	}
	if err == nil {
		if gone, err := f.wasReplaced(ctx, n, a); err != nil {
			return a, err
		} else if h := f.tree.handleOf(n); gone && h != nil {
			return f.byOpen(h, stat(ctx), a, nil)
		}
	}
	if status := statusOf(err); status == fuse.ENOENT || status == fuse.Status(syscall.ESTALE) {
		if h := f.tree.handleOf(n); h != nil {
			return f.byOpen(h, stat(ctx), a, err)
		}
	}
	if err == nil && a.Type() != n.typ {
		return a, syscall.ESTALE
	}
	return a, err
}

func stat(ctx context.Context) func(remote.File) (remote.Attr, error) {
	return func(f remote.File) (remote.Attr, error) { return f.Stat(ctx) }
}

// byOpen does something with a node by an open file: by another one if that is
// released meanwhile. If there is none, it gives what it is given.
func (f *filesystem) byOpen(h *handle, do func(remote.File) (remote.Attr, error), a remote.Attr, err error) (remote.Attr, error) {
	for h != nil {
		done, failed := do(h.file)
		other := f.tree.handleOf(h.node)
		if !errors.Is(failed, syscall.EBADF) || other == h {
			return done, failed
		}
		h = other
	}
	return a, err
}

// Readlink implements fuse.RawFileSystem.
func (f *filesystem) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	c := f.begin(opReadlink, cancel, in)
	var target string
	err := f.at(c, in.NodeId, func(n *node, path string) error {
		text, err := f.remote.ReadLink(c, path)
		if err == nil {
			target, err = f.showLink(n, path, text)
		}
		return err
	})
	return []byte(target), c.finish(err)
}

// StatFs implements fuse.RawFileSystem.
func (f *filesystem) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	c := f.begin(opStatfs, cancel, in)
	err := f.at(c, in.NodeId, func(_ *node, path string) error {
		s, err := f.remote.StatFS(c, path)
		if statusOf(err) == fuse.Status(syscall.EOPNOTSUPP) {
			s, err = unknownSpace, nil
		}
		fillStatfs(out, s)
		return err
	})
	return c.finish(err)
}
