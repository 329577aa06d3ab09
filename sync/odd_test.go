package sync

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// Servers that are a little different.

// refusing does not set times, or modes, or either.
type refusing struct {
	remote.Remote
	what string
}

func (r refusing) refuses(c remote.Change) bool {
	times, modes := c.Fields&allTimes != 0, c.Fields&remote.SetMode != 0
	return times && r.what != "modes" || modes && r.what != "times"
}

func (r refusing) SetAttr(ctx context.Context, at string, c remote.Change) (remote.Attr, error) {
	if r.refuses(c) {
		return remote.Attr{}, remote.PathError("setattr", at, syscall.EACCES)
	}
	return r.Remote.SetAttr(ctx, at, c)
}

func (r refusing) Open(ctx context.Context, at string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return refusingFile{f, r}, a, nil
}

type refusingFile struct {
	remote.File
	r refusing
}

func (f refusingFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	if f.r.refuses(c) {
		return remote.Attr{}, remote.PathError("setattr", "", syscall.EACCES)
	}
	return f.File.SetAttr(ctx, c)
}

// stepped keeps every other second.
type stepped struct{ remote.Remote }

func step(c remote.Change) remote.Change {
	c.Atime, c.Mtime = c.Atime&^1, c.Mtime&^1
	return c
}

func (r stepped) SetAttr(ctx context.Context, at string, c remote.Change) (remote.Attr, error) {
	return r.Remote.SetAttr(ctx, at, step(c))
}

func (r stepped) Open(ctx context.Context, at string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return steppedFile{f}, a, nil
}

type steppedFile struct{ remote.File }

func (f steppedFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	return f.File.SetAttr(ctx, step(c))
}

// endless has a folder in every folder.
type endless struct{ remote.Remote }

func (r endless) ReadDir(_ context.Context, _ string, emit func([]remote.Entry) error) error {
	return emit([]remote.Entry{{Name: "d", Attr: remote.Attr{Mode: unix.S_IFDIR | 0o755}}})
}

// shortNames is a server without posix-rename, on a filesystem of short names.
type shortNames struct{ remote.Remote }

func (r shortNames) Rename(ctx context.Context, from, to string, noReplace bool) error {
	if _, err := r.Lstat(ctx, to); !noReplace && err == nil {
		return remote.PathError("rename", from, syscall.EOPNOTSUPP)
	}
	if len(to) > 143 {
		return remote.PathError("rename", to, syscall.ENAMETOOLONG)
	}
	return r.Remote.Rename(ctx, from, to, noReplace)
}

// ownerless does not let the owner be changed.
type ownerless struct{ remote.Remote }

func (r ownerless) SetAttr(ctx context.Context, at string, c remote.Change) (remote.Attr, error) {
	return ownerlessFile{}.set(c, func(c remote.Change) (remote.Attr, error) { return r.Remote.SetAttr(ctx, at, c) })
}

func (r ownerless) Open(ctx context.Context, at string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return ownerlessFile{f}, a, nil
}

type ownerlessFile struct{ remote.File }

func (f ownerlessFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	return f.set(c, func(c remote.Change) (remote.Attr, error) { return f.File.SetAttr(ctx, c) })
}

// set does the rest of what is asked for, as OpenSSH's server does.
func (ownerlessFile) set(c remote.Change, to func(remote.Change) (remote.Attr, error)) (remote.Attr, error) {
	if c.Fields&remote.SetUID == 0 {
		return to(c)
	}
	if c.Fields &^= remote.SetUID | remote.SetGID; c.Fields != 0 {
		if a, err := to(c); err != nil {
			return a, err
		}
	}
	return remote.Attr{}, remote.PathError("setattr", "", syscall.EPERM)
}

// modeless takes modes and keeps its own, as a server on a filesystem without them.
type modeless struct{ remote.Remote }

func (r modeless) SetAttr(ctx context.Context, at string, c remote.Change) (remote.Attr, error) {
	c.Fields &^= remote.SetMode
	return r.Remote.SetAttr(ctx, at, c)
}

func (r modeless) Open(ctx context.Context, at string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, 0o666)
	if err != nil {
		return nil, a, err
	}
	return modelessFile{f}, a, nil
}

type modelessFile struct{ remote.File }

func (f modelessFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	c.Fields &^= remote.SetMode
	return f.File.SetAttr(ctx, c)
}
