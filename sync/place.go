package sync

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/remotemount/remotemount/pool"
)

// place renames what was made under a temporary name into its place. A name that
// was absent must still be; what is replaced is replaced in one step.
func (p *pass) place(ctx context.Context, dst tree, tmp string, a Action) error {
	err := dst.Rename(ctx, tmp, a.Path, a.Target.Kind == Absent)
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP) && a.Target.Kind != Absent:
		return p.placeInSteps(ctx, dst, tmp, a)
	case errors.Is(err, fs.ErrExist) && a.Target.Kind == Absent:
		return errors.Join(errTargetChanged, err)
	}
	return err
}

// placeInSteps is for servers that cannot rename over a file: the old file steps
// aside under a name that restoreOld knows, should this run die in between.
func (p *pass) placeInSteps(ctx context.Context, dst tree, tmp string, a Action) error {
	dir, name := pool.Split(a.Path)
	old := pool.Join(dir, p.pair.old(name))
	if err := dst.Rename(ctx, a.Path, old, true); err != nil {
		return err
	}
	if err := dst.Rename(ctx, tmp, a.Path, true); err != nil {
		back := dst.Rename(context.WithoutCancel(ctx), old, a.Path, true)
		return errors.Join(err, back)
	}
	return dst.Remove(ctx, old)
}

// makeLink copies a symbolic link, in one step also over what was there.
func (p *pass) makeLink(ctx context.Context, f *folder, a Action) error {
	src, to := p.tree[a.From], a.From.Other()
	dst := p.tree[to]
	target, err := src.ReadLink(ctx, a.Path)
	if err != nil {
		return err
	}
	dir, name := pool.Split(a.Path)
	tmp := pool.Join(dir, p.pair.part(name, a.Source))
	_, err = dst.Symlink(ctx, target, tmp)
	switch {
	case errors.Is(err, fs.ErrPermission):
		if err = f.unlock(ctx, p, to, err); err == nil {
			_, err = dst.Symlink(ctx, target, tmp)
		}
	case errors.Is(err, fs.ErrExist):
		if err = dst.Remove(ctx, tmp); err == nil {
			_, err = dst.Symlink(ctx, target, tmp)
		}
	}
	if err != nil {
		return err
	}
	return p.finishLink(ctx, dst, tmp, a)
}

func (p *pass) finishLink(ctx context.Context, dst tree, tmp string, a Action) error {
	c := pool.Change{Fields: pool.SetAtime | pool.SetMtime, Atime: a.Source.Mtime, Mtime: a.Source.Mtime}
	if p.Owner {
		c.Fields |= pool.SetUID | pool.SetGID
		c.UID, c.GID = a.Source.UID, a.Source.GID
	}
	// A link is what it leads to; a server that cannot set its time is no reason
	// not to have it.
	if _, err := dst.SetAttr(ctx, tmp, c); err != nil {
		p.Log.Debug("attributes of a link", "path", a.Path, "error", err)
	}
	err := p.targetUnchanged(ctx, dst, a)
	if err == nil {
		err = p.place(ctx, dst, tmp, a)
	}
	if err != nil {
		return errors.Join(err, ignoreAbsent(dst.Remove(context.WithoutCancel(ctx), tmp)))
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unchanged reports a name that is no longer what was planned with.
func (p *pass) unchanged(ctx context.Context, t tree, path string, want Item) error {
	now, err := t.Lstat(ctx, path)
	if err != nil {
		return err
	}
	i := itemOf(now)
	if i.Kind != want.Kind || i.Size != want.Size || i.Mtime != want.Mtime {
		return errTargetChanged
	}
	return nil
}
