package main

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// A process is another process, held by a pidfd: it tells the end at once, also
// of a process that nobody reaps, and its number cannot have become another's.
type process struct {
	fd  int
	err error // why there is no pidfd
}

// openProcess must be closed. What is wrong shows in wait.
func openProcess(pid int) process {
	fd, err := unix.PidfdOpen(pid, 0)
	return process{fd, err}
}

// wait reports whether the process has ended, after a time at most. An error
// means that it cannot be known: the process is in another container, or the
// kernel older than Linux 5.3.
func (p process) wait(limit time.Duration) (ended bool, err error) {
	if errors.Is(p.err, unix.ESRCH) {
		return true, nil
	}
	if p.err != nil {
		return false, p.err
	}
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(limit.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return n > 0, err
}

func (p process) close() {
	if p.err == nil {
		_ = unix.Close(p.fd) // nothing is written to it
	}
}
