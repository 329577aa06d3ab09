package sync

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/remotemount/remotemount/pool/remote"
)

// Following links. SFTP tells no inode numbers, so a link that leads back to a
// folder it lies in is known by its text: each folder knows the path it really
// is, as far as the texts of links tell. A loop through several links that
// escapes this ends at maxHops.

const maxHops = 8

type followed struct {
	real  string // the folder's own path, with links resolved
	hops  int    // links on the way to it
	child map[string]string
}

var (
	errLoop    = errors.New("the link leads back to a folder it lies in")
	errOutside = errors.New("the link leads outside")
)

// followLinks puts in place of each link what it leads to, and passes over those that
// take no part. A link that leads nowhere stays one, and is skipped by the planner.
func (p *pass) followLinks(ctx context.Context, f *folder, l *listing) {
	kept := l.names[:0]
	for _, n := range l.names {
		if n.Kind == Symlink && p.Names.KeepsAny(remote.Join(f.path, n.Name)) {
			if err := p.follow(ctx, f, &n); err != nil {
				l.failed = append(l.failed, failed{n.Name, err})
				continue
			}
		}
		kept = append(kept, n)
	}
	l.names = kept
}

func (p *pass) follow(ctx context.Context, f *folder, n *Named) error {
	side := p.source()
	src := p.tree[side]
	at := remote.Join(f.path, n.Name)
	attr, err := src.Stat(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	real, err := p.resolve(ctx, src, f.links.real, n.Name)
	if err != nil {
		return err
	}
	if attr.IsDir() {
		if err := f.enter(n.Name, real); err != nil {
			return err
		}
	}
	n.Item = p.itemOf(side, attr)
	if l, ok := src.(*localTree); ok {
		n.elsewhere = l.elsewhere(ctx, at)
	}
	return nil
}

// resolve finds where a name in a folder leads, which is known by its real path. Each
// folder on the way is looked at, as it may be a link itself. A remote lists no folder
// by the name of a link to it, and nothing outside its root is followed.
func (p *pass) resolve(ctx context.Context, src tree, dir, name string) (string, error) {
	todo := []string{name}
	for hops := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			if dir == "." {
				return "", errOutside
			}
			dir = path.Dir(dir)
			continue
		}
		at := remote.Join(dir, part)
		attr, err := src.Lstat(ctx, at)
		if err != nil {
			return "", err
		}
		if !attr.IsSymlink() {
			dir = at
			continue
		}
		if hops++; hops > maxHops {
			return "", errLoop
		}
		target, err := src.ReadLink(ctx, at)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			rest, ok := strings.CutPrefix(squeeze(target)+"/", strings.TrimSuffix(p.sourceRoot, "/")+"/")
			if !ok {
				return "", errOutside
			}
			dir, target = ".", rest
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return dir, nil
}

// enter notes where a link to a folder leads.
func (f *folder) enter(name, real string) error {
	for up := f; up != nil; up = up.parent {
		if up.links.real == real || strings.HasPrefix(up.links.real, real+"/") {
			return errLoop
		}
	}
	if f.links.hops >= maxHops {
		return errLoop
	}
	if f.links.child == nil {
		f.links.child = map[string]string{}
	}
	f.links.child[name] = real
	return nil
}

// inherit sets where a new folder really is.
func (f *folder) inherit(name string) {
	up := f.parent.links
	f.links = followed{real: path.Join(up.real, name), hops: up.hops}
	if real, ok := up.child[name]; ok {
		f.links.real, f.links.hops = real, up.hops+1
	}
}
