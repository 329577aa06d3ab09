package pool

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// thenLook waits for a request and describes path afterwards, in one flight
// where the server keeps order.
func (p *Pool) thenLook(ctx context.Context, s *session, request *sftp3.Call, path string) (remote.Attr, error) {
	var look *sftp3.Call
	if s.ordered {
		look = s.client.StartLstat(p.abs(path))
	}
	if err := request.WaitStatus(ctx); err != nil {
		if look != nil {
			look.Forget()
		}
		return remote.Attr{}, err
	}
	if look == nil {
		a, err := p.lstatOn(ctx, s, path)
		return a, behindDone(err)
	}
	w, err := look.WaitAttrs(ctx)
	return s.attr(w), behindDone(err)
}

// behindDone is the error of a question behind a request that was executed: that it was
// not sent says nothing of that one.
func behindDone(err error) error {
	if errors.Is(err, sftp3.ErrUnsent) {
		return fmt.Errorf("%w, behind a request that was executed", sftp3.ErrLost)
	}
	return err
}

// maker is a request that makes a name.
type maker struct {
	path    string
	of      []string // other names that have to do with it
	request func(*session) *sftp3.Call
	// ours reports whether what is there now is what the request would have made.
	ours func(context.Context, *session, remote.Attr) bool
	over func() // notes that it was made, beside its name
}

// makeName sends a maker's request; when an answer was lost it looks whether
// the name was made, also after a second try that found it there: the first may
// have been executed in between.
func (p *Pool) makeName(ctx context.Context, m maker) (remote.Attr, error) {
	var a remote.Attr
	err := p.name(ctx, &naming{
		paths: append(m.of, m.path),
		try: func(ctx context.Context, s *session, _ bool) (err error) {
			request := m.request(s)
			if request == nil {
				return syscall.EOPNOTSUPP
			}
			a, err = p.thenLook(ctx, s, request, m.path)
			return err
		},
		made: func(ctx context.Context, s *session) (bool, error) {
			now, err := p.lstatOn(ctx, s, m.path)
			switch {
			case unanswered(err):
				return false, err
			case err != nil || !m.ours(ctx, s, now) || !p.files.known.claim(m.path):
				return false, nil
			}
			a = now
			return true, nil
		},
		over: func(made bool) {
			if !made {
				return
			}
			p.files.known.note(m.path)
			if m.over != nil {
				m.over()
			}
		},
	})
	if err != nil {
		return remote.Attr{}, err
	}
	return a, nil
}

// Mkdir implements Remote.
func (p *Pool) Mkdir(ctx context.Context, path string, perm uint32) (remote.Attr, error) {
	started := time.Now()
	a, err := p.makeName(ctx, maker{
		path: path,
		request: func(s *session) *sftp3.Call {
			return s.client.StartMkdir(p.abs(path), sftp3.Attrs{Flags: sftp3.AttrPermissions, Permissions: perm & 0o7777})
		},
		ours: func(_ context.Context, _ *session, a remote.Attr) bool {
			return a.IsDir() && a.Perm()&0o777&^perm == 0 && p.madeSince(a, started)
		},
	})
	if err != nil {
		return remote.Attr{}, pathError("mkdir", path, why{p, ctx}.make(err, path))
	}
	return p.exactMode(ctx, path, a, perm)
}

// exactMode sets the permission bits that the server's umask took away. The
// set-group-id bit that a folder inherits stays.
func (p *Pool) exactMode(ctx context.Context, path string, a remote.Attr, perm uint32) (remote.Attr, error) {
	want := perm&0o7777 | a.Mode&syscall.S_ISGID
	if a.Perm() == want {
		return a, nil
	}
	set, err := p.SetAttr(ctx, path, remote.Change{Fields: remote.SetMode, Mode: want})
	return p.asMade(path, a, set, want, err, func() error { return p.Rmdir(ctx, path) })
}

// madeSince reports whether a file may have been made by a request that was
// started then: it is ours and not older.
func (p *Pool) madeSince(a remote.Attr, started time.Time) bool {
	p.mu.Lock()
	foreign := p.owned && a.UID != p.info.UID
	p.mu.Unlock()
	return !foreign && !p.clock.before(a.Mtime, started)
}

// Symlink implements Remote.
func (p *Pool) Symlink(ctx context.Context, target, path string) (remote.Attr, error) {
	if err := p.learnSymlink(ctx, path); err != nil {
		return remote.Attr{}, pathError("symlink", path, why{p, ctx}.make(err, path))
	}
	a, err := p.makeName(ctx, maker{
		path:    path,
		request: func(s *session) *sftp3.Call { return p.symlink(s, target, path) },
		ours: func(ctx context.Context, s *session, a remote.Attr) bool {
			told, err := p.readTarget(ctx, s, path)
			return a.IsSymlink() && err == nil && told == target
		},
	})
	if err != nil {
		return remote.Attr{}, pathError("symlink", path, why{p, ctx}.make(err, path))
	}
	if a.IsSymlink() {
		return a, nil
	}
	err = p.ask(ctx, "lstat", path, laneLook, func(ctx context.Context, s *session, _ bool) (err error) {
		a, err = p.lstatOn(ctx, s, path)
		return err
	})
	return a, err
}

// Link implements Remote.
func (p *Pool) Link(ctx context.Context, oldPath, newPath string) (remote.Attr, error) {
	o := p.files.at(oldPath)
	dirty := o != nil && o.isDirty()
	a, err := p.makeName(ctx, maker{
		path: newPath, of: []string{oldPath},
		request: func(s *session) *sftp3.Call {
			if _, ok := s.client.Extension("hardlink@openssh.com"); !ok {
				return nil
			}
			return s.client.StartHardlink(p.abs(oldPath), p.abs(newPath))
		},
		ours: func(ctx context.Context, s *session, a remote.Attr) bool {
			old, err := p.lstatOn(ctx, s, oldPath)
			if p.files.written(oldPath) { // it has other times and sizes by now
				old.Size, old.Atime, old.Mtime = a.Size, a.Atime, a.Mtime
			}
			return err == nil && !a.IsDir() && old == a && !p.isSingle(ctx, newPath)
		},
		over: func() { p.files.linked(oldPath, newPath) },
	})
	if err != nil {
		return remote.Attr{}, pathError("link", newPath, p.whyNoLink(ctx, err, oldPath, newPath))
	}
	if dirty || o != nil && o.isDirty() {
		return p.Lstat(ctx, newPath) // the answer does not count what is under way
	}
	return a, nil
}

// isSingle reports whether a listing tells that a file has one name alone. It is read
// to its end only where the name does not come before.
func (p *Pool) isSingle(ctx context.Context, path string) bool {
	dir, name := remote.Split(path)
	single := false
	err := p.ReadDir(ctx, dir, func(batch []remote.Entry) error {
		for _, e := range batch {
			if e.Name == name {
				single = e.Attr.Nlink == 1
				return errStop
			}
		}
		return nil
	})
	return single && errors.Is(err, errStop)
}

func (p *Pool) whyNoLink(ctx context.Context, err error, oldPath, newPath string) error {
	if isFailure(err) || errnoOf(err) == syscall.EACCES {
		if _, lerr := p.lstat(ctx, newPath); lerr == nil {
			return syscall.EEXIST
		}
		if a, lerr := p.lstat(ctx, oldPath); lerr == nil && a.IsDir() {
			return syscall.EPERM
		}
	}
	return why{p, ctx}.move(err, oldPath, newPath)
}

// Remove implements Remote.
func (p *Pool) Remove(ctx context.Context, path string) error {
	err := p.unname(ctx, path, func(s *session) *sftp3.Call { return s.client.StartRemove(p.abs(path)) })
	if err != nil {
		return pathError("remove", path, why{p, ctx}.remove(err, path, false))
	}
	return nil
}

// Rmdir implements Remote.
func (p *Pool) Rmdir(ctx context.Context, path string) error {
	err := p.unname(ctx, path, func(s *session) *sftp3.Call { return s.client.StartRmdir(p.abs(path)) })
	if err != nil {
		return pathError("rmdir", path, why{p, ctx}.remove(err, path, true))
	}
	return nil
}

// unname takes a name away by a request. That it is not there after a try without an
// answer means that it was done.
func (p *Pool) unname(ctx context.Context, path string, request func(*session) *sftp3.Call) error {
	return p.name(ctx, &naming{
		paths: []string{path},
		try: func(ctx context.Context, s *session, _ bool) error {
			return request(s).WaitStatus(ctx)
		},
		made: func(ctx context.Context, s *session) (bool, error) {
			_, err := p.lstatOn(ctx, s, path)
			if unanswered(err) {
				return false, err
			}
			return errnoOf(err) == syscall.ENOENT, nil
		},
		over: func(made bool) {
			if made {
				p.files.removed(path)
			}
		},
	})
}

// SetAttr implements Remote.
func (p *Pool) SetAttr(ctx context.Context, path string, c remote.Change) (remote.Attr, error) {
	if c.Fields == 0 {
		return p.Lstat(ctx, path)
	}
	if err := p.settled(ctx, path); err != nil {
		return remote.Attr{}, pathError("setattr", path, err)
	}
	o := p.files.at(path)
	for o != nil && o.isDirty() {
		f := o.writer()
		if f == nil {
			break
		}
		a, err := f.SetAttr(ctx, c)
		if !errors.Is(err, syscall.EBADF) {
			return a, err
		}
		// That File was closed meanwhile; others may have written.
	}
	var b *barrier
	if o != nil && c.Fields&remote.SetSize != 0 {
		err := o.lookBound(ctx, func(ctx context.Context) (err error) {
			b, err = o.barrier(ctx, c.Size, endless)
			return err
		})
		if err != nil {
			return remote.Attr{}, pathError("setattr", path, errnoOf(err))
		}
		defer b.release()
		o.resizing(c.Size)
	}
	asked := time.Now()
	have := remote.Attr{}
	if needsPair(c) {
		var err error
		if have, err = p.lstat(ctx, path); err != nil {
			return remote.Attr{}, err
		}
	}
	a, late, err := p.setattr(ctx, path, c, have)
	if late && c.Fields&remote.SetSize != 0 {
		p.files.doubt(p, path, c.Size)
	}
	if err != nil {
		size := int64(-1)
		if c.Fields&remote.SetSize != 0 {
			size = c.Size
		}
		return remote.Attr{}, pathError("setattr", path, why{p, ctx}.attr(err, path, c, size))
	}
	p.sawTime(c, a)
	if b != nil {
		o.cut(c.Size)
	}
	if o != nil {
		o.mu.Lock()
		o.note(a, asked)
		o.mu.Unlock()
	}
	return a, nil
}

// setattr also reports whether a request that was lost may be executed yet.
func (p *Pool) setattr(ctx context.Context, path string, c remote.Change, have remote.Attr) (a remote.Attr, late bool, err error) {
	err = p.repeat(ctx, laneLook, changes, func(ctx context.Context, s *session, uncertain bool) (err error) {
		late = uncertain
		for _, part := range partsOf(c) {
			request, err := p.startSetattr(ctx, s, path, toWire(part, have))
			if err != nil {
				return err
			}
			if a, err = p.thenLook(ctx, s, request, path); err != nil {
				if err = p.maybeFollow(ctx, s, path, toWire(part, have), err, &a); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return a, late || errors.Is(err, errAway) || ctx.Err() != nil, err
}

// partsOf splits a change where its order matters: a change of owner clears the
// set-id bits, and a size cannot be set together with LSETSTAT.
func partsOf(c remote.Change) []remote.Change {
	owner := c
	owner.Fields &= remote.SetUID | remote.SetGID
	rest := c
	rest.Fields &^= remote.SetUID | remote.SetGID
	size := rest
	size.Fields &= remote.SetSize
	rest.Fields &^= remote.SetSize
	var parts []remote.Change
	for _, part := range []remote.Change{size, owner, rest} {
		if part.Fields != 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

// startSetattr sends LSETSTAT, which does not follow links; without it, SETSTAT
// after a look that it is no link. A size can only be set with SETSTAT.
func (p *Pool) startSetattr(ctx context.Context, s *session, path string, w sftp3.Attrs) (*sftp3.Call, error) {
	if _, ok := s.client.Extension("lsetstat@openssh.com"); ok && w.Flags&sftp3.AttrSize == 0 {
		return s.client.StartLsetstat(p.abs(path), w), nil
	}
	a, err := p.lstatOn(ctx, s, path)
	if err == nil && a.IsSymlink() {
		err = syscall.EOPNOTSUPP
	}
	if err != nil {
		return nil, err
	}
	return s.client.StartSetstat(p.abs(path), w), nil
}

// maybeFollow repeats a refused LSETSTAT of a mode as SETSTAT when the file is
// no link: not every C library can set a mode without following links.
func (p *Pool) maybeFollow(ctx context.Context, s *session, path string, w sftp3.Attrs, err error, a *remote.Attr) error {
	if w.Flags&sftp3.AttrPermissions == 0 || !isFailure(err) {
		return err
	}
	now, lerr := p.lstatOn(ctx, s, path)
	switch {
	case lerr != nil:
		return lerr
	case now.IsSymlink():
		return syscall.EOPNOTSUPP
	}
	*a, err = p.thenLook(ctx, s, s.client.StartSetstat(p.abs(path), w), path)
	return err
}
