package pool

import (
	"context"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// A move is one Rename, over as many tries as it takes.
type move struct {
	p         *Pool
	from, to  string
	noReplace bool

	source *remote.Attr // what is to be moved, when an answer told it
	absent bool         // an answer told that there is none
	plain  bool         // the last request was a RENAME that was to replace what is there
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
	_, err := m.p.lstatOn(ctx, s, m.from)
	switch {
	case lostRequest(err):
		return false, err
	case errnoOf(err) != syscall.ENOENT:
		return false, nil
	}
	a, err := m.p.lstatOn(ctx, s, m.to)
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
	if !s.ordered {
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
// Other servers may replace it: where it must not be, it is looked for first, and where
// it is to be and there is nothing better, RENAME is tried.
func (m *move) start(ctx context.Context, s *session) (*sftp3.Call, error) {
	from, to := m.p.abs(m.from), m.p.abs(m.to)
	_, posix := s.client.Extension("posix-rename@openssh.com")
	if posix && !m.noReplace {
		return s.client.StartPosixRename(from, to), nil
	}
	m.plain = !m.noReplace
	if m.noReplace && (!s.ordered || !posix) {
		_, err := m.p.lstatOn(ctx, s, m.to)
		switch {
		case lostRequest(err):
			return nil, err
		case err == nil:
			return nil, syscall.EEXIST
		}
	}
	return s.client.StartRename(from, to), nil
}
