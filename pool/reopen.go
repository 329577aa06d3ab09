package pool

import (
	"context"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// reopen opens the file again after a cut took its handles, and checks that it
// is still the file it was. One goroutine at a time does it.
func (f *file) reopen(ctx context.Context, w *waiter) error {
	select {
	case f.opening <- struct{}{}:
		defer func() { <-f.opening }()
	case <-ctx.Done():
		return ctx.Err()
	case <-f.p.life.Done():
		return errClosed
	}
	f.mu.Lock()
	done := len(f.live()) > 0 || f.stale != nil || f.closed
	f.mu.Unlock()
	if done {
		return nil
	}
	for {
		s, err := f.p.session(ctx, laneFile, w)
		if err != nil {
			return err
		}
		h, a, err := f.openAgain(ctx, s)
		switch {
		case lostRequest(err):
			f.p.dropSession(s)
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return f.giveUp(errnoOf(err))
		default:
			return f.resume(h, a)
		}
	}
}

// resume goes on with a handle if the file passes the check.
func (f *file) resume(h *handle, a Attr) error {
	written := f.p.files.written(f.name())
	f.mu.Lock()
	same := f.isSame(a, written)
	if same {
		f.handles = append(f.handles, h)
	}
	f.mu.Unlock()
	if !same {
		h.close()
		return f.giveUp(syscall.ESTALE)
	}
	return nil
}

// isSame compares a file opened again with what is known; mu is held. A file
// that we write, through this File or another (written), may have grown by what
// was sent, and may have been touched when something was last sent, but not
// later.
func (f *file) isSame(a Attr, written bool) bool {
	out := &f.out
	switch {
	case a.Type() != f.seen.Type():
		return false
	case out.lastSent.IsZero():
		return written || a.Size == f.seen.Size && a.Mtime == f.seen.Mtime
	case a.Size < out.acked || a.Size > out.sentEnd():
		return false
	}
	return a.Mtime == f.seen.Mtime || a.Mtime == out.asked || !f.p.clock.after(a.Mtime, out.lastSent)
}

// openAgain opens by path on a new session. The owner of a file that it may not
// open as it did (git writes into files of mode 0444) gets the right for a
// moment.
func (f *file) openAgain(ctx context.Context, s *session) (*handle, Attr, error) {
	f.mu.Lock()
	path, gone := f.path, f.gone
	f.mu.Unlock()
	if gone {
		return nil, Attr{}, syscall.ESTALE
	}
	flags := pflags(f.flag &^ FlagTruncate)
	h, a, err := f.openPlain(ctx, s, path, flags)
	if errnoOf(err) != syscall.EACCES {
		return h, a, err
	}
	have, lerr := f.p.lstatOn(ctx, s, path)
	if lerr != nil {
		return nil, Attr{}, lerr
	}
	wider := Change{Fields: SetMode, Mode: have.Perm() | 0o600}
	if serr := s.client.StartSetstat(f.p.abs(path), wider.toWire(have)).WaitStatus(ctx); serr != nil {
		if lostRequest(serr) {
			return nil, Attr{}, serr
		}
		return nil, Attr{}, err
	}
	h, a, err = f.openPlain(ctx, s, path, flags)
	back := Change{Fields: SetMode, Mode: have.Perm()}
	if berr := s.client.StartSetstat(f.p.abs(path), back.toWire(have)).WaitStatus(ctx); err == nil && berr != nil {
		h.close()
		return nil, Attr{}, berr
	}
	a.Mode = have.Mode
	return h, a, err
}

// openPlain is an OPEN and an FSTAT: after a cut the handle counts, not what is
// at the path.
func (f *file) openPlain(ctx context.Context, s *session, path string, flags uint32) (*handle, Attr, error) {
	id, err := s.client.StartOpen(f.p.abs(path), flags, sftp3.Attrs{}).WaitHandle(ctx)
	if err != nil {
		return nil, Attr{}, err
	}
	h := newHandle(s, id)
	a, err := f.fstat(ctx, h)
	if err != nil {
		h.close()
		return nil, Attr{}, err
	}
	return h, a, nil
}

// giveUp makes every further call fail. Data not yet on the server is lost, and
// said to be.
func (f *file) giveUp(err error) error {
	if err == error(syscall.ENOENT) {
		err = syscall.ESTALE
	}
	f.mu.Lock()
	if f.stale == nil {
		f.stale = err
	}
	lost := f.out.drop(f, err)
	path := f.path
	f.mu.Unlock()
	f.p.reportLost(path, lost, err)
	return err
}

// reportLost logs data that did not reach the server, and keeps it for status.
func (p *Pool) reportLost(path string, bytes int64, err error) {
	if bytes == 0 {
		return
	}
	p.log.Error("data lost", "path", path, "bytes", bytes, "err", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = append(p.lost, LostData{Path: path, Bytes: bytes, Time: time.Now(), Err: err})
	if len(p.lost) > maxLost {
		p.lost = p.lost[1:]
	}
}

// maxLost is how many losses status remembers.
const maxLost = 100

// spread opens one more handle on another session when much data is under way:
// the channel window bounds a session to 2 MiB per round trip.
func (f *file) spread() {
	f.mu.Lock()
	have := f.live()
	want := !f.spreading && !f.gone && !f.closed && f.stale == nil && len(have) > 0 && len(have) < maxStripes &&
		f.flying >= int64(len(have))*spreadAt
	if want && f.flag&FlagWrite != 0 && !have[0].s.ordered {
		want = false
	}
	taken := make([]*session, 0, len(have))
	for _, h := range have {
		taken = append(taken, h.s)
	}
	f.spreading = f.spreading || want
	f.mu.Unlock()
	if !want {
		return
	}
	s := f.p.bulkSession(taken)
	if s == nil {
		f.mu.Lock()
		f.spreading = false
		f.mu.Unlock()
		return
	}
	f.p.spawn(func() { f.spreadOn(s) }, nil)
}

const (
	maxStripes = 12      // handles of one file
	spreadAt   = 1 << 20 // bytes under way for each handle before there is another
)

func (f *file) spreadOn(s *session) {
	defer func() {
		f.mu.Lock()
		f.spreading = false
		f.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(f.p.life, f.p.cfg.Timeout)
	defer cancel()
	h, a, err := f.openPlain(ctx, s, f.name(), pflags(f.flag&^FlagTruncate))
	if err != nil {
		return
	}
	written := f.p.files.written(f.name())
	f.mu.Lock()
	fits := !f.closed && !f.gone && f.stale == nil && f.isSame(a, written)
	if fits {
		f.handles = append(f.handles, h)
	}
	f.mu.Unlock()
	if !fits {
		h.close()
	}
}
