package sync

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/remotemount/remotemount/pool"
)

// work carries out actions until there are no more. After the end of the
// context it only lets go of them.
func (p *pass) work(ctx context.Context, tasks <-chan task) {
	for t := range tasks {
		if ctx.Err() == nil {
			p.do(ctx, t.folder, t.action)
		}
		t.folder.release(ctx, p)
		p.journal.files.Add(1)
	}
}

func (p *pass) do(ctx context.Context, f *folder, a Action) {
	if a.Op == OpCompare {
		decided, err := p.decide(ctx, a)
		if err != nil {
			p.failFile(ctx, a, err)
			return
		}
		a = decided
	}
	switch {
	case a.Op == OpSkip:
		p.journal.skip(a)
	case a.Op == OpConflict:
		p.journal.conflict(a)
	case p.DryRun || a.Op == OpNone:
		p.journal.done(a, a.Source.Size)
	default:
		p.apply(ctx, f, a)
	}
}

func (p *pass) apply(ctx context.Context, f *folder, a Action) {
	bytes, err := p.carryOut(ctx, f, a)
	if err == nil || errors.Is(err, errSourceChanged) || errors.Is(err, errRacy) {
		if a.Op == OpCopy || a.Op == OpLink {
			f.side[a.From.Other()].wrote.Store(true)
		}
		if a.Delete = a.Delete && err == nil; a.Delete {
			f.deleted.Add(1)
		}
		if a.Op != OpDelete || a.Delete {
			p.journal.done(a, bytes)
		}
	}
	switch {
	case errors.Is(err, errRacy):
		a.Why = WhySettling
		p.journal.skip(a)
	case err != nil:
		p.failFile(ctx, a, err)
	}
}

// carryOut does an action and then, if asked, removes the source, provided that
// it still is the version that was copied.
func (p *pass) carryOut(ctx context.Context, f *folder, a Action) (bytes int64, err error) {
	src, _ := p.trees(a)
	var version stamp
	switch a.Op {
	case OpCopy:
		bytes, version, err = p.copyFile(ctx, f, a)
	case OpLink:
		version, err = src.Stamp(ctx, a.Path, false)
		if err == nil {
			err = p.makeLink(ctx, f, a)
		}
	case OpAttr:
		version, err = p.copyAttr(ctx, a)
	case OpDelete:
		version, err = p.stillAlike(ctx, a)
	}
	if err == nil && a.Delete {
		err = p.removeSource(ctx, src, a, version)
	}
	return bytes, err
}

// racy is how long after its last change a remote file may change again without
// a difference in its time, which is in whole seconds.
const racy = 2 * time.Second

func (p *pass) removeSource(ctx context.Context, src tree, a Action, version stamp) error {
	now, err := src.Stamp(ctx, a.Path, false)
	if err != nil {
		return err
	}
	if now != version {
		return errSourceChanged
	}
	if a.From == Remote && p.Now().Sub(time.Unix(now.mtime, 0)).Abs() < racy {
		return errRacy
	}
	return src.Remove(ctx, a.Path)
}

// copyAttr gives the target of a file that is alike the mode, the owner and the
// time of its source.
func (p *pass) copyAttr(ctx context.Context, a Action) (stamp, error) {
	src, dst := p.trees(a)
	version, err := src.Stamp(ctx, a.Path, p.Links == LinksFollow)
	if err != nil {
		return version, err
	}
	c := pool.Change{
		Fields: pool.SetMode, Mode: p.planner.perm(a.Source),
		Atime: a.Source.Mtime, Mtime: a.Source.Mtime,
	}
	if a.Source.Mtime != a.Target.Mtime && (p.compare() == CompareHash || p.compare() == CompareMtime) {
		c.Fields |= pool.SetAtime | pool.SetMtime
	}
	if p.Owner {
		c.Fields |= pool.SetUID | pool.SetGID
		c.UID, c.GID = a.Source.UID, a.Source.GID
	}
	_, err = dst.SetAttr(ctx, a.Path, c)
	return version, err
}

// stillAlike looks once more at a source that is to be removed because an
// earlier run copied it, and has the copy forced to the disk.
func (p *pass) stillAlike(ctx context.Context, a Action) (version stamp, err error) {
	src, dst := p.trees(a)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		version, err = src.Stamp(gctx, a.Path, false)
		return err
	})
	g.Go(func() error { return p.unchanged(gctx, src, a.Path, a.Source) })
	g.Go(func() error { return p.unchanged(gctx, dst, a.Path, a.Target) })
	if a.Target.Kind == File && p.Fsync != FsyncNever {
		g.Go(func() error { return syncFile(gctx, dst, a.Path) })
	}
	return version, g.Wait()
}

func syncFile(ctx context.Context, t tree, path string) error {
	f, _, err := t.Open(ctx, path, pool.FlagRead, 0)
	if err != nil {
		return err
	}
	_, err = f.Sync(ctx)
	return errors.Join(err, f.Close(ctx))
}

// decide reads both files of an action that attributes do not settle.
func (p *pass) decide(ctx context.Context, a Action) (Action, error) {
	content := Different
	same, err := p.sameContent(ctx, a)
	if errors.Is(err, errChanged) {
		err = errTargetChanged
	}
	if same {
		content = Equal
	}
	return p.planner.Decide(a.Path, a.Item(Local), a.Item(Remote), content), err
}

func (p *pass) sameContent(ctx context.Context, a Action) (bool, error) {
	weight := 2*min(a.Source.Size, pieces*piece) + 1
	if err := p.memory.Acquire(ctx, weight); err != nil {
		return false, err
	}
	defer p.memory.Release(weight)
	var file [2]pool.File
	g, gctx := errgroup.WithContext(ctx)
	for _, side := range []Side{Local, Remote} {
		g.Go(func() (err error) {
			file[side], _, err = p.tree[side].Open(gctx, a.Path, pool.FlagRead, 0)
			return err
		})
	}
	err := g.Wait()
	for _, f := range file {
		if f != nil {
			defer func() { _ = f.Close(context.WithoutCancel(ctx)) }() // nothing was written
		}
	}
	if err != nil {
		return false, err
	}
	return p.stream.same(ctx, file[Local], file[Remote], 0, a.Source.Size)
}

// failFile tells a file that is gone from one that failed.
func (p *pass) failFile(ctx context.Context, a Action, err error) {
	src, _ := p.trees(a)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errChanged) {
		if _, gone := src.Lstat(ctx, a.Path); errors.Is(gone, fs.ErrNotExist) {
			p.journal.count(func(r *Result) *int64 { return &r.Vanished }, 1)
			return
		}
	}
	side := a.From.Other()
	var at *sideError
	if errors.As(err, &at) {
		side, err = at.side, at.err
	}
	p.journal.fail(ctx, a, side, err)
}
