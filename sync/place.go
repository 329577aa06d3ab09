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

// parting bounds what is still done for a copy after the run has ended.
const parting = 5 * time.Second

// outlasting is a context for what is ended once it is begun: without a bound as long as
// ctx lives, for a link that is cut takes its time, and for parting after that.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		_ = sleep(long, parting) // ended before, or now
		cancel()
	})
	return long, func() {
		stop()
		cancel()
	}
}

// place renames what was made under a temporary name into its place. A name that
// was absent must still be; what is replaced is replaced in one step. What is begun is
// ended: a request that is executed when the run is over would replace what somebody
// has put there by then.
func (p *pass) place(ctx context.Context, dst tree, tmp string, a Action) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := outlasting(ctx)
	defer cancel()
	if a.Target.Kind == Absent {
		return ifFree(dst.Rename(ctx, tmp, a.Path, true))
	}
	err := dst.Replace(ctx, tmp, a.Path, a.Target)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return p.placeInSteps(ctx, dst, tmp, a)
	}
	return err
}

// ifFree is the outcome of a renaming to a name that nothing had when it was looked at.
func ifFree(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return errors.Join(errTargetChanged, err)
	}
	return err
}

// placeInSteps is for servers that cannot rename over a file: the old file steps
// aside under a name that restore knows, should this run die in between. It is looked at
// once more there, where nobody else writes.
func (p *pass) placeInSteps(ctx context.Context, dst tree, tmp string, a Action) error {
	dir, name := remote.Split(a.Path)
	old := remote.Join(dir, p.temp.old(name))
	err := setAside(ctx, dst, a.Path, old)
	if errors.Is(err, syscall.ENAMETOOLONG) {
		old = remote.Join(dir, p.temp.oldShort(name))
		err = setAside(ctx, dst, a.Path, old)
	}
	if err != nil {
		return err
	}
	if err = p.unchanged(ctx, a.From.Other(), old, a.Target); err == nil {
		err = ifFree(dst.Rename(ctx, tmp, a.Path, true))
	}
	if err != nil {
		return putBack(ctx, dst, old, a.Path, err)
	}
	return dst.Remove(ctx, old)
}

// makeLink copies a symbolic link, in one step also over what was there.
func (p *pass) makeLink(ctx context.Context, f *folder, a Action, target string) error {
	to := a.From.Other()
	dst := p.tree[to]
	dir, name := remote.Split(a.Path)
	tmp := remote.Join(dir, p.temp.part(name, a.Source))
	_, err := dst.Symlink(ctx, target, tmp)
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
	return p.finishLink(ctx, dst, tmp, a, target)
}

func (p *pass) finishLink(ctx context.Context, dst tree, tmp string, a Action, target string) error {
	when := p.planner.copyTime(a.From, a.Source)
	c := remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: when, Mtime: when}
	if p.Owner {
		own := a.Source.owner()
		c.Fields, c.UID, c.GID = c.Fields|own.Fields, own.UID, own.GID
	}
	// A link is what it leads to; a server that cannot set its time is no reason
	// not to have it.
	if _, err := dst.SetAttr(ctx, tmp, c); err != nil {
		p.Log.Debug("attributes of a link", "path", a.Path, "error", err)
	}
	var refused, err error
	if a.Delete {
		err = leadsTo(ctx, dst, tmp, target)
	}
	if a.Delete && p.Owner && a.Source.owns(dst.Lstat(ctx, tmp)) != nil {
		refused = errOwner // the source stays
	}
	if err == nil {
		err = p.targetUnchanged(ctx, a)
	}
	if err == nil {
		err = p.place(ctx, dst, tmp, a)
	}
	if err != nil {
		return dropTemp(ctx, dst, tmp, err)
	}
	return refused
}

// leadsTo reads the copy of a link back before its source goes: there are servers that
// make links other than they were told.
func leadsTo(ctx context.Context, t tree, path, want string) error {
	got, err := t.ReadLink(ctx, path)
	if err == nil && got != want {
		err = remote.PathError("verify", path, fmt.Errorf("%w: the link leads to %q", errNotWhole, got))
	}
	return err
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unchanged reports a name that is no longer what was planned with.
func (p *pass) unchanged(ctx context.Context, side Side, path string, want Item) error {
	now, err := p.tree[side].Lstat(ctx, path)
	if err != nil {
		return err
	}
	if changed(p.itemOf(side, now), want) {
		return errTargetChanged
	}
	return nil
}
