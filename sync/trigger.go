package sync

import (
	"context"
	"errors"
	"io/fs"

	"github.com/remotemount/remotemount/pool/remote"
)

var errNoTrigger = errors.New("something that is no empty file has this name; give another one")

// isTrigger reports whether something may be a trigger file: one that a run made is
// empty. Anything else takes part in the sync, and is not replaced.
func isTrigger(i Item) bool { return i.Kind == File && i.Size == 0 }

// trigger makes the empty file that tells others that all is there, anew each time.
func (p *pass) trigger(ctx context.Context) error {
	if _, err := p.oldTrigger(ctx); err != nil {
		return err
	}
	to := p.source().Other()
	dir, name := remote.Split(p.TriggerFile)
	attr, err := p.tree[to].Stat(ctx, dir)
	if err != nil {
		return err
	}
	f := newFolder(nil, dir, p.itemOf(to, attr), p.itemOf(to, attr))
	defer f.finish(ctx, p)
	tmp := remote.Join(dir, p.temp.part(name, Item{}))
	if err := f.makeEmpty(ctx, p, to, tmp, 0o644); err != nil {
		return err
	}
	a := Action{Path: p.TriggerFile, From: p.source()}
	if a.Target, err = p.oldTrigger(ctx); err == nil {
		err = p.place(ctx, p.tree[to], tmp, a)
	}
	if err != nil {
		return dropTemp(ctx, p.tree[to], tmp, err)
	}
	return nil
}

// oldTrigger is the trigger file that is there, if any.
func (p *pass) oldTrigger(ctx context.Context) (Item, error) {
	to := p.source().Other()
	there, err := p.tree[to].Lstat(ctx, p.TriggerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Item{}, nil
	}
	if err == nil && !isTrigger(itemOf(there)) {
		err = remote.PathError("make", p.TriggerFile, errNoTrigger)
	}
	return p.itemOf(to, there), err
}
