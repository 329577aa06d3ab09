package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

var (
	errChanged       = errors.New("changed while it was copied; left for the next run")
	errTargetChanged = errors.New("the target changed since it was looked at; left for the next run")
	errNotWhole      = errors.New("the copy is not what was sent")
	errSourceChanged = errors.New("copied, but the source changed since; it stays")
	errRacy          = errors.New("changed a moment ago")
	errInUse         = errors.New("open in another program")
	errOwner         = errors.New("copied, but not its owner")
	errLonger        = errors.New("there is more in it than its size says; it stays")
)

// resumable is the size from which a partial copy is worth keeping for the next
// run.
const resumable = 4 << 20

// A transfer is one copy of one file: read here, written there under a temporary
// name, and renamed into place.
type transfer struct {
	*pass
	a        Action
	folder   *folder
	src, dst tree

	in      remote.File
	attr    remote.Attr // of the source as it was opened
	source  Item        // the same, as it is compared
	version stamp       // of the source as it was opened

	out   remote.File
	tmp   string
	holes bool  // the source is sparse
	held  int64 // size of the part that is gone on with

	refused error // why the copy has not the owner of the source
}

// copyFile copies the file of an action, and removes the source if asked. A file that
// changes meanwhile is tried once more.
func (p *pass) copyFile(ctx context.Context, f *folder, a Action) (d done, err error) {
	for try := 0; ; try++ {
		t := &transfer{pass: p, a: a, folder: f, src: p.tree[a.From], dst: p.tree[a.From.Other()]}
		d, err = t.run(ctx)
		if try > 0 || d.made || !errors.Is(err, errChanged) {
			return d, err
		}
		p.journal.bytesTotal.Add(t.attr.Size)
	}
}

func (t *transfer) run(ctx context.Context) (d done, err error) {
	if err := t.open(ctx); err != nil {
		return d, err
	}
	defer func() { _ = t.in.Close(context.WithoutCancel(ctx)) }() // nothing was written
	if err := t.move(ctx); err != nil {
		t.abandon(ctx, err)
		return d, err
	}
	d.made, d.bytes = true, t.attr.Size
	if t.refused != nil {
		return d, t.refused
	}
	if t.a.Delete {
		err = t.removeSource(ctx, t.folder, t.a, proof{in: t.in, version: t.version})
		d.remove = err == nil
	}
	return d, err
}

func (t *transfer) move(ctx context.Context) error {
	if err := t.memory.Acquire(ctx, t.weight()); err != nil {
		return err
	}
	defer t.memory.Release(t.weight())
	return t.write(ctx)
}

// weight is the memory that a copy may take.
func (t *transfer) weight() int64 { return min(t.attr.Size, pieces*piece) + 1 }

// open opens the source when the second of its time is over. One that is written to
// all the time is left for another run.
func (t *transfer) open(ctx context.Context) error {
	mtime, told := t.a.Source.Mtime, t.folder.listed
	for range 3 {
		if err := t.over(ctx, t.a.From, mtime, told); err != nil {
			return err
		}
		if err := t.openNow(ctx); err != nil {
			return onSide(t.a.From, err)
		}
		if t.older() {
			return onSide(t.a.From, errors.Join(errChanged, t.in.Close(context.WithoutCancel(ctx))))
		}
		if why, bad := t.plannerNow().notNow(t.a.From, t.source); bad && changedSince(t.source, t.a.Source) {
			_ = t.in.Close(context.WithoutCancel(ctx)) // nothing was written
			return leftAlone(why)
		}
		if t.attr.Mtime != mtime {
			mtime, told = t.attr.Mtime, time.Now()
		}
		if t.untilOver(t.a.From, mtime, told) == 0 {
			return nil
		}
		_ = t.in.Close(context.WithoutCancel(ctx)) // nothing was written
	}
	return errRacy
}

// readFlags opens a file that is read as a whole. What is to be removed must be one file
// from the first byte to the last, also when the link is cut; anything else is opened
// again after a cut if it has the same size and time.
func (p *pass) readFlags() remote.OpenFlag {
	if p.Delete {
		return remote.FlagRead | remote.FlagSteady | remote.FlagOnce
	}
	return remote.FlagRead | remote.FlagSteady
}

// older reports that the source was given an earlier time since the plan, which may have
// gone by it.
func (t *transfer) older() bool {
	byTime := t.Mode == TwoWay || t.Update
	return byTime && t.a.Target.Kind != Absent && t.source.Mtime < t.a.Source.Mtime
}

func (t *transfer) openNow(ctx context.Context) (err error) {
	t.in, t.attr, err = t.src.Open(ctx, t.a.Path, t.readFlags(), 0)
	if err != nil {
		return err
	}
	t.version, err = fileStamp(t.in, t.attr)
	if err == nil && !t.attr.IsRegular() {
		err = remote.PathError("open", t.a.Path, errSpecial)
	}
	if err != nil {
		return errors.Join(err, t.in.Close(context.WithoutCancel(ctx)))
	}
	dir, name := remote.Split(t.a.Path)
	t.source = t.itemOf(t.a.From, t.attr)
	t.tmp = remote.Join(dir, t.temp.part(name, t.source))
	return nil
}

func (t *transfer) write(ctx context.Context) error {
	from, err := t.create(ctx)
	if err != nil {
		return err
	}
	s := t.stream
	s.held, s.proves = t.held, t.a.Delete
	s.moved = func(n int64) { t.journal.bytes.Add(n) }
	s.moved(from)
	if err := s.copy(ctx, end{t.out, t.a.From.Other()}, end{t.in, t.a.From}, from, t.attr.Size); err != nil {
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
	_, name := remote.Split(t.a.Path)
	if part, ok := t.folder.takePart(versionHash(name, t.source)); ok {
		if from, err := t.resume(ctx, part); err == nil {
			return from, nil
		}
	}
	return 0, t.createNew(ctx)
}

func (t *transfer) createNew(ctx context.Context) (err error) {
	flag := remote.FlagWrite | remote.FlagCreate | remote.FlagExclusive | remote.FlagInOrder
	if t.readsBack() {
		flag |= remote.FlagRead
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

// readsBack says whether what was written is read and compared before it gets its
// place.
func (t *transfer) readsBack() bool { return t.VerifyRead || t.Options.compare() == CompareHash }

// firstPerm is the mode that the temporary file is made with. A large one stays
// writable for its owner, who may have to go on with it later.
func (t *transfer) firstPerm() uint32 {
	perm := t.planner.perm(t.source) & permBits
	if t.attr.Size > resumable {
		perm |= 0o600
	}
	return perm
}

// seal gives the temporary file its time and mode, has it acknowledged, and
// looks whether the source still is what it was.
func (t *transfer) seal(ctx context.Context) error {
	if err := t.attributes(ctx); err != nil {
		return err
	}
	if err := t.flush(ctx); err != nil {
		return err
	}
	if t.a.Delete {
		if err := t.wasRead(ctx, end{t.in, t.a.From}, t.source); err != nil {
			return err
		}
	}
	return t.sourceUnchanged(ctx)
}

// attributes sets what the receiving side keeps.
func (t *transfer) attributes(ctx context.Context) error {
	var c remote.Change
	facts := t.planner.Facts[t.a.From.Other()]
	if !facts.NoTimes {
		c.Fields |= remote.SetAtime | remote.SetMtime
		c.Atime, c.Mtime = clampTime(t.attr.Atime), t.mtime()
	}
	perm := t.planner.perm(t.source)
	if t.Owner {
		if err := t.chown(ctx); err != nil {
			return err
		}
		if t.refused != nil {
			perm &^= setIDBits // they are the owner's
		}
	}
	if !facts.NoModes && (t.Owner || t.held > 0 || perm != t.firstPerm()) {
		c.Fields |= remote.SetMode
		c.Mode = perm
	}
	if _, local := t.out.(*localFile); t.holes || local { // a hole at the end was not written
		c.Fields |= remote.SetSize
		c.Size = t.attr.Size
	}
	if c.Fields == 0 {
		return nil
	}
	_, err := t.out.SetAttr(ctx, c)
	return err
}

// mtime is the time that the copy gets: of a local file what it is, of a remote one
// what is believed of it, by our clock where the server has no other than its own.
func (t *transfer) mtime() int64 {
	if t.a.From == Local {
		return clampTime(t.attr.Mtime)
	}
	return t.planner.copyTime(t.a.From, t.source)
}

// chown leaves the owner as it is where the remote does not allow a change.
func (t *transfer) chown(ctx context.Context) error {
	now, err := t.out.SetAttr(ctx, t.source.owner())
	err = t.source.owns(now, err)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EOPNOTSUPP) {
		t.refused = fmt.Errorf("%w: %w", errOwner, err)
		return nil
	}
	return err
}

// owner is the change that gives a copy the owner.
func (i Item) owner() remote.Change {
	return remote.Change{Fields: remote.SetUID | remote.SetGID, UID: i.UID, GID: i.GID}
}

// owns makes an error of another owner than that: there are servers that do not say that
// they change none.
func (i Item) owns(now remote.Attr, err error) error {
	if err == nil && (now.UID != i.UID || now.GID != i.GID) {
		return syscall.EPERM
	}
	return err
}

func (t *transfer) flush(ctx context.Context) error {
	flush := t.out.Flush
	if t.durable() {
		flush = t.out.Sync
	}
	if err := t.isWhole(flush(ctx)); err != nil {
		return err
	}
	if t.readsBack() {
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
	same, err := t.stream.same(ctx, end{t.in, t.a.From}, end{t.out, t.a.From.Other()}, 0, t.attr.Size)
	if err == nil && !same {
		err = remote.PathError("verify", t.a.Path, fmt.Errorf("%w: the content differs", errNotWhole))
	}
	return err
}

func (t *transfer) sourceUnchanged(ctx context.Context) error {
	now, err := t.src.Stamp(ctx, t.a.Path, t.Links == LinksFollow)
	if errors.Is(err, fs.ErrNotExist) || err == nil && now != t.version {
		err = errChanged
	}
	return onSide(t.a.From, err)
}

// targetUnchanged keeps a version that came into being since the scan from being
// replaced. That a name is still absent is seen to by the rename.
func (p *pass) targetUnchanged(ctx context.Context, a Action) error {
	if a.Target.Kind == Absent {
		return nil
	}
	return p.unchanged(ctx, a.From.Other(), a.Path, a.Target)
}

// publish gives the copy its place, after the last word on what was written: the
// answer to CLOSE, and the size after it where a source is to be removed. The target is
// looked at last: forcing to the disk and reading back take their time.
func (t *transfer) publish(ctx context.Context) error {
	out := t.out
	t.out = nil
	if err := out.Close(ctx); err != nil {
		return err
	}
	if t.a.Delete {
		if err := t.isWhole(t.dst.Lstat(ctx, t.tmp)); err != nil {
			return err
		}
	}
	if err := t.targetUnchanged(ctx, t.a); err != nil {
		return err
	}
	return t.place(ctx, t.dst, t.tmp, t.a)
}

func (t *transfer) isWhole(got remote.Attr, err error) error {
	if err == nil && got.Size != t.attr.Size {
		return remote.PathError("verify", t.a.Path, fmt.Errorf("%w: %d bytes of %d arrived", errNotWhole, got.Size, t.attr.Size))
	}
	return err
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
	if t.attr.Size > resumable && !t.useless(cause) || ends(cause) || errors.Is(cause, errNotOurs) {
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
