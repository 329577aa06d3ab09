package sync

import (
	"context"
	"errors"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/remotemount/remotemount/pool/remote"
)

// Facts are what a run has found out about one side by making a file there and
// looking at it.
type Facts struct {
	Clock   bool  // Ahead is known
	Ahead   int64 // seconds by which its clock is ahead of ours
	Window  int64 // seconds by which a time that was set may come back otherwise
	NoTimes bool  // a time that is set is not kept
	NoModes bool  // permissions cannot be set, or are not kept
}

// oddTime is set on the probe: odd, so that a filesystem which keeps every other
// second shows itself.
const oddTime = 1_000_000_001

// probe makes a file in the root of a side, looks what becomes of it, and tells
// its name to seen. It is removed while the run goes on. A side of which that cannot be
// found out is taken to be like ours.
func (p *pass) probe(ctx context.Context, side Side, seen func(name string)) (Facts, error) {
	name, asked := p.temp.probe(), p.Now()
	f, made, err := p.tree[side].Open(ctx, name, remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o600)
	var facts Facts
	if err == nil {
		defer p.later.Go(func() { p.removeProbe(ctx, side, name) })
		facts.Clock, facts.Ahead = true, clockAhead(made.Mtime, asked, p.Now())
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error {
			seen(name)
			return nil
		})
		end := func() error { return f.Close(gctx) }
		try := func() error { return facts.tryAttributes(gctx, p.tree[side], name) }
		if side == Remote && p.Remote.Info().Ordered { // OpenSSH's CLOSE changes nothing that was set
			g.Go(end)
			g.Go(try)
		} else {
			g.Go(func() error {
				if err := end(); err != nil {
					return err
				}
				return try()
			})
		}
		err = g.Wait()
	}
	if err != nil && (ends(err) || ctx.Err() != nil) {
		return facts, err
	}
	if err != nil {
		p.Log.Debug("what the folder keeps cannot be found out", "side", side.String(), "error", err)
	}
	return facts, nil
}

func (p *pass) removeProbe(ctx context.Context, side Side, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), parting)
	defer cancel()
	if err := p.tree[side].Remove(ctx, name); err != nil {
		p.Log.Warn("a temporary file could not be removed", "side", side.String(), "path", name, "error", err)
	}
}

// clockAhead compares a time of a side with when it was made by our clock. What may
// be no difference is none.
func clockAhead(made int64, from, to time.Time) int64 {
	switch {
	case made > to.Unix():
		return made - to.Unix()
	case made < from.Unix():
		return made - from.Unix()
	}
	return 0
}

// tryAttributes sets time and permissions of the probe, and looks what came of it.
func (f *Facts) tryAttributes(ctx context.Context, t tree, name string) error {
	when := remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: oddTime, Mtime: oddTime}
	mode := remote.Change{Fields: remote.SetMode, Mode: 0o640}
	both := when
	both.Fields, both.Mode = both.Fields|mode.Fields, mode.Mode
	got, err := t.SetAttr(ctx, name, both)
	f.NoModes = err == nil && got.Perm()&permBits != mode.Mode
	if refusedAttribute(err) {
		got, err = insist(ctx, t, name, mode)
		f.NoModes = refusedAttribute(err) || err == nil && got.Perm()&permBits != mode.Mode
		if got, err = insist(ctx, t, name, when); refusedAttribute(err) {
			f.NoTimes = true
			return nil
		}
	}
	if err != nil {
		return err
	}
	switch off := max(got.Mtime-oddTime, oddTime-got.Mtime); {
	case off > most:
		f.NoTimes = true
	case off > 0:
		f.Window = 2
	}
	return nil
}

// insist tells a server that answers every such request with a failure, which is how
// some refuse, from one that failed once.
func insist(ctx context.Context, t tree, name string, c remote.Change) (a remote.Attr, err error) {
	for range 5 {
		if a, err = t.SetAttr(ctx, name, c); !errors.Is(err, syscall.EIO) {
			break
		}
	}
	return a, err
}

// most is the coarsest keeping of times there is: FAT's two seconds.
const most = 2

// refusedAttribute reports that a server does not do what was asked, as opposed to
// failing at it.
func refusedAttribute(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.EACCES, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EIO, syscall.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
