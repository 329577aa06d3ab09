package sync

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

const (
	// listers is how many folders are listed at once, on both sides together
	// with what they need before.
	listers = 48
	// mostSmall workers copy files of one piece: three round trips each, during which
	// others are under way. usualSmall do where it is not known that the server lets as
	// many files be open.
	mostSmall  = 768
	usualSmall = 256
	// largeWorkers copy the others, each with several pieces under way.
	largeWorkers = 16
	// ahead is how many actions of each kind may be planned ahead.
	ahead = 1024
	// copyMemory bounds the data of all copies in flight, in bytes.
	copyMemory = 96 << 20
	// progressEvery is how often progress is told.
	progressEvery = 250 * time.Millisecond
)

// A Runner syncs one pair of folders, as often as it is told to.
type Runner struct {
	config   Config
	watch    func() (*fsnotify.Watcher, error)
	mostHeld int64 // memory for names, in bytes
}

// New checks the options; nothing is touched before Run.
func New(c Config) (*Runner, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Runner{config: c, watch: fsnotify.NewWatcher, mostHeld: mostHeld}, nil
}

// A pass is one run of a Runner.
type pass struct {
	Config
	planner    Planner
	tree       [2]tree
	temp       runName
	rootPath   [2]string // where the two folders are, absolute, links resolved here
	within     [2]string // path of the other side's root, where it lies in this one
	sourceRoot string    // absolute path of the source folder
	foreign    [2]bool   // whose clock is another machine's
	fsid       atomic.Uint64
	early      *early         // nil once it is read
	later      sync.WaitGroup // what nothing waits for but the end of the run

	journal *journal
	folders *stack
	small   *crew
	large   *crew
	memory  *semaphore.Weighted
	gates   gates
	names   budget // of those being listed
	waiting budget // of folders
	stream  stream
}

// Run makes one run. The Result tells what was done also when there is an error:
// the run was ended by ctx, by the remote going away, or never began (ErrLocked,
// a folder that is not there). Errors about single names are in the Result
// alone.
func (r *Runner) Run(ctx context.Context) (*Result, error) {
	root, err := os.OpenRoot(r.config.Local)
	if r.config.DryRun && r.config.Mode != Push && errors.Is(err, fs.ErrNotExist) {
		return r.dryWithoutLocal(ctx)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	owner, unlock, err := r.lock(root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return r.walk(ctx, root, owner)
}

// dryWithoutLocal plans for a local folder that a real run would make first.
func (r *Runner) dryWithoutLocal(ctx context.Context) (*Result, error) {
	empty, err := os.MkdirTemp("", "remotemount-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(empty) }() // nothing is put into it
	root, err := os.OpenRoot(empty)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	return r.walk(ctx, root, "")
}

func (r *Runner) walk(ctx context.Context, root *os.Root, owner string) (*Result, error) {
	ctx, abort := context.WithCancelCause(ctx)
	p := r.pass(root, owner, abort)
	defer p.later.Wait()
	defer abort(nil)
	p.listEarly(ctx)
	surveyed := make(chan error, 1)
	go func() { surveyed <- p.survey(ctx) }()
	first, err := p.root(ctx)
	if failed := <-surveyed; err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	p.journal.tick(progressEvery)
	p.run(ctx, first)
	if ctx.Err() == nil {
		abort(p.finish(ctx))
	}
	err = context.Cause(ctx)
	if errors.Is(err, errDone) {
		err = nil
	}
	return p.journal.close(err != nil), err
}

// errDone is the cause of the end of a run that did all it had to.
var errDone = errors.New("done")

// finish is what remains when all folders were walked; errDone when all is well.
func (p *pass) finish(ctx context.Context) error {
	if p.DryRun {
		return errDone
	}
	if err := p.rootsThere(ctx); err != errDone {
		return err
	}
	if p.TriggerFile == "" || !p.journal.complete() {
		return errDone
	}
	if err := p.trigger(ctx); err != nil {
		return fmt.Errorf("trigger file: %w", err)
	}
	return errDone
}

// rootsThere makes sure, after the run, that the folders are still what was walked:
// of one that was removed or moved away nothing could be read, and nothing would tell.
func (p *pass) rootsThere(ctx context.Context) error {
	now, err := os.Stat(p.Local)
	if err != nil {
		return fmt.Errorf("local folder: gone during the run: %w", err)
	}
	if was, err := p.tree[Local].(*localTree).root.Stat("."); err != nil || !os.SameFile(was, now) {
		return fmt.Errorf("local folder: %s: replaced during the run", p.Local)
	}
	if p.journal.missed() {
		if _, err := p.Remote.Stat(ctx, "."); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remote folder: gone during the run: %w", err)
		}
	}
	return errDone
}

// lock keeps other runs off, and tells the owner of the pair's temporary files.
func (r *Runner) lock(root *os.Root) (owner string, unlock func(), err error) {
	if r.config.DryRun {
		return "", func() {}, nil
	}
	free, err := r.lockFolder(root)
	if err != nil {
		return "", nil, err
	}
	owner, freePair, err := lockPair(r.config)
	switch {
	case errors.Is(err, ErrLocked):
		free()
		return "", nil, err
	case err != nil:
		r.config.Log.Warn("no lock for this pair of folders; what this run leaves when it dies is kept for a week", "error", err)
		return ownerOf(rand.Text()), free, nil
	}
	return owner, func() { freePair(); free() }, nil
}

func (r *Runner) pass(root *os.Root, owner string, abort context.CancelCauseFunc) *pass {
	c := r.config
	follow := c.Links == LinksFollow
	if c.ComposeNames {
		c.Remote = newComposed(c.Remote)
	}
	return &pass{
		Config:     c,
		planner:    Planner{Options: c.Options, Now: c.Now()},
		tree:       [2]tree{newLocalTree(root, c.Options, follow), remoteTree{c.Remote}},
		temp:       newRunName(owner, c.Now(), c.TempSuffix),
		foreign:    [2]bool{onNetwork(root), true},
		rootPath:   [2]string{realPath(c.Local), c.Remote.Info().Root},
		sourceRoot: sourceRoot(c),
		journal:    newJournal(c, abort),
		folders:    newStack(),
		memory:     semaphore.NewWeighted(copyMemory),
		names:      budget{most: r.mostHeld},
		waiting:    budget{most: r.mostHeld},
		stream:     stream{buffers: &buffers{}, limit: &limiter{rate: c.BandwidthLimit}, data: (*localFile).data},
	}
}

func newLocalTree(root *os.Root, o Options, follow bool) *localTree {
	t := &localTree{root: root, follow: follow && o.Mode == Push, renameat2: unix.Renameat2}
	if st, err := t.stat("."); err == nil && o.OneFileSystem {
		t.device = st.Dev
	}
	return t
}

// realPath is a path of this machine without links, as far as it can be told.
func realPath(at string) string {
	if abs, err := filepath.Abs(at); err == nil {
		at = abs
	}
	if real, err := filepath.EvalSymlinks(at); err == nil {
		return real
	}
	return at
}

// itemOf is what a side has, with its time as it is compared.
func (p *pass) itemOf(side Side, a remote.Attr) Item {
	i := itemOf(a)
	i.Mtime = readTime(i.Mtime, p.planner.now(side))
	return i
}

func sourceRoot(c Config) string {
	if c.source() == Remote {
		return c.Remote.Info().Root
	}
	if abs, err := filepath.Abs(c.Local); err == nil {
		return abs
	}
	return c.Local
}

// plannerNow is the planner at this moment: a run may take hours.
func (p *pass) plannerNow() Planner {
	at := p.planner
	at.Now = p.Now()
	return at
}

// root looks at the two folders themselves.
func (p *pass) root(ctx context.Context) (*folder, error) {
	var item [2]Item
	for _, side := range []Side{Local, Remote} {
		a, err := p.tree[side].Stat(ctx, ".")
		if p.DryRun && side == Remote && p.Mode != Pull && errors.Is(err, fs.ErrNotExist) {
			continue // a real run makes it first
		}
		if err != nil {
			return nil, fmt.Errorf("%s folder: %w", side, err)
		}
		if item[side] = itemOf(a); item[side].Kind != Folder {
			return nil, fmt.Errorf("%s folder: is a %s", side, item[side].Kind)
		}
	}
	f := newFolder(nil, ".", item[Local], item[Remote])
	f.links.real = "."
	return f, nil
}

// run walks from the first folder on. The walkers end when no folder is left,
// then the workers when no action is.
func (p *pass) run(ctx context.Context, first *folder) {
	p.small, p.large = newCrew(smallWorkers(p.Remote.Info().MaxOpen)), newCrew(largeWorkers)
	p.folders.push(first)
	defer context.AfterFunc(ctx, p.folders.wake)()
	var walkers sync.WaitGroup
	for range listers {
		walkers.Go(func() { p.walk(ctx) })
	}
	walkers.Wait()
	p.journal.scanned.Store(true)
	p.small.end()
	p.large.end()
}

// smallWorkers is how many copy small files where the server lets so many files be
// open, in one session; 0 is not known. Some are for the large ones.
func smallWorkers(open int) int {
	if open == 0 {
		return usualSmall
	}
	return max(min(open*3/4-largeWorkers, mostSmall), 1)
}

// A task is an action waiting for a worker.
type task struct {
	folder *folder
	action Action
}

// A crew is the workers of one kind. Each begins with a task: a run that has nothing to
// copy has none of them.
type crew struct {
	tasks   chan task
	most    int64
	called  atomic.Int64 // how often for one more
	workers sync.WaitGroup
}

func newCrew(most int) *crew { return &crew{tasks: make(chan task, ahead), most: int64(most)} }

// call has one more worker do its work, while there are fewer than there may be.
func (c *crew) call(work func(<-chan task)) {
	if c.called.Add(1) <= c.most {
		c.workers.Go(func() { work(c.tasks) })
	}
}

// end returns when all tasks are done. There must be no more of them.
func (c *crew) end() {
	close(c.tasks)
	c.workers.Wait()
}
