package remotetest

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// Limits are how long a Remote waits for a server that is away.
type Limits struct {
	Timeout time.Duration // calls, and a connection that owes an answer
	Retry   time.Duration // written data; several times the Timeout
}

// RunAway holds a Remote to what the contract says of a server that cannot be
// reached, or does not answer. Each subtest is a synctest bubble, in which open
// makes the Remote, with these limits, as for RunCuts; it must end all of its
// goroutines with t.
func RunAway(t *testing.T, limits Limits, open func(t testing.TB, s *Server) remote.Remote) {
	t.Helper()
	for _, c := range awayCases() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.test(&away{cut: newCut(t, open), Limits: limits})
			})
		})
	}
}

// away is a cut that lasts.
type away struct {
	*cut
	Limits
}

type awayCase struct {
	name string
	test func(a *away)
}

func awayCases() []awayCase {
	return []awayCase{
		{"a look ends at the timeout", awayLook},
		{"a change ends at the timeout", awayChange},
		{"further calls end at once, until it is back", awayAtOnce},
		{"a caller who gives up is free at once", awayGivesUp},
		{"an outage shorter than the timeout is not seen", awayShort},
		{"a stalled look ends between once and twice the timeout", stalledLook},
		{"a stall shorter than the timeout is not seen", stalledShort},
		{"a frozen connection is replaced", frozen},
		{"a frozen write is sent again", frozenWrite},
		{"a slow answer on a living connection is waited for", slowAnswer},
		{"data waits longer than the timeout", dataWaits},
		{"data is given up after the retry time, and that is told", dataLost},
		{"data that kills each session is given up soon", dataKills},
	}
}

// took runs do and tells how long it took.
func took(do func() error) (time.Duration, error) {
	start := time.Now()
	err := do()
	return time.Since(start), err
}

// leave makes the server refuse connections, after those there are have broken.
func (a *away) leave() {
	a.s.Refuse(syscall.ECONNREFUSED)
	a.s.CutAll()
}

// back ends that, and waits until the Remote has seen it.
func (a *away) back() {
	a.Helper()
	a.s.Refuse(nil)
	a.s.Stall(false)
	d, err := took(func() error {
		for start := time.Now(); ; time.Sleep(time.Second) {
			_, err := a.Remote.Lstat(a.Context(), ".")
			if err == nil || time.Since(start) > 4*a.Timeout {
				return err
			}
		}
	})
	if err != nil || d > 2*a.Timeout {
		a.Errorf("it took %v until the Remote worked again: %v", d, err)
	}
}

// look is an Lstat of what is there.
func (a *away) look() error {
	attr, err := a.Remote.Lstat(a.Context(), "file")
	if err == nil && attr.Size != 4 {
		a.Errorf("size %d, want 4", attr.Size)
	}
	return err
}

// wantTimeout asks for ETIMEDOUT between once and twice the timeout.
func (a *away) wantTimeout(what string, d time.Duration, err error) {
	a.Helper()
	wantErrno(a.T, what, err, syscall.ETIMEDOUT)
	if d < a.Timeout || d > 2*a.Timeout {
		a.Errorf("%s took %v, want %v and not twice as much", what, d, a.Timeout)
	}
}

func awayLook(a *away) {
	a.put(a.T, "file", "data")
	a.leave()
	d, err := took(a.look)
	a.wantTimeout("Lstat", d, err)
	a.back()
	if err := a.look(); err != nil {
		a.Errorf("afterwards: %v", err)
	}
}

func awayChange(a *away) {
	a.leave()
	d, err := took(func() error {
		_, err := a.Remote.Mkdir(a.Context(), "dir", 0o755)
		return err
	})
	a.wantTimeout("Mkdir", d, err)
	a.back()
	a.absent(a.T, "dir")
	if _, err := a.Remote.Mkdir(a.Context(), "dir", 0o755); err != nil {
		a.Errorf("afterwards: %v", err)
	}
}

func awayAtOnce(a *away) {
	a.put(a.T, "file", "data")
	a.leave()
	_, _ = took(a.look)
	for range 5 {
		d, err := took(a.look)
		wantErrno(a.T, "Lstat", err, syscall.ETIMEDOUT)
		if d > a.Timeout/10 {
			a.Errorf("a further call took %v", d)
		}
		time.Sleep(a.Timeout)
	}
	a.back()
}

func awayGivesUp(a *away) {
	a.put(a.T, "file", "data")
	a.leave()
	ctx, cancel := context.WithTimeout(a.Context(), a.Timeout/10)
	defer cancel()
	d, err := took(func() error {
		_, err := a.Remote.Lstat(ctx, "file")
		return err
	})
	wantEnded(a.T, "Lstat", err, context.DeadlineExceeded)
	if d != a.Timeout/10 {
		a.Errorf("it took %v, want the %v of its ctx", d, a.Timeout/10)
	}
}

func awayShort(a *away) {
	a.put(a.T, "file", "data")
	a.leave()
	time.AfterFunc(a.Timeout/2, func() { a.s.Refuse(nil) })
	if d, err := took(a.look); err != nil {
		a.Errorf("Lstat: %v after %v", err, d)
	}
}

func stalledLook(a *away) {
	a.put(a.T, "file", "data")
	a.s.Stall(true)
	d, err := took(a.look)
	a.wantTimeout("Lstat", d, err)
	a.back()
}

func stalledShort(a *away) {
	a.put(a.T, "file", "data")
	a.s.Stall(true)
	time.AfterFunc(a.Timeout/2, func() { a.s.Stall(false) })
	_, _, before := a.s.Connections()
	if d, err := took(a.look); err != nil || d < a.Timeout/2 {
		a.Errorf("Lstat: %v after %v", err, d)
	}
	if _, _, now := a.s.Connections(); now != before {
		a.Errorf("dialled %d times meanwhile", now-before)
	}
}

func frozen(a *away) {
	a.put(a.T, "file", "data")
	a.s.Freeze()
	if d, err := took(a.look); err != nil || d > 2*a.Timeout {
		a.Errorf("Lstat: %v after %v", err, d)
	}
}

func frozenWrite(a *away) {
	f := a.file("file", flagsNew)
	mustWrite(a.T, f, "one ", 0)
	mustFlush(a.T, f)
	a.s.Freeze()
	mustWrite(a.T, f, "two", 4)
	mustFlush(a.T, f)
	a.holds(a.T, "file", "one two")
}

// A long fsync or copy is not a stall: keepalives are answered meanwhile.
func slowAnswer(a *away) {
	f := a.file("file", flagsNew)
	mustWrite(a.T, f, "data", 0)
	trap := a.s.Next("fsync@openssh.com", "file", Hold)
	time.AfterFunc(10*a.Timeout, trap.Release)
	d, err := took(func() error {
		_, err := f.Sync(a.Context())
		return err
	})
	if err != nil || d != 10*a.Timeout {
		a.Errorf("Sync: %v after %v, want nothing after %v", err, d, 10*a.Timeout)
	}
	if n := a.s.Succeeded("fsync@openssh.com", "file"); n != 1 {
		a.Errorf("synced %d times, want once", n)
	}
}

func dataWaits(a *away) {
	f := a.file("file", flagsNew)
	a.leave()
	mustWrite(a.T, f, "data", 0)
	outage := min(3*a.Timeout, a.Retry*3/4)
	time.AfterFunc(outage, func() { a.s.Refuse(nil) })
	d, err := took(func() error {
		_, err := f.Flush(a.Context())
		return err
	})
	if err != nil || d < outage {
		a.Errorf("Flush: %v after %v, want nothing after %v", err, d, outage)
	}
	a.holds(a.T, "file", "data")
}

func dataLost(a *away) {
	f := a.file("file", flagsNew)
	a.leave()
	mustWrite(a.T, f, "data", 0)
	d, err := took(func() error {
		_, err := f.Flush(a.Context())
		return err
	})
	wantErrno(a.T, "Flush", err, syscall.EIO)
	if d < a.Retry/2 || d > a.Retry+2*a.Timeout {
		a.Errorf("Flush took %v, want %v", d, a.Retry)
	}
	a.back()
	if err := f.Close(a.Context()); errors.Is(err, syscall.EIO) {
		a.Errorf("Close tells it again: %v", err)
	}
}

// The server cannot stand a WRITE, as one under a limit for the size of files: it
// dies of it, and the connection lives. That is not tried for ever, nor as fast as
// it goes, and other files go on.
func dataKills(a *away) {
	f := a.file("file", flagsNew)
	other := a.file("other", flagsNew)
	a.s.Script(func(r Request) Fate {
		if r.Type == "WRITE" && r.Path == "file" {
			return Kill
		}
		return Answer
	})
	mustWrite(a.T, f, "data", 0)
	d, err := took(func() error { _, err := f.Flush(a.Context()); return err })
	wantErrno(a.T, "Flush", err, syscall.EIO)
	if d > a.Retry/4 {
		a.Errorf("it took %v until that was told", d)
	}
	n := 0
	for _, r := range a.s.Requests() {
		if r.Type == "WRITE" && r.Path == "file" {
			n++
		}
	}
	if n > 12 {
		a.Errorf("it was sent %d times", n)
	}
	mustWrite(a.T, other, "data", 0)
	mustFlush(a.T, other)
	a.holds(a.T, "other", "data")
	_ = f.Close(a.Context()) // may tell it again
}
