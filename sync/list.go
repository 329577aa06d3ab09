package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/remotemount/remotemount/pool/remote"
)

// A listing is one side of a folder.
type listing struct {
	names  []Named
	failed []failed // names that could not be looked at
	temps  []temp   // temporary files of this or another run
	bad    []string // names that no file can have
	cost   int64    // taken from the budget for names
}

// A failed name is one of which is not known what it stands for.
type failed struct {
	name string
	err  error
}

// linkReads bounds the links of one folder that are read at once.
const linkReads = 16

// deepest is how many folders may lie in one another. A server can make up a tree
// without an end.
const deepest = 512

var errTooDeep = fmt.Errorf("more than %d folders in one another: %w", deepest, syscall.ELOOP)

// list reads both sides of a folder at the same time.
func (p *pass) list(ctx context.Context, f *folder, l *[2]listing) error {
	if strings.Count(f.path, "/") >= deepest {
		return onSide(p.source(), errTooDeep)
	}
	target := p.source().Other()
	err := p.listBoth(ctx, f, l)
	if p.Mode != TwoWay && sideOf(err, p.source()) == target && errors.Is(err, syscall.EACCES) {
		// A drop box: it may be written, and its names looked at, but not listed.
		p.drop(l)
		if err = p.listSide(ctx, f, p.source(), &l[p.source()]); err == nil {
			err = p.lookUp(ctx, f, target, l)
		}
	}
	return err
}

// keptRoom is how many names a walker keeps the room for, on each side.
const keptRoom = 4096

// drop forgets a folder's listings.
func (p *pass) drop(l *[2]listing) {
	for side := range l {
		p.names.giveBack(l[side].cost)
		room := l[side].names
		if cap(room) > keptRoom {
			room = nil
		}
		clear(room[:cap(room)])
		l[side] = listing{names: room[:0]}
	}
}

// lookUp finds what a side that cannot be listed has of the other side's names.
func (p *pass) lookUp(ctx context.Context, f *folder, side Side, l *[2]listing) error {
	names := l[side.Other()].names
	found, failures := make([]Item, len(names)), make([]error, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(linkReads)
	for i, n := range names {
		g.Go(func() error {
			a, err := p.tree[side].Lstat(gctx, remote.Join(f.path, n.Name))
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err == nil:
				found[i] = p.itemOf(side, a)
			case ends(err) || gctx.Err() != nil:
				return onSide(side, err)
			default:
				failures[i] = err
			}
			return nil
		})
	}
	err := g.Wait()
	for i, n := range names {
		if found[i].Kind != Absent || failures[i] != nil {
			l[side].add(Named{n.Name, found[i]}, failures[i])
		}
	}
	return err
}

func (p *pass) listBoth(ctx context.Context, f *folder, l *[2]listing) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, side := range []Side{Local, Remote} {
		if f.item[side].Kind != Folder {
			continue
		}
		g.Go(func() error { return p.listSide(gctx, f, side, &l[side]) })
	}
	return g.Wait()
}

func (p *pass) listSide(ctx context.Context, f *folder, side Side, l *listing) error {
	at := f.path
	if p.Links == LinksFollow && side == p.source() {
		at = f.links.real
	}
	list := func(emit emitName) error { return p.tree[side].List(ctx, at, emit) }
	if side == Remote && f.parent == nil && p.early != nil {
		list, p.early = p.early.rest, nil
	}
	err := list(func(n Named, why error) error {
		cost := int64(nameCost + len(n.Name))
		if err := p.names.take(cost, l.cost); err != nil {
			return err
		}
		l.cost += cost
		n.Mtime = readTime(n.Mtime, p.planner.now(side))
		l.add(n, why)
		return nil
	})
	if err != nil {
		return onSide(side, err)
	}
	if c, ok := p.Remote.(*composed); ok && side == Remote && at != f.path {
		c.follow(f.path, at)
	}
	if p.Links == LinksFollow && side == p.source() {
		p.followLinks(ctx, f, l)
	}
	l.names = slices.DeleteFunc(l.names, func(n Named) bool {
		return !p.takesPart(side, remote.Join(f.path, n.Name), n.Item)
	})
	return nil
}

// An early listing is that of the remote folder itself, which is begun while the run
// finds out about the sides.
type early struct {
	names chan Named
	err   error // set before names is closed
}

func (p *pass) listEarly(ctx context.Context) {
	e := &early{names: make(chan Named, 128)}
	p.early = e
	p.later.Go(func() {
		defer close(e.names)
		e.err = p.tree[Remote].List(ctx, ".", func(n Named, _ error) error {
			select {
			case e.names <- n:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
}

// rest hands on what has come and what comes: a server's names come with what they are.
func (e *early) rest(emit emitName) error {
	for n := range e.names {
		if err := emit(n, nil); err != nil {
			return err
		}
	}
	return e.err
}

// takesPart reports whether a name takes part in the sync.
func (p *pass) takesPart(side Side, at string, i Item) bool {
	return at != p.within[side] && !(at == p.TriggerFile && isTrigger(i)) && p.Names.Keeps(at, i.Kind == Folder)
}

func (l *listing) add(n Named, why error) {
	if !possible(n.Name) {
		l.bad = append(l.bad, n.Name)
		return
	}
	if why != nil {
		l.failed = append(l.failed, failed{n.Name, why})
		return
	}
	if mountNames.MatchString(n.Name) {
		return
	}
	if t, ok := parseTemp(n); ok {
		l.temps = append(l.temps, t)
		return
	}
	l.names = append(l.names, n)
}

// possible reports whether a name can be a file's: a hostile server may send
// others.
func possible(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// A sideError says on which side something failed.
type sideError struct {
	side Side
	err  error
}

func (e *sideError) Error() string { return e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

// onSide is err with the side it happened on, unless that is known already.
func onSide(side Side, err error) error {
	var known *sideError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &sideError{side, err}
}

// sideOf is the side that an error happened on, or else the one given.
func sideOf(err error, otherwise Side) Side {
	var known *sideError
	if errors.As(err, &known) {
		return known.side
	}
	return otherwise
}

// readLinks finds where the links lead that both sides have under one name. Any
// other link is read when it is copied.
func (p *pass) readLinks(ctx context.Context, f *folder, l *[2]listing) error {
	both := map[string]int{}
	for _, side := range l {
		for _, n := range side.names {
			if n.Kind == Symlink {
				both[n.Name]++
			}
		}
	}
	var mu sync.Mutex // guards what failed
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(linkReads)
	for side := range l {
		for i := range l[side].names {
			n := &l[side].names[i]
			if n.Kind != Symlink || both[n.Name] != 2 {
				continue
			}
			g.Go(func() (err error) {
				n.Link, err = p.tree[side].ReadLink(gctx, remote.Join(f.path, n.Name))
				if ends(err) || gctx.Err() != nil {
					return onSide(Side(side), err)
				}
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					l[side].failed = append(l[side].failed, failed{n.Name, err})
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// leaveOut tells the names that could not be looked at, and drops them on both sides: the
// others of their folder are no worse for them.
func (p *pass) leaveOut(ctx context.Context, f *folder, l *[2]listing) {
	out := map[string]bool{}
	for _, side := range []Side{Local, Remote} {
		for _, n := range l[side].failed {
			at := remote.Join(f.path, n.name)
			switch {
			case out[n.name]:
			case errors.Is(n.err, fs.ErrNotExist):
				p.journal.vanished()
			case at != p.within[side] && p.Names.Keeps(at, true) && p.Names.Keeps(at, false): // what it is is not known
				p.journal.fail(ctx, Action{Op: OpSkip, Path: at, From: side}, side, n.err)
			}
			out[n.name] = true
		}
	}
	without(l, out)
}

// without takes names out of both listings.
func without(l *[2]listing, out map[string]bool) {
	for side := range l {
		if len(out) > 0 {
			l[side].names = slices.DeleteFunc(l[side].names, func(n Named) bool { return out[n.Name] })
		}
	}
}

var errBadName = fmt.Errorf("refused, no file can have this name: %w", syscall.EINVAL)

// refuse reports the names that cannot be.
func (p *pass) refuse(ctx context.Context, f *folder, l *[2]listing) {
	for _, side := range []Side{Local, Remote} {
		for _, name := range l[side].bad {
			a := Action{Op: OpSkip, Path: remote.Join(f.path, name), From: side}
			p.journal.fail(ctx, a, side, errBadName)
		}
	}
}

// failFolder reports an error about a folder. One that is gone from its source meanwhile is
// no failure, as with files; the roots are looked at in the end.
func (p *pass) failFolder(ctx context.Context, f *folder, side Side, err error) {
	side = sideOf(err, side)
	if errors.Is(err, fs.ErrNotExist) && f.parent != nil && f.item[side].Kind == Folder && (p.Mode == TwoWay || side == p.source()) {
		p.journal.vanished()
		return
	}
	p.journal.fail(ctx, Action{Op: OpFolder, Path: f.path, From: p.source(), Source: f.item[p.source()], Target: f.item[p.source().Other()]}, side, err)
}
