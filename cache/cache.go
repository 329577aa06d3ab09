package cache

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// Config says how much is held and for how long.
type Config struct {
	// AttrTimeout is the life of attributes, absences and listings. 0 turns
	// caching off.
	AttrTimeout time.Duration

	// Memory bounds the file data held, in bytes. 0 means 256 MiB.
	Memory int64

	// Besides is how much of Memory others hold at the moment: nil, nobody does.
	Besides func() int64

	// MaxEntries bounds the names held. 0 means 200,000; one takes about 200 bytes.
	MaxEntries int

	// Inode gives the number under which a program sees a file, if there is one:
	// cp -r goes through a folder in the order of these numbers, and reading
	// ahead follows it.
	Inode func(path string) uint64

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

const (
	defaultMemory     = 256 << 20
	defaultMaxEntries = 200_000
)

func (c Config) withDefaults() Config {
	if c.Memory <= 0 {
		c.Memory = defaultMemory
	}
	if c.Besides == nil {
		c.Besides = func() int64 { return 0 }
	}
	if c.MaxEntries <= 0 {
		c.MaxEntries = defaultMaxEntries
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// A Cache is a remote.Remote that answers from memory where it may.
type Cache struct {
	remote remote.Remote
	cfg    Config
	tree   *tree
	files  *opened
	loans  sync.Pool // of *loan
	stats  counters

	sweeping atomic.Bool
	space    atomic.Pointer[remote.StatFS] // what the last StatFS told

	// Guarded by files.mu.
	mem     *memory
	link    link
	readers int     // streams that read lately,
	counted instant // as of this time

	life context.Context // ends at Close
	end  context.CancelFunc

	mu      sync.Mutex // guards closed, and running.Add against Wait
	closed  bool
	running sync.WaitGroup
}

var _ remote.Remote = (*Cache)(nil)

// New wraps a remote. The Cache must be closed; the remote stays the caller's.
func New(remote remote.Remote, cfg Config) *Cache {
	cfg = cfg.withDefaults()
	life, end := context.WithCancel(context.Background())
	c := &Cache{remote: remote, cfg: cfg, files: newOpened(), life: life, end: end}
	c.mem = newMemory(cfg.Memory, cfg.Besides, &c.files.mu)
	c.tree = newTree(cfg.AttrTimeout, cfg.MaxEntries, cfg.Now, c.files)
	c.tree.inode = cfg.Inode
	c.tree.entered = func(path string) { c.enter(path, true) }
	c.tree.wasted = func() { c.stats.wasted.Add(1) }
	return c
}

// Close ends everything under way and waits for it. Files stay the caller's to
// close, and should be closed before.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.running.Wait()
	c.files.spoil(".", true)
	c.tree.clear()
	return nil
}

// spawn runs f in a goroutine that Close waits for, or reports false after Close.
func (c *Cache) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Go(f)
	return true
}

// off reports whether nothing may be remembered.
func (c *Cache) off() bool { return c.cfg.AttrTimeout <= 0 }

// detach gives a context with the values of ctx that ends with the Cache, or by
// cancel: a question goes on when the one who asked it has given up.
func (c *Cache) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(remote.WithAger(context.WithoutCancel(ctx), nil)) // who asked has its answer by then
	stop := context.AfterFunc(c.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// Forget drops what is known of path and everything below it, so that the next
// look asks the server.
func (c *Cache) Forget(path string) {
	c.tree.forgetTree(path)
	c.files.forget(path)
}

// Info implements remote.Remote.
func (c *Cache) Info() remote.Info { return c.remote.Info() }

// StatFS implements remote.Remote; it is always asked, but while the remote is away.
func (c *Cache) StatFS(ctx context.Context, path string) (remote.StatFS, error) {
	last := c.space.Load()
	if last != nil && remote.MayBeStale(ctx) && c.isAway() {
		return *last, nil
	}
	s, err := c.remote.StatFS(ctx, path)
	if err == nil {
		c.space.Store(&s)
	}
	return s, err
}

// errClosed is what calls give after Close.
func errClosed(op, path string) error { return remote.PathError(op, path, syscall.ENODEV) }

// touched notes that the attributes of what is open at path have changed, and with cut
// that the data is no longer what it was.
func (c *Cache) touched(path string, cut bool) {
	o := c.files
	o.mu.Lock()
	defer o.mu.Unlock()
	obj := o.paths[path]
	if obj != nil {
		obj.writes++
	}
	o.each(obj, nil, func(f *File) {
		f.until = 0
		if cut {
			f.cut = true
			f.shelf.discardAll()
		}
	})
}
