package pool

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// errAway and errDisabled are what a call gets when no connection can be had.
var (
	errAway     error = syscall.ETIMEDOUT
	errDisabled error = syscall.EACCES
	errClosed   error = syscall.ENODEV
)

// A bound is how long an answer is waited for on a session that lives and does not
// give it. Data and reads have none: there are tapes, and disks that sleep. They end
// with their caller.
type bound int

const (
	looks   bound = iota // the timeout; then asked again elsewhere, for as long
	changes              // twice the timeout, on one session: nobody knows if it was done
	batches              // as looks, for each answer of many; see pace
)

// errStuck is why a context ended that bounds the wait for an answer.
var errStuck = errors.New("no answer in time")

// within makes one attempt, on that session if it is not nil, and reports whether it
// was ended for want of an answer.
func (p *Pool) within(ctx context.Context, b bound, s *session, f func(context.Context) error) (stuck bool, err error) {
	bounded, cancel := ctx, func() {}
	switch b {
	case looks:
		bounded, cancel = s.patience(ctx, p.cfg.Timeout)
	case changes:
		bounded, cancel = s.patience(ctx, 2*p.cfg.Timeout)
	}
	defer cancel()
	err = f(bounded)
	if errors.Is(err, errStuck) {
		return true, err
	}
	return err != nil && isEnd(err) && ctx.Err() == nil && context.Cause(bounded) == errStuck, err
}

// patience is a context that ends for errStuck once goesOn, first called after a time,
// reports that nothing has come of the waiting.
func patience(ctx context.Context, first time.Duration, goesOn func(context.Context) bool) (bounded context.Context, cancel func()) {
	bounded, end := context.WithCancelCause(ctx)
	t := time.AfterFunc(first, func() {
		for goesOn(bounded) {
		}
		end(errStuck)
	})
	return bounded, func() {
		t.Stop()
		end(nil)
	}
}

// patience is for an answer that should come within d. A link that is slow, or has
// much in front of it, is given the time that it takes: d counts once more from what
// the server sent to show that all before it is here. So it does where a server that
// keeps order has answered others meanwhile: it comes to this one after them.
func (s *session) patience(ctx context.Context, d time.Duration) (bounded context.Context, cancel func()) {
	if s == nil {
		return context.WithTimeoutCause(ctx, d, errStuck)
	}
	return patience(ctx, d/2, func(ctx context.Context) bool {
		had := s.client.Answered()
		proof, cancel := context.WithTimeout(ctx, 2*d)
		defer cancel()
		_ = s.conn.conn.Ping(proof) // without an answer it has waited for long enough
		if sleep(ctx, d/2) != nil {
			return false
		}
		return s.ordered && s.client.Answered() != had
	})
}

// isEnd reports whether an error is that of a context.
func isEnd(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// A pace bounds the wait for each of many answers.
type pace struct {
	ctx   context.Context // ends when an answer takes too long
	limit time.Duration
	timer *time.Timer
}

func (p *Pool) pace(ctx context.Context) (pc *pace, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	pc = &pace{ctx: ctx, limit: p.cfg.Timeout}
	pc.timer = time.AfterFunc(pc.limit, func() { cancel(errStuck) })
	return pc, func() {
		pc.timer.Stop()
		cancel(nil)
	}
}

// rest is for work between two answers: its time does not count.
func (pc *pace) rest(work func()) {
	pc.timer.Stop()
	work()
	pc.timer.Reset(pc.limit)
}

// why is the error to give for one that came while waiting.
func (pc *pace) why(err error) error {
	if err != nil && isEnd(err) && context.Cause(pc.ctx) == errStuck {
		return errStuck
	}
	return err
}

// A waiter bounds how long one call waits for connections, over all its tries.
type waiter struct {
	patient bool // written data: waits while the remote is away
	limit   time.Duration
	grace   time.Duration
	start   time.Time
	timer   *time.Timer
}

// look is the waiter of a call that gives up after the timeout. A call whose
// connection died only after that gets a little more, for one quick reconnect.
func (p *Pool) look() *waiter {
	return &waiter{limit: p.cfg.Timeout, grace: p.cfg.Timeout / 4, start: time.Now()}
}

// keep is the waiter of written data. Its time counts from now.
func (p *Pool) keep() *waiter {
	return &waiter{patient: true, limit: p.cfg.Retry, start: time.Now()}
}

// refuse says whether a call should not wait at all.
func (w *waiter) refuse(s State) error {
	switch {
	case s == StateClosed:
		return errClosed
	case w.patient:
		return nil
	case s == StateDisabled:
		return errDisabled
	case s == StateAway:
		return errAway
	}
	return nil
}

// expired fires when the waiting has lasted long enough.
func (w *waiter) expired() <-chan time.Time {
	if w.timer == nil {
		w.timer = time.NewTimer(max(w.limit-time.Since(w.start), w.grace))
	}
	return w.timer.C
}

// rest pauses between two tries, unless the waiter's time is over.
func (w *waiter) rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.expired():
		return errAway
	case <-ctx.Done():
		return ctx.Err()
	}
}
