package sync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/remotemount/remotemount/pool/remote"
)

// What dead runs have left. The pair is locked, so a temporary file of this pair's
// owner that is not of this run is of a dead one. Those of others are left for a
// week.

// clean removes the temporary files of a folder, except parts that this run goes on
// with.
func (p *pass) clean(ctx context.Context, f *folder, l *[2]listing, actions iter.Seq[Action]) {
	if p.DryRun || len(l[Local].temps)+len(l[Remote].temps) == 0 {
		return
	}
	wanted := p.wantedParts(actions)
	for _, side := range []Side{Local, Remote} {
		for _, t := range l[side].temps {
			at := remote.Join(f.path, t.Name)
			switch {
			case t.isAside() || !p.abandoned(t):
			case t.kind == partKind && t.Kind == File && t.owner == p.temp.owner && wanted[side][t.hash]:
				f.keepPart(t.hash, at)
				delete(wanted[side], t.hash)
			default:
				p.removeTemp(ctx, f, side, at)
			}
		}
	}
}

// wantedParts are the versions of which a part could be gone on with.
func (p *pass) wantedParts(actions iter.Seq[Action]) (wanted [2]map[string]bool) {
	wanted = [2]map[string]bool{{}, {}}
	for a := range actions {
		if a.Op != OpCopy && a.Op != OpCompare || a.Source.Size <= resumable {
			continue
		}
		_, name := remote.Split(a.Path)
		wanted[a.From.Other()][versionHash(name, a.Source)] = true
	}
	return wanted
}

// abandoned reports that the run which made a temporary file is over.
func (p *pass) abandoned(t temp) bool {
	if t.owner == p.temp.owner {
		return t.run != p.temp.run
	}
	return t.began < p.planner.Now.Unix()-orphanAge
}

func (p *pass) removeTemp(ctx context.Context, f *folder, side Side, at string) {
	t := p.tree[side]
	err := t.Remove(ctx, at)
	if err != nil && f.unlock(ctx, p, side, err) == nil {
		err = t.Remove(ctx, at)
	}
	if err != nil {
		p.Log.Warn("a temporary file could not be removed", "side", side.String(), "path", at, "error", err)
		return
	}
	f.side[side].wrote.Store(true)
	p.journal.count(func(r *Result) *int64 { return &r.Cleaned }, 1)
}

// restore gives the files that a dead run has set aside their names back.
func (p *pass) restore(ctx context.Context, f *folder, l *[2]listing) {
	if p.DryRun {
		return
	}
	for _, side := range []Side{Local, Remote} {
		for _, t := range l[side].temps {
			if t.isAside() && p.abandoned(t) {
				p.giveBack(ctx, f, l, side, t)
			}
		}
	}
}

var errAside = errors.New("a run that died has set this file aside, and another has its name now; look at both, and rename or remove one")

func (p *pass) giveBack(ctx context.Context, f *folder, l *[2]listing, side Side, t temp) {
	at := remote.Join(f.path, t.Name)
	had := func(n Named) bool { return t.had(n.Name) }
	here, there := slices.IndexFunc(l[side].names, had), slices.IndexFunc(l[side.Other()].names, had)
	name := t.clear
	if name == "" && there >= 0 {
		name = l[side.Other()].names[there].Name
	}
	var err error
	switch {
	case here >= 0 && t.kind == oldKind && there >= 0 && p.replaced(side, l[side].names[here], l[side.Other()].names[there]):
		p.removeTemp(ctx, f, side, at)
		return
	case here >= 0:
		err = errAside
	case name == "":
		err = fmt.Errorf("%w: its name is not known any more", errAside)
	default:
		err = p.tree[side].Rename(ctx, at, remote.Join(f.path, name), true)
		if err != nil && f.unlock(ctx, p, side, err) == nil {
			err = p.tree[side].Rename(ctx, at, remote.Join(f.path, name), true)
		}
	}
	if err != nil {
		p.journal.fail(ctx, Action{Op: OpSkip, Path: at, From: side}, side, err)
		return
	}
	f.side[side].wrote.Store(true)
	if p.takesPart(side, remote.Join(f.path, name), t.Item) {
		l[side].names = append(l[side].names, Named{name, t.Item})
	}
}

// replaced reports that the replacement for which a target stepped aside is there, as far
// as both sides keep times.
func (p *pass) replaced(side Side, target, source Named) bool {
	item := [2]Item{}
	item[side], item[side.Other()] = target.Item, source.Item
	return target.Kind == source.Kind && target.Size == source.Size && p.planner.sameTime(item[Local], item[Remote])
}
