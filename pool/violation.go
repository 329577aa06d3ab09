package pool

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// A violation is a call that ended because the server does not keep to the
// protocol. It is EPROTO, and not that the network is slow.
type violation struct{ text string }

func (v *violation) Error() string {
	return fmt.Sprintf("the server does not keep to SFTP: %s", v.text)
}

// Unwrap makes it an errno for everybody above.
func (v *violation) Unwrap() error { return syscall.EPROTO }

const (
	// ownTries is how often a call is made whose own answer was malformed: once
	// may be an accident of the server's.
	ownTries = 2

	// sharedTries is for a call whose session ended for an answer that may have
	// been another call's. Those are given up sooner, and it outlasts them.
	sharedTries = 16
)

// broken gives the end of a call that was lost so many times, if it was lost by an
// answer that breaks the protocol.
func broken(err error, tries int) error {
	own := errors.Is(err, sftp3.ErrMalformed)
	if own && tries >= ownTries || errors.Is(err, sftp3.ErrProtocol) && tries >= sharedTries {
		return &violation{err.Error()}
	}
	return nil
}

// hopeless gives the end of a call that was lost so many times: by what breaks the
// protocol, or when the time of its waiter is over as well. Written data is not
// given up before the eighth time.
func hopeless(err error, tries int, w *waiter) error {
	if v := broken(err, tries); v != nil && (!w.patient || tries >= maxTries) {
		return v
	}
	if tries >= maxTries && time.Since(w.start) > w.limit {
		return errAway
	}
	return nil
}

// awayBy is why no session could be had: the server broke the last one.
func awayBy(err, lost error) error {
	if errors.Is(err, errAway) && errors.Is(lost, sftp3.ErrProtocol) {
		return &violation{lost.Error()}
	}
	return err
}

// violations counts the sessions that ended by one.
type violations struct {
	mu    sync.Mutex
	count uint64    // guarded by mu
	last  string    // guarded by mu
	told  time.Time // guarded by mu
}

// violationEvery is the least time between two lines in the log.
const violationEvery = time.Minute

// note counts the end of a session, and reports whether it is to be logged.
func (v *violations) note(err error) bool {
	if !errors.Is(err, sftp3.ErrProtocol) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.count++
	v.last = err.Error()
	if !v.told.IsZero() && time.Since(v.told) < violationEvery {
		return false
	}
	v.told = time.Now()
	return true
}

func (v *violations) read() (count uint64, last string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.count, v.last
}
