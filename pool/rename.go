package pool

import (
	"context"
	"errors"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// A move is one Rename, over as many tries as it takes.
type move struct {
	p         *Pool
	from, to  string
	noReplace bool
	keep      string // a name that the target gets first, "" for none

	source *remote.Attr // what is to be moved, when an answer told it
	absent bool         // an answer told that there is none
	plain  bool         // the last request was a RENAME that was to replace what is there

	link    *sftp3.Call // gives the target that name, and is not answered
	kept    bool        // an answer told that it has it
	doubted bool        // there was no answer
}

func (m *move) run(ctx context.Context, s *session, uncertain bool) error {
	if uncertain {
		if done, err := m.wasDone(ctx, s); done || err != nil {
			return err
		}
	}
	err := m.send(ctx, s)
	if uncertain && err != nil && !lostRequest(err) {
		// The first request may have been executed just before this one.
		if done, lerr := m.wasDone(ctx, s); done || lostRequest(lerr) {
			return lerr
		}
	}
	return err
}

// wasDone looks whether a rename without an answer was done: the source is gone
// and the target is what the source was.
func (m *move) wasDone(ctx context.Context, s *session) (bool, error) {
	a, err := m.p.lstatOn(ctx, s, m.from)
	switch {
	case lostRequest(err):
		return false, err
	case err == nil && m.source == nil:
		m.source = &a // it may be moved before it is asked for again
		return false, nil
	case errnoOf(err) != syscall.ENOENT:
		return false, nil
	}
	a, err = m.p.lstatOn(ctx, s, m.to)
	if err != nil {
		if !lostRequest(err) {
			err = nil
		}
		return false, err
	}
	return m.isSource(a), nil
}

// isSource compares with the source as it was. One that is being written has
// other times and sizes by now.
func (m *move) isSource(a remote.Attr) bool {
	if m.source == nil {
		return !m.absent
	}
	was := *m.source
	if m.p.files.written(m.from) {
		was.Size, was.Atime, was.Mtime = a.Size, a.Atime, a.Mtime
	}
	was.Atime = a.Atime
	return was == a
}

// send sends the request that has the wanted meaning on this server, and asks
// what the source is: ahead of it in the same flight where order is kept.
func (m *move) send(ctx context.Context, s *session) error {
	look := s.client.StartLstat(m.p.abs(m.from))
	m.startKeep(s)
	defer m.learnKeep(ctx)
	if !s.ordered {
		m.learnKeep(ctx)
		if err := m.learn(ctx, s, look); err != nil {
			return err
		}
	}
	request, err := m.start(ctx, s)
	if err != nil {
		look.Forget()
		return err
	}
	if s.ordered {
		if err := m.learn(ctx, s, look); err != nil {
			request.Forget()
			return err
		}
	}
	return request.WaitStatus(ctx)
}

func (m *move) learn(ctx context.Context, s *session, look *sftp3.Call) error {
	w, err := look.WaitAttrs(ctx)
	if err != nil {
		if lostRequest(err) || ctx.Err() != nil {
			return err
		}
		m.absent = m.source == nil && isErrno(errnoOf(err), syscall.ENOENT)
		return nil // the rename will say what is wrong
	}
	if m.source == nil {
		a := s.attr(w)
		m.source = &a
	}
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
func (m *move) settleKeep(ctx context.Context, failed error) {
	if m.kept || !m.doubted {
		return
	}
	m.kept = true
	if failed == nil {
		_, err := m.p.lstat(ctx, m.keep)
		m.kept = !isErrno(err, syscall.ENOENT)
	}
}
