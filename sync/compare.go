package sync

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/remotemount/remotemount/pool/remote"
)

// A comparison is two files that were read to the end, and are still open.
type comparison struct {
	content Content
	file    [2]remote.File
	version [2]stamp // of what was read
}

// in is the file of a side as it was read.
func (c *comparison) in(s Side) remote.File { return c.file[s] }

// close is nil-safe, and does nothing the second time.
func (c *comparison) close(ctx context.Context) {
	if c == nil {
		return
	}
	for side, f := range c.file {
		if f != nil {
			_ = f.Close(context.WithoutCancel(ctx)) // nothing was written
			c.file[side] = nil
		}
	}
}

// compareFiles reads both files of an action that attributes do not settle.
func (p *pass) compareFiles(ctx context.Context, a Action) (*comparison, error) {
	if p.Delete && !p.DryRun {
		if err := p.over(ctx, a.From, a.Source.Mtime, time.Now()); err != nil {
			return nil, err
		}
	}
	weight := 2*min(a.Source.Size, pieces*piece) + 1
	if err := p.memory.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	defer p.memory.Release(weight)
	c := &comparison{}
	err := p.openBoth(ctx, a, c)
	same := false
	if err == nil {
		s, told := p.stream, atomic.Int64{}
		s.moved = func(n int64) { told.Add(n); p.journal.bytes.Add(n) }
		same, err = s.same(ctx, end{c.file[Local], Local}, end{c.file[Remote], Remote}, 0, a.Source.Size)
		p.journal.bytes.Add(a.Source.Size - told.Load()) // what need not be read is done with, too
	}
	if err == nil && p.Delete {
		err = p.wasRead(ctx, end{c.in(a.From), a.From}, a.Source)
	}
	if err != nil {
		c.close(ctx)
		return nil, err
	}
	if c.content = Different; same {
		c.content = Equal
	}
	return c, nil
}

func (p *pass) openBoth(ctx context.Context, a Action, c *comparison) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, side := range []Side{Local, Remote} {
		g.Go(func() (err error) {
			var attr remote.Attr
			if c.file[side], attr, err = p.tree[side].Open(gctx, a.Path, p.readFlags(), 0); err == nil {
				c.version[side], err = fileStamp(c.file[side], attr)
			}
			if err == nil && changedSince(p.itemOf(side, attr), a.Item(side)) {
				err = map[bool]error{true: errChanged, false: errTargetChanged}[side == a.From]
			}
			return onSide(side, err)
		})
	}
	return g.Wait()
}

// wasRead makes sure that all of a file that is to be removed was read, and of this
// version: a server may have told that by the path, which another file has got while this
// one was opened.
func (p *pass) wasRead(ctx context.Context, f end, want Item) error {
	if err := ended(ctx, f, want.Size); err != nil {
		return err
	}
	now, err := f.Stat(remote.Fresh(ctx))
	if errors.Is(err, syscall.ESTALE) || err == nil && changedSince(p.itemOf(f.side, now), want) {
		err = errChanged
	}
	return onSide(f.side, err)
}

// changedSince reports that a file is not the version that was planned with, and for
// whose second was waited.
func changedSince(now, planned Item) bool {
	return now.Size != planned.Size || now.Mtime != planned.Mtime
}

// stillAlike makes sure of the copy of a source that is to be removed because both
// are alike: it still is what was compared, and on the disk.
func (p *pass) stillAlike(ctx context.Context, a Action, read *comparison) error {
	to := a.From.Other()
	if read == nil { // links
		return firstError(p.unchanged(ctx, to, a.Path, a.Target), leadsTo(ctx, p.tree[to], a.Path, a.Source.Link))
	}
	now, err := p.tree[to].Stamp(ctx, a.Path, false)
	if err == nil && now != read.version[to] {
		err = errTargetChanged
	}
	if err == nil && p.Fsync != FsyncNever {
		_, err = read.file[to].Sync(ctx)
	}
	return err
}

var errDiffer = errors.New("contents differ")
