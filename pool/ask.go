package pool

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// A try is one attempt of a call on one session. uncertain is true when an
// earlier one was sent and not answered: it may have been executed. ctx ends when
// the answer has been waited for long enough.
type try func(ctx context.Context, s *session, uncertain bool) error

// maxTries bounds how often a call is repeated when each time the connection
// breaks under it, once the timeout is over as well: the call itself may be
// what kills the server.
const maxTries = 8

// maxKills is after how many sessions that ended under one request, while their
// connection went on, that request is taken for what the server cannot stand.
const maxKills = 8

// kills counts such sessions for one request.
type kills int

// another notes that a request was lost on s, and reports whether it is to be given up.
func (k *kills) another(p *Pool, s *session, err error) bool {
	if errors.Is(err, sftp3.ErrOldest) && p.has(s.conn) {
		*k++
	}
	return *k >= maxKills
}

// repeat makes a call until it is answered. It gives the answer's error as it
// is, or an errno of waiting. A look that has waited for long on one session is
// asked again on another; a change is not, and the session it waited on is given up.
func (p *Pool) repeat(ctx context.Context, l lane, b bound, f try) error {
	w := p.look()
	l = laneOf(ctx, l)
	uncertain := false
	var killed kills
	var avoid *session // waited on in vain
	var lost error     // why the last try was lost
	for tries := 1; ; tries++ {
		s, err := p.session(ctx, l, w, avoid)
		if err != nil {
			return awayBy(err, lost)
		}
		stuck, err := p.within(ctx, b, s, func(ctx context.Context) error { return f(ctx, s, uncertain) })
		switch {
		case stuck && b == changes:
			p.dropSession(s)
			return errAway
		case stuck && avoid != nil:
			return errAway
		case stuck:
			avoid = s
			continue
		case !lostRequest(err):
			return err
		}
		lost = err
		uncertain = uncertain || !errors.Is(err, sftp3.ErrUnsent)
		p.dropSession(s)
		if killed.another(p, s, err) {
			return syscall.EIO
		}
		if err := hopeless(err, tries, w); err != nil {
			return err
		}
		if err := sleep(ctx, min(pause(tries), time.Second)); err != nil {
			return err
		}
	}
}

// pause is how long to wait after so many losses in a row: not at all after the
// first, and then not to go round as fast as the server can fail.
func pause(tries int) time.Duration {
	if tries < 2 {
		return 0
	}
	return jitter(min(firstBackoff<<min(tries-2, 10), longestPause))
}

// longestPause is between two tries of what the server keeps losing.
const longestPause = 15 * time.Second

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask is repeat for looks whose errors need no explanation, as a PathError.
func (p *Pool) ask(ctx context.Context, op, path string, l lane, f try) error {
	return pathError(op, path, errnoOf(p.repeat(ctx, l, looks, f)))
}

// pathError wraps an error unless it is nil. OpenSSH has one status for EINVAL
// and ENAMETOOLONG.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if isErrno(err, syscall.EINVAL) && isTooLong(path) {
		err = syscall.ENAMETOOLONG
	}
	return remote.PathError(op, path, err)
}

// isTooLong reports whether no Linux filesystem would take the path: it, or a
// name in it, is longer than PATH_MAX or NAME_MAX.
func isTooLong(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > 255 {
			return true
		}
	}
	return len(path) > 4095
}

// isErrno reports whether err is that errno.
func isErrno(err error, errno syscall.Errno) bool { return errors.Is(err, errno) }
