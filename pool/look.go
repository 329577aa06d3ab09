package pool

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// Lstat implements Remote.
func (p *Pool) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	if a, known, err := p.files.at(path).statDirty(ctx); known {
		return a, pathError("lstat", path, err)
	}
	a, err := p.lstat(ctx, path)
	return a, p.lookError(ctx, "lstat", path, err)
}

// lookError is what a look gives that the server says no more of than that it failed,
// or that it is invalid, which no look is as such: then its name is.
func (p *Pool) lookError(ctx context.Context, op, path string, err error) error {
	if isErrno(err, syscall.EINVAL) {
		return pathError(op, path, syscall.ENAMETOOLONG)
	}
	if isErrno(err, syscall.EIO) {
		if found := (why{p, ctx}).place(path); found != nil {
			return pathError(op, path, found)
		}
	}
	return err
}

func (p *Pool) lstat(ctx context.Context, path string) (a remote.Attr, err error) {
	err = p.ask(ctx, "lstat", path, laneLook, func(ctx context.Context, s *session, _ bool) (err error) {
		a, err = p.lstatOn(ctx, s, path)
		return err
	})
	return a, err
}

// Stat implements Remote.
func (p *Pool) Stat(ctx context.Context, path string) (remote.Attr, error) {
	if a, known, err := p.files.at(path).statDirty(ctx); known {
		return a, pathError("stat", path, err)
	}
	a, err := p.stat(ctx, path)
	return a, p.lookError(ctx, "stat", path, err)
}

func (p *Pool) stat(ctx context.Context, path string) (a remote.Attr, err error) {
	err = p.ask(ctx, "stat", path, laneLook, func(ctx context.Context, s *session, _ bool) error {
		w, err := s.client.StartStat(p.abs(path)).WaitAttrs(ctx)
		a = s.attr(w)
		return err
	})
	return a, err
}

// ReadLink implements Remote.
func (p *Pool) ReadLink(ctx context.Context, path string) (target string, err error) {
	err = p.repeat(ctx, laneLook, looks, func(ctx context.Context, s *session, _ bool) error {
		target, err = p.readTarget(ctx, s, path)
		return err
	})
	if isFailure(err) {
		// readlink(2) of what is no link is EINVAL.
		if a, lerr := p.lstat(ctx, path); lerr == nil && !a.IsSymlink() {
			err = syscall.EINVAL
		}
	}
	err = pathError("readlink", path, errnoOf(err))
	if isErrno(err, syscall.EIO) {
		err = p.lookError(ctx, "readlink", path, err)
	}
	return target, err
}

// StatFS implements Remote.
func (p *Pool) StatFS(ctx context.Context, path string) (st remote.StatFS, err error) {
	err = p.ask(ctx, "statfs", path, laneLook, func(ctx context.Context, s *session, _ bool) error {
		if _, ok := s.client.Extension("statvfs@openssh.com"); !ok {
			return syscall.EOPNOTSUPP
		}
		w, err := s.client.StartStatVFS(p.abs(path)).WaitStatVFS(ctx)
		st = remote.StatFS(w)
		return err
	})
	return st, err
}

// ReadDir implements Remote.
func (p *Pool) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	l := &listing{p: p, path: path, emit: emit, refused: remote.RefusedBy(ctx), seed: maphash.MakeSeed()}
	err := p.repeat(ctx, laneLook, batches, func(ctx context.Context, s *session, _ bool) error { return l.run(ctx, s) })
	switch {
	case l.failed != nil:
		return l.failed
	case isErrno(errnoOf(err), syscall.ENOENT) || isFailure(err):
		// OpenSSH answers ENOTDIR with NO_SUCH_FILE.
		if a, lerr := p.lstat(ctx, path); lerr == nil && !a.IsDir() {
			err = syscall.ENOTDIR
		}
	}
	err = pathError("readdir", path, errnoOf(err))
	if isErrno(err, syscall.EIO) {
		return p.lookError(ctx, "readdir", path, err)
	}
	return err
}

// A listing is one ReadDir, over as many connections as it takes. So that a cut
// brings no name twice it remembers hashes of them, of eight bytes each: two names
// with one hash are as likely among two million as one in ten million.
type listing struct {
	p       *Pool
	path    string
	emit    func([]remote.Entry) error
	refused func(name string) // hears of names that are left out; nil for nobody
	seed    maphash.Seed
	emitted map[uint64]struct{} // what was handed on before a cut; nil at first
	failed  error               // what emit said
	last    []uint64            // handed on on this connection
	beyond  bool                // there were more names than are remembered
}

// mostEmitted is how many names a listing remembers. One of more than that fails when
// its connection is cut: there are servers that never stop listing, and the memory of
// that is bounded.
const mostEmitted = 1_000_000

func (l *listing) run(ctx context.Context, s *session) error {
	if l.beyond {
		return syscall.EIO
	}
	l.noteEmitted()
	pc, end := l.p.pace(ctx)
	defer end()
	h, err := s.client.StartOpenDir(l.p.abs(l.path)).WaitHandle(pc.ctx)
	if err != nil {
		return pc.why(err)
	}
	s.handles.Add(1)
	defer func() {
		s.handles.Add(-1)
		s.client.StartClose(h).Forget()
	}()
	err = s.client.ReadDir(pc.ctx, h, func(names []sftp3.Name) error {
		if err := l.typed(pc.ctx, s, names); err != nil {
			return err
		}
		if err := l.p.listedLink(pc.ctx, s, l.path, names); err != nil {
			return err
		}
		batch := l.entries(s, names)
		l.remember(batch)
		pc.rest(func() { l.failed = l.emit(batch) })
		if l.failed != nil {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return pc.why(err)
}

// remember notes names that are handed on.
func (l *listing) remember(batch []remote.Entry) {
	if l.beyond = l.beyond || len(l.emitted)+len(l.last)+len(batch) > mostEmitted; l.beyond {
		l.last = nil // emitted is still of use for what comes on this connection
		return
	}
	for _, e := range batch {
		l.last = append(l.last, maphash.String(l.seed, e.Name))
	}
}

// noteEmitted turns what an earlier connection brought into a set.
func (l *listing) noteEmitted() {
	if len(l.last) == 0 {
		return
	}
	if l.emitted == nil {
		l.emitted = make(map[uint64]struct{}, len(l.last))
	}
	for _, h := range l.last {
		l.emitted[h] = struct{}{}
	}
	l.last = nil
}

// typed finds out what the names are of which the listing does not tell: from the
// first letter of what would be a line of ls -l, or by asking for each.
func (l *listing) typed(ctx context.Context, s *session, names []sftp3.Name) error {
	calls := make(map[int]*sftp3.Call)
	for i := range names {
		n := &names[i]
		if n.Attrs.Permissions&syscall.S_IFMT != 0 {
			continue
		}
		l.p.learned(NoTypes)
		if t := typeLetter(n.Longname); t != 0 && n.Attrs.Flags&sftp3.AttrPermissions != 0 {
			n.Attrs.Permissions |= t
		} else if isName(n.Filename) {
			calls[i] = s.client.StartLstat(l.p.abs(remote.Join(l.path, n.Filename)))
		}
	}
	var lost error
	for i, call := range calls {
		w, err := call.WaitAttrs(ctx)
		if err == nil {
			names[i].Attrs = w
		} else if lostRequest(err) || ctx.Err() != nil {
			lost = err
		}
	}
	return lost
}

func (l *listing) entries(s *session, names []sftp3.Name) []remote.Entry {
	batch := make([]remote.Entry, 0, len(names))
	for _, n := range names {
		if !isName(n.Filename) {
			if l.refused != nil && n.Filename != "." && n.Filename != ".." {
				l.refused(n.Filename)
			}
			continue
		}
		if _, again := l.emitted[maphash.String(l.seed, n.Filename)]; again {
			continue
		}
		a := s.attr(n.Attrs)
		a.Nlink = linkCount(n.Longname)
		batch = append(batch, remote.Entry{Name: n.Filename, Attr: a})
	}
	return batch
}

// isName reports whether a file in a folder can have that name.
func isName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
