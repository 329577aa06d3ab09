package sync

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool"
)

// Servers that are a little different.

// refusing does not set times, or modes, or either.
type refusing struct {
	pool.Remote
	what string
}

func (r refusing) refuses(c pool.Change) bool {
	times, modes := c.Fields&allTimes != 0, c.Fields&pool.SetMode != 0
	return times && r.what != "modes" || modes && r.what != "times"
}

func (r refusing) SetAttr(ctx context.Context, at string, c pool.Change) (pool.Attr, error) {
	if r.refuses(c) {
		return pool.Attr{}, pool.PathError("setattr", at, syscall.EACCES)
	}
	return r.Remote.SetAttr(ctx, at, c)
}

func (r refusing) Open(ctx context.Context, at string, flag pool.OpenFlag, perm uint32) (pool.File, pool.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return refusingFile{f, r}, a, nil
}

type refusingFile struct {
	pool.File
	r refusing
}

func (f refusingFile) SetAttr(ctx context.Context, c pool.Change) (pool.Attr, error) {
	if f.r.refuses(c) {
		return pool.Attr{}, pool.PathError("setattr", "", syscall.EACCES)
	}
	return f.File.SetAttr(ctx, c)
}

// stepped keeps every other second.
type stepped struct{ pool.Remote }

func step(c pool.Change) pool.Change {
	c.Atime, c.Mtime = c.Atime&^1, c.Mtime&^1
	return c
}

func (r stepped) SetAttr(ctx context.Context, at string, c pool.Change) (pool.Attr, error) {
	return r.Remote.SetAttr(ctx, at, step(c))
}

func (r stepped) Open(ctx context.Context, at string, flag pool.OpenFlag, perm uint32) (pool.File, pool.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return steppedFile{f}, a, nil
}

type steppedFile struct{ pool.File }

func (f steppedFile) SetAttr(ctx context.Context, c pool.Change) (pool.Attr, error) {
	return f.File.SetAttr(ctx, step(c))
}

// endless has a folder in every folder.
type endless struct{ pool.Remote }

func (r endless) ReadDir(_ context.Context, _ string, emit func([]pool.Entry) error) error {
	return emit([]pool.Entry{{Name: "d", Attr: pool.Attr{Mode: unix.S_IFDIR | 0o755}}})
}
