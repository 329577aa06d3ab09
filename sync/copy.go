package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/remotemount/remotemount/pool"
)

var (
	errChanged       = errors.New("changed while it was copied; left for the next run")
	errTargetChanged = errors.New("the target changed since it was looked at; left for the next run")
	errNotWhole      = errors.New("the copy is not what was sent")
	errSourceChanged = errors.New("copied, but the source changed since; it stays")
	errRacy          = errors.New("changed a moment ago")
)

// resumable is the size from which a partial copy is worth keeping for the next
// run.
const resumable = 4 << 20

// parting bounds what is still done for a copy after the run has ended.
const parting = 5 * time.Second

// A transfer is one copy of one file: read here, written there under a temporary
// name, and renamed into place.
type transfer struct {
	*pass
	a        Action
	folder   *folder
	src, dst tree

	in      pool.File
	attr    pool.Attr // of the source as it was opened
	version stamp     // of the source as it was opened

	out   pool.File
	tmp   string
	holes bool // the source is sparse
}

// copyFile copies the file of an action and gives the bytes moved. A file that
// changes meanwhile is tried once more.
func (p *pass) copyFile(ctx context.Context, f *folder, a Action) (int64, stamp, error) {
	for try := 0; ; try++ {
		t := &transfer{pass: p, a: a, folder: f, src: p.tree[a.From], dst: p.tree[a.From.Other()]}
		err := t.run(ctx)
		if try > 0 || !errors.Is(err, errChanged) {
			return t.attr.Size, t.version, err
		}
	}
}

func (t *transfer) run(ctx context.Context) (err error) {
	if err := t.open(ctx); err != nil {
		return err
	}
	defer func() { _ = t.in.Close(context.WithoutCancel(ctx)) }() // nothing was written
	if err := t.memory.Acquire(ctx, t.weight()); err != nil {
		return err
	}
	defer t.memory.Release(t.weight())
	if err := t.write(ctx); err != nil {
		t.abandon(ctx, err)
		return err
	}
	return nil
}

// weight is the memory that a copy may take.
func (t *transfer) weight() int64 { return min(t.attr.Size, pieces*piece) + 1 }

func (t *transfer) open(ctx context.Context) (err error) {
	t.in, t.attr, err = t.src.Open(ctx, t.a.Path, pool.FlagRead, 0)
	if err != nil {
		return &sideError{t.a.From, err}
	}
	t.version, err = fileStamp(t.in, t.attr)
	if err == nil && !t.attr.IsRegular() {
		err = pool.PathError("open", t.a.Path, errSpecial)
	}
	if err != nil {
		return errors.Join(err, t.in.Close(context.WithoutCancel(ctx)))
	}
	dir, name := pool.Split(t.a.Path)
	t.tmp = pool.Join(dir, t.pair.part(name, itemOf(t.attr)))
	return nil
}

func (t *transfer) write(ctx context.Context) error {
	from, err := t.create(ctx)
	if err != nil {
		return err
	}
	s := t.stream
	s.moved = func(n int64) { t.journal.bytes.Add(n) }
	s.moved(from)
	if err := s.copy(ctx, t.out, t.in, from, t.attr.Size); err != nil {
		return err
	}
	t.holes = s.holes
	if err := t.seal(ctx); err != nil {
		return err
	}
	return t.publish(ctx)
}

// create opens the temporary file and tells from where it is to be written.
func (t *transfer) create(ctx context.Context) (from int64, err error) {
	if t.folder.takePartial(t.tmp) {
		if from, err := t.resume(ctx); err == nil {
			return from, nil
		}
	}
	return 0, t.createNew(ctx)
}

func (t *transfer) createNew(ctx context.Context) (err error) {
	flag := pool.FlagWrite | pool.FlagCreate | pool.FlagExclusive
	if t.Options.compare() == CompareHash {
		flag |= pool.FlagRead
	}
	for try := 0; ; try++ {
		t.out, _, err = t.dst.Open(ctx, t.tmp, flag, t.firstPerm())
		if err == nil || try == 4 { // more than once: a create cut off may be carried out late
			return err
		}
		switch {
		case errors.Is(err, fs.ErrExist):
			err = t.dst.Remove(ctx, t.tmp)
		case errors.Is(err, fs.ErrPermission):
			err = t.folder.unlock(ctx, t.pass, t.a.From.Other(), err)
		}
		if err != nil {
			return err
		}
	}
}

// firstPerm is the mode that the temporary file is made with. A large one stays
// writable for its owner, who may have to go on with it later.
func (t *transfer) firstPerm() uint32 {
	perm := t.planner.perm(itemOf(t.attr)) & permBits
	if t.attr.Size > resumable {
		perm |= 0o600
	}
	return perm
}

// seal gives the temporary file its time and mode, has it acknowledged, and
// looks whether source and target still are what they were.
func (t *transfer) seal(ctx context.Context) error {
	if err := t.attributes(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.flush(gctx) })
	g.Go(func() error { return t.sourceUnchanged(gctx) })
	g.Go(func() error { return t.targetUnchanged(gctx, t.dst, t.a) })
	return g.Wait()
}

func (t *transfer) attributes(ctx context.Context) error {
	want := itemOf(t.attr)
	c := pool.Change{
		Fields: pool.SetAtime | pool.SetMtime,
		Atime:  clampTime(t.attr.Atime), Mtime: want.Mtime,
	}
	if t.Owner {
		err := t.chown(ctx, want)
		if err != nil {
			return err
		}
	}
	if perm := t.planner.perm(want); t.Owner || perm != t.firstPerm() {
		c.Fields |= pool.SetMode
		c.Mode = perm
	}
	if _, local := t.out.(*localFile); t.holes || local { // a hole at the end was not written
		c.Fields |= pool.SetSize
		c.Size = t.attr.Size
	}
	_, err := t.out.SetAttr(ctx, c)
	return err
}

// chown leaves the owner as it is where the remote does not allow a change.
func (t *transfer) chown(ctx context.Context, want Item) error {
	_, err := t.out.SetAttr(ctx, pool.Change{Fields: pool.SetUID | pool.SetGID, UID: want.UID, GID: want.GID})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EOPNOTSUPP) {
		t.journal.fail(ctx, t.a, t.a.From.Other(), fmt.Errorf("copied, but not its owner: %w", err))
		return nil
	}
	return err
}

func (t *transfer) flush(ctx context.Context) error {
	flush := t.out.Flush
	if t.durable() {
		flush = t.out.Sync
	}
	got, err := flush(ctx)
	if err != nil {
		return err
	}
	if got.Size != t.attr.Size {
		return pool.PathError("verify", t.a.Path, fmt.Errorf("%w: %d bytes of %d arrived", errNotWhole, got.Size, t.attr.Size))
	}
	if t.Options.compare() == CompareHash {
		return t.verify(ctx)
	}
	return nil
}

// durable says whether this copy is fsynced; see the package comment.
func (t *transfer) durable() bool {
	switch t.Fsync {
	case FsyncAlways:
		return true
	case FsyncNever:
		return false
	}
	return t.a.Delete || t.a.Target.Kind != Absent || t.attr.Size > resumable
}

func (t *transfer) verify(ctx context.Context) error {
	same, err := t.stream.same(ctx, t.in, t.out, 0, t.attr.Size)
	if err == nil && !same {
		err = pool.PathError("verify", t.a.Path, fmt.Errorf("%w: the content differs", errNotWhole))
	}
	return err
}

func (t *transfer) sourceUnchanged(ctx context.Context) error {
	now, err := t.src.Stamp(ctx, t.a.Path, t.Links == LinksFollow)
	if errors.Is(err, fs.ErrNotExist) || err == nil && now != t.version {
		return errChanged
	}
	return err
}

// targetUnchanged keeps a version that came into being since the scan from being
// replaced. That a name is still absent is seen to by the rename.
func (p *pass) targetUnchanged(ctx context.Context, dst tree, a Action) error {
	if a.Target.Kind == Absent {
		return nil
	}
	return p.unchanged(ctx, dst, a.Path, a.Target)
}

func (t *transfer) publish(ctx context.Context) error {
	out := t.out
	t.out = nil
	if err := out.Close(ctx); err != nil {
		return err
	}
	return t.place(ctx, t.dst, t.tmp, t.a)
}

// abandon gives up the temporary file, and removes it unless the next run can go
// on with it. A full disk needs its room back.
func (t *transfer) abandon(ctx context.Context, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), parting)
	defer cancel()
	if t.out != nil {
		if err := t.out.Close(ctx); err != nil {
			t.Log.Debug("closing a partial copy", "path", t.tmp, "error", err)
		}
	}
	if t.attr.Size > resumable && !t.useless(cause) || ends(cause) {
		return
	}
	if err := t.dst.Remove(ctx, t.tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Log.Debug("removing a partial copy", "path", t.tmp, "error", err)
	}
}

func (t *transfer) useless(cause error) bool {
	for _, e := range []error{errChanged, errTargetChanged, errNotWhole, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, fs.ErrExist} {
		if errors.Is(cause, e) {
			return true
		}
	}
	return false
}
