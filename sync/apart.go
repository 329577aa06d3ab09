package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/remotemount/remotemount/pool/remote"
)

// Source and target may be one folder, or lie in one another, without anything
// telling: through a mount, a bind mount, a link on the server, or because the
// server is this machine. So a name that is made on one side is looked for on the
// other, in its root, in every folder above that, and where the first root would be
// below it.

// ErrOverlap says that the two folders are one, or lie in one another.
var ErrOverlap = errors.New("the local and the remote folder are one, or lie in one another")

// survey finds out about the sides that the run writes to, and whether they are
// apart.
func (p *pass) survey(ctx context.Context) error {
	if p.LocalOnRemote != "" && lieInOneAnother(p.LocalOnRemote, p.rootPath[Remote]) {
		if err := p.overlap(); err != nil {
			return err
		}
	}
	if p.DryRun {
		return nil
	}
	for _, side := range []Side{Local, Remote} {
		if side == p.source() && p.Mode != TwoWay && !p.Delete {
			continue // only read
		}
		overlap := false
		facts, err := p.probe(ctx, side, func(name string) { overlap = p.meets(ctx, side, name) })
		if err != nil {
			return fmt.Errorf("%s folder: %w", side, err)
		}
		p.planner.Facts[side] = facts
		if overlap {
			if err := p.overlap(); err != nil {
				return err
			}
		}
	}
	return nil
}

// overlap refuses a run that removes, and warns of any other.
func (p *pass) overlap() error {
	if p.Delete {
		return fmt.Errorf("%w: %w, and sources are to be removed", ErrUsage, ErrOverlap)
	}
	p.Log.Warn(ErrOverlap.Error(), "local", p.Local, "remote", p.rootPath[Remote])
	return nil
}

func lieInOneAnother(a, b string) bool {
	a, b = strings.TrimSuffix(a, "/")+"/", strings.TrimSuffix(b, "/")+"/"
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// meets reports whether a name that was made in the root of a side is found from
// the other, and keeps in mind which of its folders is the first side's root, which
// the walk then leaves alone.
func (p *pass) meets(ctx context.Context, side Side, name string) bool {
	mine, theirs := p.rootPath[side], p.rootPath[side.Other()]
	ups, downs := ancestors(theirs), suffixes(mine)
	found := make([]bool, len(ups)+len(downs))
	g, gctx := errgroup.WithContext(ctx)
	for i, at := range append(append([]string{}, ups...), downs...) {
		g.Go(func() error {
			found[i] = p.exists(gctx, side.Other(), remote.Join(at, name))
			return nil
		})
	}
	_ = g.Wait() // none gives an error
	met := false
	for i := range found {
		if !found[i] {
			continue
		}
		met = true
		if i > 0 && i < len(ups) { // the other root lies in this one
			p.within[side] = lastOf(theirs, i)
		} else if i >= len(ups) { // this root lies in the other
			p.within[side.Other()] = downs[i-len(ups)]
		}
	}
	return met
}

// exists looks at a path that may lie above the root.
func (p *pass) exists(ctx context.Context, side Side, path string) bool {
	if side == Local {
		_, err := os.Lstat(filepath.Join(p.rootPath[Local], path))
		return err == nil
	}
	_, err := p.Remote.Lstat(ctx, path)
	return err == nil
}

// ancestors are the ways from a root to it and to the folders above it.
func ancestors(root string) []string {
	ups, up := []string{"."}, ".."
	for range strings.Count(strings.Trim(root, "/"), "/") + 1 {
		ups = append(ups, up)
		up += "/.."
	}
	return ups
}

// suffixes are the ends of a path, the longest last.
func suffixes(root string) (all []string) {
	parts := strings.Split(strings.Trim(root, "/"), "/")
	for n := 1; n <= len(parts); n++ {
		all = append(all, strings.Join(parts[len(parts)-n:], "/"))
	}
	return all
}

// lastOf is the end of a path, n elements long.
func lastOf(root string, n int) string {
	parts := strings.Split(strings.Trim(root, "/"), "/")
	return strings.Join(parts[max(0, len(parts)-n):], "/")
}

// An asunder is what a folder remembers of having been looked at before something
// was removed from it.
type asunder struct {
	once sync.Once
	err  error // set in once
}

// apart makes sure, before the first source is removed from a folder, that it is not
// the folder of the other side by another way. The name is made locally: what is
// made there through a mount is on its server at once, while the mount may go on
// for a while not to see what the server has.
func (f *folder) apart(ctx context.Context, p *pass) error {
	f.asunder.once.Do(func() { f.asunder.err = f.lookApart(ctx, p) })
	return f.asunder.err
}

func (f *folder) lookApart(ctx context.Context, p *pass) error {
	err := f.lookFrom(ctx, p, Local)
	if (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) && p.onRootsDisk(ctx, f) {
		return f.lookFrom(ctx, p, Remote) // a folder that is full must be emptied all the same
	}
	return err
}

// onRootsDisk reports that a local folder is on the filesystem of the root and that no
// network's, and so no mount of the server's.
func (p *pass) onRootsDisk(ctx context.Context, f *folder) bool {
	here, err := p.tree[Local].Stamp(ctx, f.path, false)
	root, rootErr := p.tree[Local].Stamp(ctx, ".", false)
	return !p.foreign[Local] && err == nil && rootErr == nil && here.dev == root.dev
}

// lookFrom makes a name on a side, which the other must not have then.
func (f *folder) lookFrom(ctx context.Context, p *pass, side Side) error {
	at := remote.Join(f.path, p.temp.probe())
	if err := f.makeEmpty(ctx, p, side, at, 0o600); err != nil {
		return onSide(side, err)
	}
	_, err := p.tree[side.Other()].Lstat(ctx, at)
	err = onSide(side.Other(), foundNone(err))
	return errors.Join(err, onSide(side, p.tree[side].Remove(context.WithoutCancel(ctx), at)))
}

// makeEmpty makes an empty file in the folder, and opens that up for it if need be.
func (f *folder) makeEmpty(ctx context.Context, p *pass, side Side, at string, perm uint32) error {
	open := func() (remote.File, error) {
		file, _, err := p.tree[side].Open(ctx, at, remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, perm)
		return file, err
	}
	file, err := open()
	if errors.Is(err, fs.ErrPermission) && f.unlock(ctx, p, side, err) == nil {
		file, err = open()
	}
	if err != nil {
		return err
	}
	f.side[side].wrote.Store(true)
	if err := file.Close(ctx); err != nil {
		return errors.Join(err, ignoreAbsent(p.tree[side].Remove(context.WithoutCancel(ctx), at)))
	}
	return nil
}

// foundNone makes an error of having found what should not be there.
func foundNone(err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("nothing is removed: %w", ErrOverlap)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}
