package sync

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A folder is a pair of folders of the same path while its content is at work.
// When the last of that is done it gets its final mode and time, which making
// files in it would change again.
type folder struct {
	parent *folder // nil at the root
	path   string
	item   [2]Item // as they were listed; Absent where there was none
	side   [2]folderSide
	links  followed
	cost   int64 // taken from the budget for folders that wait
	listed time.Time

	pending atomic.Int64 // what is at work in it, itself included until listed
	deleted atomic.Int64 // sources removed from it

	asunder asunder
	commits commits

	mu    sync.Mutex
	parts map[string]string // parts to go on with, path by version; guarded by mu
}

type folderSide struct {
	making, unlocking     sync.Once
	makeErr, unlockErr    error // set in the Once of the same name
	made, unlocked, wrote atomic.Bool
}

func newFolder(parent *folder, path string, local, remote Item) *folder {
	f := &folder{parent: parent, path: path, item: [2]Item{local, remote}}
	f.pending.Store(1)
	if parent != nil {
		parent.pending.Add(1)
	}
	return f
}

// ensure makes the folder on a side where there is none.
func (f *folder) ensure(ctx context.Context, p *pass, to Side) error {
	if f.item[to].Kind == Folder {
		return nil
	}
	s := &f.side[to]
	s.making.Do(func() {
		if f.parent != nil {
			s.makeErr = f.parent.ensure(ctx, p, to)
		}
		if s.makeErr == nil {
			s.makeErr = f.make(ctx, p, to)
		}
	})
	return s.makeErr
}

func (f *folder) make(ctx context.Context, p *pass, to Side) error {
	a := Action{Op: OpFolder, Path: f.path, From: to.Other(), Source: f.item[to.Other()], Why: WhyNew}
	if !p.DryRun {
		// The mode it is to keep, from the start: who may look into it must not depend
		// on whether this run comes to its end. Where that shuts us out, unlock helps.
		perm := p.planner.perm(a.Source) & permBits
		_, err := p.tree[to].Mkdir(ctx, f.path, perm)
		if errors.Is(err, fs.ErrPermission) && f.parent != nil {
			if err = f.parent.unlock(ctx, p, to, err); err == nil {
				_, err = p.tree[to].Mkdir(ctx, f.path, perm)
			}
		}
		if err != nil {
			return err
		}
		f.parent.side[to].wrote.Store(true)
	}
	f.side[to].made.Store(true)
	p.journal.done(a, 0)
	return nil
}

// unlock lets the owner write into a folder that is read-only, until its end.
// It gives cause back when that is not what stands in the way.
func (f *folder) unlock(ctx context.Context, p *pass, side Side, cause error) error {
	perm := f.item[side].Perm
	if f.side[side].made.Load() {
		perm = p.planner.perm(f.item[side.Other()]) & permBits
	} else if f.item[side].Kind != Folder {
		return cause
	}
	if !errors.Is(cause, fs.ErrPermission) || perm&0o300 == 0o300 {
		return cause
	}
	s := &f.side[side]
	s.unlocking.Do(func() {
		err := p.tree[side].SetFolder(ctx, f.path, remote.Change{Fields: remote.SetMode, Mode: perm | 0o700})
		if s.unlockErr = err; err == nil {
			s.unlocked.Store(true)
		}
	})
	if s.unlockErr != nil {
		return cause
	}
	return nil
}

// release takes away one thing at work in the folder, and finishes it after the
// last.
func (f *folder) release(ctx context.Context, p *pass) {
	for f != nil && f.pending.Add(-1) == 0 {
		f.finish(ctx, p)
		p.letGo(f)
		p.waiting.giveBack(f.cost)
		f = f.parent
	}
}

// letGo forgets what the names of a finished folder are called on the server, but where it
// is asked about once more: for the trigger file, or by the way of a link.
func (p *pass) letGo(f *folder) {
	c, ok := p.Remote.(*composed)
	if ok && f.parent != nil && p.Links != LinksFollow && !lieInOneAnother(f.path, p.TriggerFile) {
		c.done(f.path)
	}
}

func (f *folder) finish(ctx context.Context, p *pass) {
	if p.DryRun {
		return
	}
	pruned := f.prune(ctx, p)
	for _, side := range []Side{Local, Remote} {
		c := f.final(p, side)
		if c.Fields == 0 || pruned && side == p.source() {
			continue
		}
		if f.side[side].unlocked.Load() && ctx.Err() != nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), parting)
			defer cancel()
		}
		f.set(ctx, p, side, c)
	}
}

// final is what remains to be set on one side of the folder.
func (f *folder) final(p *pass, side Side) remote.Change {
	s, have, want := &f.side[side], f.item[side], f.item[side.Other()]
	var c remote.Change
	if s.unlocked.Load() && !s.made.Load() {
		c.Fields, c.Mode = remote.SetMode, have.Perm
	}
	follows := s.made.Load() || p.Mode != TwoWay && side != p.source() && f.parent != nil &&
		have.Kind == Folder && want.Kind == Folder
	if !follows {
		return c
	}
	facts := p.planner.Facts[side]
	if p.Owner && (have.UID != want.UID || have.GID != want.GID) {
		c.Fields |= remote.SetUID | remote.SetGID
		c.UID, c.GID = want.UID, want.GID
	}
	switch perm := p.planner.perm(want); {
	case facts.NoModes:
	case s.made.Load() && !p.Owner && !s.unlocked.Load(): // it was made with it
	case s.made.Load() || c.Fields != 0 || perm != p.planner.perm(have):
		c.Fields |= remote.SetMode
		if c.Mode = perm; !p.Owner {
			c.Mode |= have.Perm & setIDBits // what its owner has set there is no part of this
		}
	}
	when := p.planner.copyTime(side.Other(), want)
	apart := p.planner.window()
	if p.planner.Facts[side.Other()].NoTimes {
		apart = max(apart, clockError)
	}
	differs := max(have.Mtime-when, when-have.Mtime) > apart
	if !facts.NoTimes && (s.made.Load() || s.wrote.Load() || differs) {
		c.Fields |= remote.SetAtime | remote.SetMtime
		c.Atime, c.Mtime = when, when
	}
	return c
}

// set is lenient about the time alone, which another owner's folder does not let
// one set.
func (f *folder) set(ctx context.Context, p *pass, side Side, c remote.Change) {
	a := Action{Op: OpAttr, Path: f.path, From: side.Other(), Source: f.item[side.Other()], Target: f.item[side], Why: WhyAlike}
	err := p.tree[side].SetFolder(ctx, f.path, c)
	timeOnly := c.Fields&^(remote.SetAtime|remote.SetMtime) == 0
	switch {
	case err != nil && timeOnly:
		p.Log.Debug("time of a folder", "path", f.path, "error", err)
	case err != nil:
		p.journal.fail(ctx, a, side, err)
	case p.planner.attrDiffers(a.Source, a.Target) && a.Target.Kind == Folder && p.Mode != TwoWay && side != p.source():
		p.journal.done(a, 0)
	}
}

// prune removes the source folder if what was removed from it left it empty, and tells
// whether that was done.
func (f *folder) prune(ctx context.Context, p *pass) bool {
	if !p.Prune || f.parent == nil || f.deleted.Load() == 0 || ctx.Err() != nil {
		return false
	}
	err := p.tree[p.source()].Rmdir(ctx, f.path)
	if err != nil && f.parent.unlock(ctx, p, p.source(), err) == nil {
		err = p.tree[p.source()].Rmdir(ctx, f.path)
	}
	switch {
	case err == nil:
		f.parent.deleted.Add(1)
		p.journal.count(func(r *Result) *int64 { return &r.Pruned }, 1)
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
	default:
		p.journal.fail(ctx, Action{Op: OpDelete, Path: f.path, From: p.source()}, p.source(), err)
	}
	return err == nil
}

// takePart gives out a part of a version once.
func (f *folder) takePart(version string) (path string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, ok = f.parts[version]
	delete(f.parts, version)
	return path, ok
}

func (f *folder) keepPart(version, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parts == nil {
		f.parts = map[string]string{}
	}
	f.parts[version] = path
}
