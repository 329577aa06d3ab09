package pool

import (
	"context"
	"errors"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// Rename implements Remote.
func (p *Pool) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	return p.rename(ctx, &move{p: p, from: oldPath, to: newPath, noReplace: noReplace})
}

// Replace implements Remote.
func (p *Pool) Replace(ctx context.Context, oldPath, newPath, keep string) (kept bool, err error) {
	m := &move{p: p, from: oldPath, to: newPath, keep: keep}
	err = p.rename(ctx, m)
	if remote.UnsettledIn(err) != nil {
		return true, err // as far as is known
	}
	return m.kept, err
}

func (p *Pool) rename(ctx context.Context, m *move) error {
	oldPath, newPath, noReplace := m.from, m.to, m.noReplace
	if err := p.settleForeign(ctx, oldPath); err != nil {
		return err
	}
	switch from, to, err := p.renamesLink(ctx, oldPath, newPath); {
	case err != nil:
		return pathError("rename", oldPath, errnoOf(err))
	case to && noReplace:
		return pathError("rename", oldPath, syscall.EEXIST)
	case to:
		return pathError("rename", oldPath, syscall.EOPNOTSUPP)
	case from:
		return pathError("rename", oldPath, errnoIn(p.moveLink(ctx, oldPath, newPath)))
	}
	n := &naming{paths: []string{oldPath, newPath}, try: m.send, made: m.wasDone, over: m.over}
	if m.keep != "" {
		n.paths = append(n.paths, m.keep)
	}
	err := p.name(ctx, n)
	if err != nil {
		if isErrno(err, syscall.EEXIST) || isErrno(err, syscall.EOPNOTSUPP) || remote.UnsettledIn(err) != nil {
			return pathError("rename", oldPath, err)
		}
		if m.plain && errnoOf(err) == syscall.EEXIST {
			err = &sftp3.StatusError{Code: sftp3.StatusFailure} // one that says why; a folder may have a better reason
		}
		if _, lerr := p.lstat(ctx, newPath); noReplace && lerr == nil && isFailure(err) {
			return pathError("rename", oldPath, syscall.EEXIST)
		}
		err = why{p, ctx}.move(err, oldPath, newPath)
		if m.plain && isErrno(err, syscall.EIO) {
			return p.notReplaced(ctx, oldPath, newPath, err)
		}
		return pathError("rename", oldPath, err)
	}
	return nil
}

// notReplaced is what becomes of a RENAME that the server refused, with a target that
// is there: that is why, unless something else was found.
func (p *Pool) notReplaced(ctx context.Context, oldPath, newPath string, refused error) error {
	a, err := p.lstat(ctx, newPath)
	switch {
	case err == nil && oldPath == newPath:
		return nil // as rename(2) has it
	case err != nil:
		return pathError("rename", oldPath, refused)
	case p.replacing.dir != "" && !a.IsDir():
		return pathError("rename", oldPath, errnoIn(p.replaceByMoving(ctx, oldPath, newPath)))
	}
	p.learned(NoReplace)
	return pathError("rename", oldPath, syscall.EOPNOTSUPP)
}

// settleForeign brings the data of files that are about to move to a server of
// which no order is known, and which may find open files by their path.
func (p *Pool) settleForeign(ctx context.Context, path string) error {
	if p.Info().Ordered {
		return nil
	}
	for _, o := range p.files.below(path) {
		if err := o.lookBound(ctx, o.drain); err != nil {
			return pathError("rename", path, err)
		}
	}
	return nil
}

// A move is one Rename, over as many tries as it takes.
type move struct {
	p         *Pool
	from, to  string
	noReplace bool
	keep      string // a name that the target gets first, "" for none

	source *remote.Attr // what is to be moved, when an answer told it
	absent bool         // an answer told that there is none
	target *remote.Attr // what was there before, when an answer told it
	free   bool         // an answer told that there was nothing
	plain  bool         // the last request was a RENAME that was to replace what is there

	link    *sftp3.Call // gives the target that name, and is not answered
	kept    bool        // an answer told that it has it
	doubted bool        // there was no answer
}

// wasDone looks whether a rename without an answer was done: the source is gone, or
// another is there by now, and the target is what the source was.
func (m *move) wasDone(ctx context.Context, s *session) (bool, error) {
	from, err := m.p.lstatOn(ctx, s, m.from)
	there := err == nil
	switch {
	case unanswered(err):
		return false, err
	case there && m.source == nil:
		m.source = &from // it may be moved before it is asked for again
		return false, nil
	case there && isLike(from, *m.source), !there && errnoOf(err) != syscall.ENOENT:
		return false, nil
	}
	to, err := m.p.lstatOn(ctx, s, m.to)
	switch {
	case unanswered(err):
		return false, err
	case err != nil:
		return false, nil
	case m.source == nil:
		return !m.absent, nil
	}
	return m.isSource(to, there), nil
}

// isSource reports whether the target is what the source was. Others may have written to
// it since, as may we, or made names in it: it is the source all the same if something
// else was there before. That it was not would lose what is written to it here, and
// have it moved once more.
func (m *move) isSource(to remote.Attr, refilled bool) bool {
	was := *m.source
	switch {
	case to.Mode != was.Mode || to.UID != was.UID || to.GID != was.GID:
		return false
	case m.free || isLike(to, was):
		return true
	case m.target != nil:
		return !isLike(to, *m.target)
	}
	return !refilled && (m.p.files.written(m.from) || (to.IsDir() || to.Size >= was.Size) && to.Mtime >= was.Mtime)
}

// isLike reports whether attributes may be those of one file that nobody has changed.
func isLike(a, b remote.Attr) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Size == b.Size && a.Mtime == b.Mtime
}

// send sends the request that has the wanted meaning on this server, and asks
// what the source is, and, for the first time, what is at the target that may be replaced:
// ahead of it in the same flight where order is kept.
func (m *move) send(ctx context.Context, s *session, uncertain bool) error {
	from := s.client.StartLstat(m.p.abs(m.from))
	defer from.Forget()
	to := (*sftp3.Call)(nil)
	if !uncertain && !m.noReplace {
		to = s.client.StartLstat(m.p.abs(m.to))
		defer to.Forget()
	}
	m.startKeep(s)
	defer m.learnKeep(ctx)
	if !s.ordered {
		m.learnKeep(ctx)
		if err := m.learn(ctx, s, from, to); err != nil {
			return err
		}
	}
	request, err := m.start(ctx, s)
	if err != nil {
		return err
	}
	defer request.Forget()
	if s.ordered {
		if err := m.learn(ctx, s, from, to); err != nil {
			return err
		}
	}
	return request.WaitStatus(ctx)
}

// learn takes the answers to these looks. That they say no more than that is for the
// rename to tell of.
func (m *move) learn(ctx context.Context, s *session, from, to *sftp3.Call) error {
	w, err := from.WaitAttrs(ctx)
	switch {
	case unanswered(err):
		return err
	case m.source != nil:
	case err == nil:
		a := s.attr(w)
		m.source = &a
	default:
		m.absent = isErrno(errnoOf(err), syscall.ENOENT)
	}
	if to == nil {
		return nil
	}
	w, err = to.WaitAttrs(ctx)
	switch {
	case unanswered(err):
		return err
	case err == nil:
		a := s.attr(w)
		m.target = &a
	}
	m.free = isErrno(errnoOf(err), syscall.ENOENT)
	return nil
}

// start chooses the request. OpenSSH's own RENAME refuses a target that is there.
// Other servers may replace it: where it must not be, it is looked for first, as for a
// rename in one step, and where it is to be and there is nothing better, RENAME is tried.
func (m *move) start(ctx context.Context, s *session) (*sftp3.Call, error) {
	from, to := m.p.abs(m.from), m.p.abs(m.to)
	_, posix := s.client.Extension("posix-rename@openssh.com")
	oneStep := remote.IsInOneStep(ctx)
	m.plain = !m.noReplace && !posix
	if m.noReplace && (!s.ordered || !posix || oneStep) {
		_, err := m.p.lstatOn(ctx, s, m.to)
		switch {
		case lostRequest(err):
			return nil, err
		case err == nil:
			return nil, syscall.EEXIST
		}
	}
	if posix && (oneStep || !m.noReplace) {
		return s.client.StartPosixRename(from, to), nil
	}
	return s.client.StartRename(from, to), nil
}

// startKeep asks for the further name of the target. That it is refused does not stop
// the rename.
func (m *move) startKeep(s *session) {
	_, links := s.client.Extension("hardlink@openssh.com")
	_, replaces := s.client.Extension("posix-rename@openssh.com")
	if m.keep == "" || m.kept || m.from == m.to || !links || !replaces || m.p.quirks.linkless.Load() {
		return
	}
	m.link = s.client.StartHardlink(m.p.abs(m.to), m.p.abs(m.keep))
}

// learnKeep waits for the answer to that.
func (m *move) learnKeep(ctx context.Context) {
	if m.link == nil {
		return
	}
	err := m.link.WaitStatus(ctx)
	m.link = nil
	switch {
	case err == nil:
		m.kept = true
	case errors.Is(err, sftp3.ErrUnsent):
	case lostRequest(err) || isEnd(err):
		m.doubted = true
	case isErrno(errnoOf(err), syscall.EOPNOTSUPP):
		m.p.quirks.linkless.Store(true)
	}
}

// settleKeep looks whether the name is there when no answer told it. After a rename that
// failed it is to be removed, which finds out by itself.
func (m *move) settleKeep(made bool) {
	if m.kept || !m.doubted {
		return
	}
	m.kept = true
	if made {
		_, err := m.p.lstat(m.p.life, m.keep)
		m.kept = !isErrno(err, syscall.ENOENT)
	}
}

// over notes what became of it.
func (m *move) over(made bool) {
	m.settleKeep(made)
	if !made {
		return
	}
	if m.kept {
		m.p.files.linked(m.to, m.keep)
	}
	m.p.files.renamed(m.from, m.to)
}
