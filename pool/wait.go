package pool

import (
	"syscall"
	"time"
)

// errAway and errDisabled are what a call gets when no connection can be had.
var (
	errAway     error = syscall.ETIMEDOUT
	errDisabled error = syscall.EACCES
	errClosed   error = syscall.ENODEV
)

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
