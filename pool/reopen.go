package pool

import (
	"context"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// reopen opens the file again after a cut took its handles, and checks that it
// is still the file it was. One goroutine at a time does it.
func (f *file) reopen(ctx context.Context, w *waiter) error {
	if err := f.await(ctx, w, f.opening); err != nil {
		return err
	}
	defer func() { <-f.opening }()
	var home *conn // where the remote folder was seen to be there, ahead of the OPEN
	for tries := 1; ; tries++ {
		if err := f.settles(ctx, w); err != nil {
			return err
		}
		f.mu.Lock()
		done, lost := len(f.live()) > 0 || f.stale != nil || f.closed, f.gone || f.flag&remote.FlagOnce != 0
		path := f.path
		f.mu.Unlock()
		switch {
		case done:
			return nil
		case lost:
			return f.giveUp(syscall.ESTALE)
		}
		s, err := f.p.session(ctx, laneFile, w, nil)
		if err != nil {
			return err
		}
		least := f.least()
		var h *handle
		var a remote.Attr
		stuck, err := f.p.within(ctx, looks, s, func(ctx context.Context) (err error) {
			h, a, err = f.p.openWidened(ctx, s, path, pflags(f.flag&^remote.FlagTruncate), f.wide, func(a remote.Attr) bool { return f.isSame(a, least) })
			return err
		})
		switch {
		case stuck && time.Since(w.start) > w.limit:
			return errAway
		case stuck:
			continue // by now another session is taken, if one can be had
		case lostRequest(err):
			f.p.dropSession(s)
			if err := hopeless(err, tries, w); err != nil {
				return err
			}
			if err := sleep(ctx, pause(tries)); err != nil {
				return err
			}
		case ctx.Err() != nil:
			if err == nil {
				h.close()
			}
			return ctx.Err()
		case f.hasMoved(path):
			if err == nil {
				h.close() // it may be open on what is at the path now
			}
		case err == nil && (f.isSame(a, least) || f.isBack(ctx, h, a)):
			return f.resume(h, a, least)
		default:
			if err == nil {
				h.close()
				err = syscall.ESTALE
			}
			if home == s.conn {
				return f.giveUp(errnoOf(err))
			}
			if f.p.isHome(ctx) {
				home = s.conn // as it may not have been just before
			} else if err := w.rest(ctx, pause(tries)); err != nil {
				return err
			}
		}
	}
}

// await takes a token, unless the waiter's time or the caller's is over.
func (f *file) await(ctx context.Context, w *waiter, token chan struct{}) error {
	select {
	case token <- struct{}{}:
		return nil
	default:
	}
	if err := w.refuse(f.p.current()); err != nil {
		return err
	}
	select {
	case token <- struct{}{}:
		return nil
	case <-w.expired():
		return errAway
	case <-ctx.Done():
		return ctx.Err()
	case <-f.p.life.Done():
		return errClosed
	}
}

// settles waits for a rename that is under way: where the file is, its answer says.
func (o *object) settles(ctx context.Context, w *waiter) error {
	for {
		o.mu.Lock()
		m := o.move
		o.mu.Unlock()
		if m == nil {
			return nil
		}
		if err := m.wait(ctx, o.p, w); err != nil {
			return err
		}
	}
}

// hasMoved reports whether a rename or a removal has been begun since the object was at
// a path, also one that is over.
func (o *object) hasMoved(path string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.move != nil || o.gone || o.path != path
}

// resume goes on with a handle on the file as it was, or as others have made it.
func (f *file) resume(h *handle, a remote.Attr, least int64) error {
	if f.p.homeOn.Swap(h.s.conn) != h.s.conn {
		f.p.learnHome(h.s) // the number may have changed when the server was started
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		h.close()
		return syscall.EBADF
	}
	f.handles = append(f.handles, h)
	if f.left == nil {
		return nil
	}
	f.left, f.seen = nil, a
	if a.Size < least {
		f.out.cutShort(a.Size)
	}
	f.out.end, f.out.most = max(f.out.end, a.Size), max(f.out.most, a.Size)
	return nil
}

// isLeft reports whether its own flush has closed a File, and no cut has come since; mu is
// held.
func (f *file) isLeft() bool { return f.left != nil && f.left.alive() }

// isBack reports whether a File goes on, with what it has opened on h, that no cut but
// its own flush has closed. Others may have changed the file since, as they may while it
// is open; who has it open as well must be open on the same.
func (f *file) isBack(ctx context.Context, h *handle, a remote.Attr) bool {
	f.mu.Lock()
	back, alone, other := f.isLeft() && f.seen.Type() == a.Type(), len(f.files) == 1, f.open()
	f.mu.Unlock()
	return back && (alone || other != nil && !f.p.apart(ctx, other, h))
}

// least is the size that the file has at least.
func (o *object) least() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.least
}

// isSame compares a file opened again with what is known of the object: its size
// must be one that our changes can have led to, with before the least when it was
// asked for, and its mtime the last known, one that we asked for, or no later than
// our last change can have been made. That may be long after it left: at the cut it
// had perhaps megabytes before it on a slow link.
func (o *object) isSame(a remote.Attr, before int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen.Type() != a.Type() {
		return false
	}
	out := &o.out
	timely := a.Mtime == o.seen.Mtime || out.asked != nil && a.Mtime == *out.asked ||
		!out.newest().IsZero() && !o.p.clock.after(a.Mtime, out.newest())
	return min(before, out.least) <= a.Size && a.Size <= out.most && timely
}

// lateFor is how long a server may go on with what it received before it notices
// that the connection was reset: it may have megabytes waiting in front of a slow
// disk.
const lateFor = 5 * time.Second

// giveUp makes every further call fail. Data not yet on the server is lost, and
// said to be.
func (f *file) giveUp(err error) error {
	if err == error(syscall.ENOENT) {
		err = syscall.ESTALE
	}
	f.reportLost(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale == nil {
		f.stale = err
	}
	f.drop(f)
	f.out.times = remote.Change{}
	return err
}

// reportLost logs that what a File has written and is not under way will not reach
// the server, and keeps it for status. It comes before whoever waits for that data
// is told.
func (f *file) reportLost(err error) {
	f.mu.Lock()
	path, bytes := f.path, f.unsentBytes()
	f.mu.Unlock()
	if bytes == 0 {
		return
	}
	f.p.log.Error("data lost", "path", path, "bytes", bytes, "err", err)
	f.p.noteLost(LostData{Path: path, Bytes: bytes, Time: time.Now(), Err: err})
}

// abandon gives up what is left at the end of the Pool.
func (o *object) abandon() {
	o.mu.Lock()
	files := slices.Collect(maps.Keys(o.files))
	o.mu.Unlock()
	for _, f := range files {
		f.lose(errClosed)
	}
}

// unsentBytes is how much a File has written that is not under way; mu is held.
func (f *file) unsentBytes() (n int64) {
	if c := f.out.current; c != nil && c.f == f {
		n = int64(len(c.buf))
	}
	for c := f.out.first; c != nil; c = c.next {
		if c.f == f && c.h == nil {
			n += int64(len(c.buf))
		}
	}
	return n
}

// noteLost keeps a loss for status.
func (p *Pool) noteLost(l LostData) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count.lost++
	p.lost = append(p.lost, l)
	if len(p.lost) > maxLost {
		p.lost = p.lost[1:]
	}
}

// maxLost is how many losses status remembers.
const maxLost = 100

// spread opens further handles on other sessions, until there is one for each at
// bytes under way or waiting: the channel window bounds a session to 2 MiB per
// round trip.
func (f *file) spread(at int64) {
	for more := f.moreHandles(at); more > 0; more-- {
		f.mu.Lock()
		taken, waits := slices.Clone(f.spreading), f.gathering > 0
		for _, h := range f.handles {
			taken = append(taken, h.s)
		}
		f.mu.Unlock()
		s := f.p.bulkSession(taken, more, waits)
		if s == nil {
			return
		}
		f.mu.Lock()
		f.spreading = append(f.spreading, s)
		f.mu.Unlock()
		f.p.spawn(func() { f.spreadOn(s) }, func() { f.spreadEnds(s) })
	}
}

// moreHandles is how many handles are wanted beyond those that carry data or are
// being opened.
func (f *file) moreHandles(at int64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := f.live()
	if len(have) == 0 || f.steady || f.gone || f.closed || f.stale != nil || f.flag&remote.FlagWrite != 0 && !have[0].s.ordered {
		return 0
	}
	wanted := min(max(int(max(f.flying, f.held)/at), f.gathering), maxStripes-1)
	return wanted - len(f.spreading) - bulkHandles(have)
}

func (f *file) spreadEnds(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spreading = slices.DeleteFunc(f.spreading, func(other *session) bool { return other == s })
}

const (
	maxStripes = 12      // handles of one file
	spreadAt   = 1 << 20 // bytes of reads under way for each handle before there is another
)

func (f *file) spreadOn(s *session) {
	defer f.spreadEnds(s)
	ctx, cancel := context.WithTimeout(f.p.life, f.p.cfg.Timeout)
	defer cancel()
	least, path := f.least(), f.name()
	h, a, err := f.p.openOn(ctx, s, path, pflags(f.flag&^remote.FlagTruncate), sftp3.Attrs{})
	if err != nil {
		return
	}
	same := f.isSame(a, least) && !f.hasMoved(path)
	f.mu.Lock()
	fits := same && !f.steady && !f.closed && !f.gone && f.stale == nil
	if fits {
		f.handles = append(f.handles, h)
		f.feed()
		f.pump()
	}
	f.mu.Unlock()
	if !fits {
		h.close()
	}
}
