package remote

import "errors"

// An Unsettled is in the chain of the error of a change of names that was sent, and whose
// outcome nobody knew when its caller was answered: he gave up, or had waited for too
// long. It may have been made, or be made yet. The Remote goes on asking until it knows.
type Unsettled struct {
	Err  error           // what else errors.Is finds: ETIMEDOUT, EIO, or the end of a context
	Over <-chan struct{} // closed when it is known, or at the end of the Remote
	Made func() bool     // after that, whether it was made as far as is known
}

// UnsettledIn is what is Unsettled in the chain of an error, or nil.
func UnsettledIn(err error) *Unsettled {
	var u *Unsettled
	errors.As(err, &u)
	return u
}

// Error implements error.
func (u *Unsettled) Error() string { return u.Err.Error() }

// Unwrap gives Err.
func (u *Unsettled) Unwrap() error { return u.Err }
