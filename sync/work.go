package sync

import (
	"context"
	"errors"
	"io/fs"

	"github.com/remotemount/remotemount/pool/remote"
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
	leave, err := p.alone(ctx, a)
	if err != nil {
		return // the run is over
	}
	defer leave()
	var read *comparison
	if a.Op == OpCompare {
		if read, err = p.compareFiles(ctx, a); err != nil {
			p.failFile(ctx, a, err)
			return
		}
		defer func() { read.close(ctx) }()
		a = p.plannerNow().Decide(a.Path, a.Item(Local), a.Item(Remote), read.content)
		if a.Op == OpCopy && !p.DryRun {
			p.journal.bytesTotal.Add(a.Source.Size) // beside what was compared
		}
	}
	switch {
	case a.Op == OpSkip:
		p.journal.skip(a)
	case a.Op == OpConflict:
		p.journal.conflict(a)
	case p.DryRun && a.Op != OpLink || a.Op == OpNone:
		p.journal.done(a, a.Source.Size)
	default:
		p.apply(ctx, f, a, read)
	}
}

// Done is what became of an action.
type done struct {
	bytes  int64
	made   bool // the target is as it should be
	remove bool // the source was removed
}

func (p *pass) apply(ctx context.Context, f *folder, a Action, read *comparison) {
	d, err := p.carryOut(ctx, f, a, read)
	if d.made && (a.Op == OpCopy || a.Op == OpLink) {
		f.side[a.From.Other()].wrote.Store(true)
	}
	wanted := a.Delete
	if a.Delete = d.remove; d.remove {
		f.deleted.Add(1)
		f.side[a.From].wrote.Store(true)
	}
	if d.made && (a.Op != OpDelete || d.remove) {
		p.journal.done(a, d.bytes)
	}
	switch why := leftFor(err); {
	case err == nil:
	case why != "":
		a.Op, a.Why, a.Delete = OpSkip, why, wanted
		p.journal.skip(a)
	default:
		p.failFile(ctx, a, err)
	}
}

// leftAlone says why a file that changed since the plan is left for another run.
type leftAlone Why

func (l leftAlone) Error() string { return string(l) }

// leftFor says why a file is left for the next run, where that is no failure.
func leftFor(err error) Why {
	var left leftAlone
	switch {
	case errors.As(err, &left):
		return Why(left)
	case errors.Is(err, errRacy):
		return WhyBusy
	case errors.Is(err, errInUse):
		return WhyInUse
	case errors.Is(err, errUnsafe):
		return WhyUnsafe
	}
	return ""
}

// carryOut does an action and then, if asked, removes the source.
func (p *pass) carryOut(ctx context.Context, f *folder, a Action, read *comparison) (d done, err error) {
	switch a.Op {
	case OpCopy:
		read.close(ctx) // who reads a file keeps it from being removed
		return p.copyFile(ctx, f, a)
	case OpLink:
		return p.copyLink(ctx, f, a)
	case OpAttr:
		look := p.targetUnchanged
		if a.Delete {
			look = func(ctx context.Context, a Action) error { return p.stillAlike(ctx, a, read) }
		}
		if err = look(ctx, a); err == nil {
			err = p.copyAttr(ctx, a)
		}
	case OpDelete:
		err = p.stillAlike(ctx, a, read)
	}
	if d.made = err == nil; d.made && a.Delete {
		proved := proof{link: a.Source.Link}
		if read != nil {
			proved.in, proved.version = read.in(a.From), read.version[a.From]
		} else if proved.version, err = p.tree[a.From].Stamp(ctx, a.Path, false); err != nil {
			return d, onSide(a.From, err)
		}
		err = p.removeSource(ctx, f, a, proved)
		d.remove = err == nil
	}
	return d, err
}

func (p *pass) copyLink(ctx context.Context, f *folder, a Action) (d done, err error) {
	src := p.tree[a.From]
	proved := proof{}
	if proved.version, err = src.Stamp(ctx, a.Path, false); err != nil {
		return d, onSide(a.From, err)
	}
	if proved.link, err = src.ReadLink(ctx, a.Path); err != nil {
		return d, onSide(a.From, err)
	}
	if p.unsafe(a, proved.link) {
		return d, errUnsafe
	}
	if p.DryRun {
		d.made, d.remove = true, a.Delete
		return d, nil
	}
	err = p.makeLink(ctx, f, a, proved.link)
	if d.made = err == nil || errors.Is(err, errOwner); err == nil && a.Delete {
		err = p.removeSource(ctx, f, a, proved)
		d.remove = err == nil
	}
	return d, err
}

// copyAttr gives the target of a file that is alike the mode, the owner and the
// time of its source.
func (p *pass) copyAttr(ctx context.Context, a Action) error {
	dst, when := a.From.Other(), p.planner.copyTime(a.From, a.Source)
	c := remote.Change{Fields: remote.SetMode, Mode: p.planner.perm(a.Source), Atime: when, Mtime: when}
	if p.planner.Facts[dst].NoModes {
		c.Fields = 0
	}
	if a.Source.Mtime != a.Target.Mtime && !p.planner.Facts[dst].NoTimes && (p.compare() == CompareHash || p.compare() == CompareMtime) {
		c.Fields |= remote.SetAtime | remote.SetMtime
	}
	if p.Owner { // before the mode: set-id bits are the owner's
		if err := a.Source.owns(p.tree[dst].SetAttr(ctx, a.Path, a.Source.owner())); err != nil {
			return err
		}
	}
	if c.Fields == 0 {
		return nil
	}
	_, err := p.tree[dst].SetAttr(ctx, a.Path, c)
	return err
}

// failFile tells a file that is gone from one that failed.
func (p *pass) failFile(ctx context.Context, a Action, err error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errChanged) {
		if _, gone := p.tree[a.From].Lstat(ctx, a.Path); errors.Is(gone, fs.ErrNotExist) {
			p.journal.vanished()
			return
		}
	}
	p.journal.fail(ctx, a, sideOf(err, a.From.Other()), err)
}
