package pool

import (
	"context"
	"slices"
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
		least := f.least()
		h, a, err := f.openAgain(ctx, s)
		switch {
		case lostRequest(err):
			f.p.dropSession(s)
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return f.giveUp(errnoOf(err))
		default:
			return f.resume(h, a, least)
		}
	}
}

// resume goes on with a handle if the file passes the check.
func (f *file) resume(h *handle, a Attr, least int64) error {
	if !f.isSame(a, least) {
		h.close()
		return f.giveUp(syscall.ESTALE)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handles = append(f.handles, h)
	return nil
}

// least is the size that the file has at least, by all Files of ours that are open
// on it.
func (f *file) least() int64 {
	least := int64(0)
	for _, g := range f.p.files.with(f) {
		g.mu.Lock()
		least = max(least, g.out.least)
		g.mu.Unlock()
	}
	return least
}

// isSame compares a file opened again with what all Files of ours that are open
// on it know: its size must be one that our changes can have led to, with before
// the least when it was asked for, and its mtime the last known, one that we asked
// for, or no later than our last change can have been made. That may be long after
// it left: at the cut it had perhaps megabytes before it on a slow link.
func (f *file) isSame(a Attr, before int64) bool {
	least, most, timely := int64(0), int64(0), false
	for _, g := range f.p.files.with(f) {
		g.mu.Lock()
		if g.seen.Type() != a.Type() {
			g.mu.Unlock()
			return false
		}
		out := &g.out
		least, most = max(least, out.least), max(most, out.most)
		timely = timely || a.Mtime == g.seen.Mtime || out.asked != nil && a.Mtime == *out.asked ||
			!out.newest().IsZero() && !f.p.clock.after(a.Mtime, out.newest())
		g.mu.Unlock()
	}
	return min(before, least) <= a.Size && a.Size <= most && timely
}

// lateFor is how long a server may go on with what it received before it notices
// that the connection was reset: it may have megabytes waiting in front of a slow
// disk.
const lateFor = 5 * time.Second

// newest is until when a change of ours may have been made; zero when none was.
func (o *outgoing) newest() time.Time {
	if o.lateTill.After(o.lastSent) {
		return o.lateTill
	}
	return o.lastSent
}

// openAgain opens by path on a new session.
func (f *file) openAgain(ctx context.Context, s *session) (*handle, Attr, error) {
	f.mu.Lock()
	path, gone := f.path, f.gone
	f.mu.Unlock()
	if gone {
		return nil, Attr{}, syscall.ESTALE
	}
	return f.p.openWidened(ctx, s, path, pflags(f.flag&^FlagTruncate))
}

// giveUp makes every further call fail. Data not yet on the server is lost, and
// said to be.
func (f *file) giveUp(err error) error {
	if err == error(syscall.ENOENT) {
		err = syscall.ESTALE
	}
	f.p.reportLost(f, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale == nil {
		f.stale = err
	}
	f.out.drop(f, err)
	return err
}

// reportLost logs that data of a file will not reach the server, and keeps it
// for status. It comes before whoever waits for that data is told.
func (p *Pool) reportLost(f *file, err error) {
	f.mu.Lock()
	path, bytes := f.path, f.out.unsentBytes()
	f.mu.Unlock()
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

// spread opens further handles on other sessions, until there is one for each at
// bytes under way or waiting: the channel window bounds a session to 2 MiB per
// round trip.
func (f *file) spread(at int64) {
	for more := f.moreHandles(at); more > 0; more-- {
		f.mu.Lock()
		taken := slices.Clone(f.spreading)
		for _, h := range f.handles {
			taken = append(taken, h.s)
		}
		f.mu.Unlock()
		s := f.p.bulkSession(taken, more)
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
	if len(have) == 0 || f.gone || f.closed || f.stale != nil || f.flag&FlagWrite != 0 && !have[0].s.ordered {
		return 0
	}
	carriers := len(f.spreading)
	for _, h := range have {
		if !h.s.conn.interactive.Load() {
			carriers++
		}
	}
	return min(int(max(f.flying, f.out.held)/at), maxStripes-1) - carriers
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
	least := f.least()
	h, a, err := f.p.openOn(ctx, s, f.name(), pflags(f.flag&^FlagTruncate), sftp3.Attrs{})
	if err != nil {
		return
	}
	same := f.isSame(a, least)
	f.mu.Lock()
	fits := same && !f.closed && !f.gone && f.stale == nil
	if fits {
		f.handles = append(f.handles, h)
		f.feed()
		if !f.out.mending {
			f.pump()
		}
	}
	f.mu.Unlock()
	if !fits {
		h.close()
	}
}
