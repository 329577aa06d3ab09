package pool

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// closing sends the CLOSE of all handles behind a flush, so that close(2) tells what the
// server says of it: there are servers that store data only then. A File does that once,
// as what is written to it afterwards may be followed by as much again; and not before
// there is data, as a shell closes what it opens for a program at once. mu is held.
func (f *file) closing(then sequel, asking int) []*sftp3.Call {
	if !f.mayClose(then, asking) {
		return nil
	}
	handles := f.handles // not looked at again: their session may have ended since
	f.left, f.handles = handles[0].s, nil
	f.keeps, f.written, f.filled = true, false, false
	return startCloses(handles)
}

// mayClose reports whether a flush closes the handles: there are some, nobody else can
// miss them, and the file can be opened again. asking is how many calls the caller has
// itself. mu is held.
func (f *file) mayClose(then sequel, asking int) bool {
	matters := then == thenClose && f.filled && !f.keeps || then == thenEnd && f.written
	return matters && !f.closed && f.stale == nil && !f.gone && f.move == nil && len(f.live()) > 0 &&
		f.asking <= asking && len(f.reads) == 0 && !f.isReading() && f.writers() == 1 && f.opensAgain(f.handles[0].s)
}

// opensAgain reports whether the server will open a file as it is open: some open
// one for writing only to write it anew, which shows when it is tried. A File that also
// reads is rather used again, so that there it has to be known.
func (f *file) opensAgain(s *session) bool {
	q := &f.p.quirks
	return s.ordered || !q.has(OnlyAnew) && (f.flag&remote.FlagRead == 0 || q.rewrites.Load())
}

// stays takes back that CLOSE was sent, of which no answer will be had. Where the data in
// front of it was lost, that is told, and CLOSE has nothing to add.
func (f *file) stays() {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := f.err != nil
	f.keeps, f.written, f.filled = lost, !lost, !lost
}

// isCutOff reports whether a cut took the handles of a File that has nothing more to
// send; mu is held.
func (f *file) isCutOff() bool {
	return f.written && !f.closed && f.stale == nil && len(f.live()) == 0
}

// unclosed is for a File whose handles a cut took between its last flush and CLOSE, which
// is not sent any more then: some servers store what was written only then, and drop an
// upload that was broken off. OpenSSH is none of those, and is not waited for.
func (f *file) unclosed(ctx context.Context) error {
	f.mu.Lock()
	f.keeps, f.written, f.filled = true, false, false
	f.mu.Unlock()
	if f.p.Info().Ordered && !f.p.connected() {
		return nil
	}
	return f.unstored(ctx, f.closedUnanswered(ctx))
}

// writers is how many Files may write; mu is held.
func (o *object) writers() (n int) {
	for f := range o.files {
		if f.flag&remote.FlagWrite != 0 && !f.closed {
			n++
		}
	}
	return n
}

// Close implements File.
func (f *file) Close(ctx context.Context) error {
	_, err := f.flushed(ctx, "close", thenEnd)
	f.gate.Lock()
	defer f.gate.Unlock()
	f.reportLost(err) // what a caller did not wait for
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return err
	}
	cutOff := f.isCutOff()
	handles := f.live()
	f.handles = nil
	f.closed = true
	f.drop(f)
	closes := f.written && f.stale == nil
	f.mu.Unlock()
	defer f.p.files.leave(f) // until then it follows renames
	if !closes || err != nil {
		for _, h := range handles {
			h.close()
		}
		return err
	}
	if cutOff {
		return pathError("close", f.name(), f.unclosed(ctx))
	}
	return pathError("close", f.name(), f.answered(ctx, startCloses(handles)))
}

func startCloses(handles []*handle) (calls []*sftp3.Call) {
	for _, h := range handles {
		calls = append(calls, h.startClose())
	}
	return calls
}

// answered waits for the answers to CLOSE.
func (f *file) answered(ctx context.Context, calls []*sftp3.Call) (failed error) {
	bounded, cancel := patience(ctx, 2*f.p.cfg.Timeout, func(ctx context.Context) bool {
		return f.closedUnanswered(ctx) != nil && sleep(ctx, f.p.cfg.Timeout) == nil
	})
	defer cancel()
	for _, call := range calls {
		err := call.WaitStatus(bounded)
		switch {
		case lostRequest(err):
			err = f.closedUnanswered(ctx)
		case err != nil && context.Cause(bounded) == errStuck:
			err = nil // it was looked after
		}
		if failed == nil {
			failed = err
		}
	}
	return f.unstored(ctx, failed)
}

// unstored tells of data that CLOSE has lost, if it has.
func (f *file) unstored(ctx context.Context, failed error) error {
	if failed == nil || ctx.Err() != nil {
		return failed
	}
	failed = why{f.p, ctx}.change(failed, f.name(), 0)
	f.p.noteLost(LostData{Path: f.name(), Bytes: f.size(), Time: time.Now(), Err: failed})
	f.settled()
	f.mu.Lock()
	defer f.mu.Unlock()
	earlier := f.err
	f.fail(failed) // others have it open as well
	f.err = earlier
	return failed
}

// closedUnanswered looks whether a file is on the server as it was written when there
// is no answer to CLOSE. Of one that was removed since, or is open still, nothing can be
// said. Until it can look it waits, as data does.
func (f *file) closedUnanswered(ctx context.Context) error {
	err := f.lookAfter(ctx, f.p.keep())
	switch {
	case err != errUnseen:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case f.p.Info().Ordered:
		return nil // OpenSSH had all of it when it answered the WRITEs
	}
	return syscall.EIO
}

// errUnseen is what lookAfter gives when the file is not to be seen.
var errUnseen = errors.New("the file cannot be looked at")

func (f *file) lookAfter(ctx context.Context, w *waiter) error {
	for tries := 1; ; tries++ {
		if f.settles(ctx, w) != nil {
			return errUnseen
		}
		f.mu.Lock()
		path, unknown, seq := f.path, f.gone || len(f.files) > 1, f.out.seq
		f.mu.Unlock()
		if unknown {
			return nil
		}
		if _, err := f.p.session(ctx, laneLook, w, nil); err != nil {
			return errUnseen
		}
		a, err := f.p.lstat(ctx, path)
		f.mu.Lock()
		moved, size := f.path != path || f.move != nil || f.gone || len(f.files) > 1 || f.out.first != nil || f.out.seq != seq, f.out.end
		f.mu.Unlock()
		asked := err == nil || f.p.connected() && !errors.Is(err, errAway) && !errors.Is(err, syscall.EIO)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case moved:
		case err == nil && !a.IsSymlink() && a.Size < size:
			return syscall.EIO // one that is longer is whole, and others have appended since
		case err == nil:
			return nil
		case asked || time.Since(w.start) > w.limit:
			return errUnseen
		default:
			if err := sleep(ctx, pause(tries)); err != nil {
				return err
			}
		}
	}
}

// afterClose is what a file is that was just closed. A server that stores it only some
// time later may tell of what was there before. It waits as a look does: the data is
// there.
func (f *file) afterClose(ctx context.Context, s *session) remote.Attr {
	var w sftp3.Attrs
	_, err := f.p.within(ctx, looks, s, func(ctx context.Context) (err error) {
		w, err = s.client.StartStat(f.p.abs(f.name())).WaitAttrs(ctx)
		return err
	})
	known := f.tell()
	known.Size = f.size()
	if err != nil || s.attr(w).Size != known.Size {
		return known
	}
	return s.attr(w)
}
