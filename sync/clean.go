package sync

import (
	"context"
	"slices"

	"github.com/remotemount/remotemount/pool"
)

// What dead runs have left. The pair is locked, so a temporary file of this pair
// is of a dead run; those of other pairs are left for a week.

// clean removes the temporary files of a folder, except partial copies that this
// run goes on with.
func (p *pass) clean(ctx context.Context, f *folder, l *[2]listing, actions []Action) {
	if p.DryRun || len(l[Local].temps)+len(l[Remote].temps) == 0 {
		return
	}
	wanted := p.wantedParts(actions)
	for _, side := range []Side{Local, Remote} {
		for _, temp := range l[side].temps {
			at := pool.Join(f.path, temp.Name)
			switch {
			case temp.Kind == File && wanted[side][temp.Name]:
				f.keepPartial(at)
			case p.abandoned(temp):
				p.removeTemp(ctx, f, side, at)
			}
		}
	}
}

// wantedParts are the names of partial copies that the planned copies could go on
// with.
func (p *pass) wantedParts(actions []Action) (wanted [2]map[string]bool) {
	wanted = [2]map[string]bool{{}, {}}
	for _, a := range actions {
		if a.Op != OpCopy && a.Op != OpCompare || a.Source.Size <= resumable {
			continue
		}
		_, name := pool.Split(a.Path)
		wanted[a.From.Other()][p.pair.part(name, a.Source)] = true
	}
	return wanted
}

func (p *pass) abandoned(temp Named) bool {
	if isOld(temp.Name) && p.pair.owns(temp.Name) {
		return false // restoreOld has dealt with it
	}
	return p.pair.owns(temp.Name) || temp.Mtime < p.planner.Now.Unix()-orphanAge
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

// restoreOld finds files that stepped aside for a replacement which was never
// finished, and gives them their names back. Where the replacement is there, the
// old file goes. One whose name nobody has any more is left as it is.
func (p *pass) restoreOld(ctx context.Context, f *folder, l *[2]listing) {
	if p.DryRun {
		return
	}
	for _, side := range []Side{Local, Remote} {
		for _, temp := range l[side].temps {
			if isOld(temp.Name) && p.pair.owns(temp.Name) {
				p.restore(ctx, f, l, side, temp)
			}
		}
	}
}

func (p *pass) restore(ctx context.Context, f *folder, l *[2]listing, side Side, temp Named) {
	is := func(n Named) bool { return p.pair.old(n.Name) == temp.Name }
	at := pool.Join(f.path, temp.Name)
	if slices.ContainsFunc(l[side].names, is) {
		p.removeTemp(ctx, f, side, at)
		return
	}
	i := slices.IndexFunc(l[side.Other()].names, is)
	if i < 0 {
		p.Log.Warn("left by a replacement that was not finished; rename or remove it", "side", side.String(), "path", at)
		return
	}
	name := l[side.Other()].names[i].Name
	if err := p.tree[side].Rename(ctx, at, pool.Join(f.path, name), true); err != nil {
		p.Log.Warn("the old version could not be given its name back", "path", at, "error", err)
		return
	}
	l[side].names = append(l[side].names, Named{name, temp.Item})
}
