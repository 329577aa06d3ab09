package fsnode

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

const (
	// killPoll is how often an interrupted call looks whether its caller is
	// being killed. A signal that the caller handles may come first.
	killPoll = 20 * time.Millisecond

	// exitPoll is after which time a close looks whether its caller is being
	// killed: a process that closes its files while it dies is not interrupted.
	exitPoll = 200 * time.Millisecond
)

// A call is one request of the kernel, and its context. The context ends when
// the caller is being killed or the connection to the kernel is gone, and not
// for any other signal: a program that handles SIGALRM or SIGCHLD must not see
// EINTR from a mkdir.
//
// Nothing watches until somebody asks for Done: a request answered from a cache
// costs no goroutine.
type call struct {
	fs      *filesystem
	op      op
	began   time.Time
	cancel  <-chan struct{} // closed by go-fuse for any signal
	thread  uint32          // who asked; 0 for the kernel itself
	closing bool            // a close, see exitPoll

	age time.Duration // of what the cache answered; of the goroutine that answers alone

	mu    sync.Mutex
	done  chan struct{} // guarded by mu: made when it is asked for
	end   chan struct{} // guarded by mu: closed when the request is answered
	ended bool          // guarded by mu
}

var _ remote.Awaiter = (*call)(nil)

// begin starts a request. go-fuse reuses cancel for another request when this
// one has been answered, so it is not looked at after end.
func (f *filesystem) begin(o op, cancel <-chan struct{}, h *fuse.InHeader) *call {
	f.counters.inFlight.Add(1)
	if f.cfg.AllowRoot && h.Uid != 0 && h.Uid != f.ownUID {
		h.NodeId = keptOut
	}
	return &call{fs: f, op: o, began: time.Now(), cancel: cancel, thread: h.Pid, closing: o == opFlush}
}

// finish ends the request and gives its status.
func (c *call) finish(err error) fuse.Status {
	c.mu.Lock()
	c.ended = true
	if c.end != nil {
		close(c.end)
	}
	c.mu.Unlock()
	status := c.statusOf(err)
	c.fs.counters.count(c.op, status, time.Since(c.began))
	c.fs.counters.inFlight.Add(-1)
	return status
}

// statusOf is for a caller who was not killed when the mount is taken away:
// many programs try again after EINTR, and would do so in the folder below.
func (c *call) statusOf(err error) fuse.Status {
	status := statusOf(err)
	if status == fuse.EINTR && (closed(c.fs.gone) || c.fs.dead()) {
		return fuse.Status(syscall.ENOTCONN)
	}
	return status
}

// Deadline implements context.Context.
func (c *call) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context. A look of the kernel's is better answered with
// what was last known than not at all.
func (c *call) Value(key any) any {
	switch c.op {
	case opLookup, opGetattr, opReaddir, opReadlink, opStatfs, opAccess:
		if v := remote.StaleValue(key); v != nil {
			return v
		}
		return remote.AgerValue(key, c)
	}
	return nil
}

// Aged implements remote.Ager: of several answers the oldest counts.
func (c *call) Aged(age time.Duration) { c.age = max(c.age, age) }

// Err implements context.Context.
func (c *call) Err() error {
	if c.over() {
		return context.Canceled
	}
	return nil
}

// over reports whether the context has ended. While nobody watches it looks
// itself, if the caller was interrupted.
func (c *call) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		return !c.ended && closed(c.cancel) && c.abandoned()
	}
	return closed(c.done)
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Done implements context.Context.
func (c *call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if !c.ended {
			c.end = make(chan struct{})
			go c.watch(c.done, c.end)
		}
	}
	return c.done
}

// Await implements remote.Awaiter. Nothing watches the context until the caller is
// interrupted.
func (c *call) Await(done <-chan struct{}) bool {
	if !c.closing {
		select {
		case <-done:
			return true
		case <-c.fs.gone:
		case <-c.cancel:
		}
	}
	select {
	case <-done:
		return true
	case <-c.Done():
		return false
	}
}

// watch closes done when the caller is being killed before end.
func (c *call) watch(done, end chan struct{}) {
	var exiting <-chan time.Time
	if c.closing {
		timer := time.NewTimer(exitPoll)
		defer timer.Stop()
		exiting = timer.C
	}
	select {
	case <-end:
		return
	case <-c.fs.gone:
	case <-c.cancel:
	case <-exiting:
	}
	poll := time.NewTicker(killPoll)
	defer poll.Stop()
	for !c.abandoned() {
		select {
		case <-end:
			return
		case <-c.fs.gone:
		case <-poll.C:
		}
	}
	close(done)
}

// abandoned: nobody waits for the answer any more.
func (c *call) abandoned() bool {
	return closed(c.fs.gone) || c.fs.dead() || c.thread != 0 && c.fs.proc.killed(c.thread) ||
		c.closing && c.thread != 0 && c.fs.proc.dying(c.thread)
}

// A procfs reads about threads in a folder like /proc. What it cannot read, for
// example about a thread of another pid namespace, is not being killed.
type procfs struct {
	read func(name string) ([]byte, error)
	root string
}

func (p procfs) file(thread uint32, name string) string {
	data, err := p.read(p.root + "/" + strconv.FormatUint(uint64(thread), 10) + "/" + name)
	if err != nil {
		return ""
	}
	return string(data)
}

// killed reports whether SIGKILL is pending for a thread. The kernel makes it
// pending, for the thread or its group, for every signal that is fatal.
func (p procfs) killed(thread uint32) bool {
	for line := range strings.Lines(p.file(thread, "status")) {
		name, mask, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "SigPnd" && name != "ShdPnd" {
			continue
		}
		pending, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		if err == nil && pending&(1<<(9-1)) != 0 {
			return true
		}
	}
	return false
}

// dying reports whether a thread is exiting because of SIGKILL. The signal is
// not pending any more then: the flags (field 9 of stat, PF_EXITING) and the
// exit code (field 52) tell it.
func (p procfs) dying(thread uint32) bool {
	stat := p.file(thread, "stat")
	_, rest, found := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	fields := strings.Fields(rest) // from field 3 on
	if !found || len(fields) < 50 {
		return false
	}
	const exiting = 0x4
	flags, err1 := strconv.ParseUint(fields[9-3], 10, 64)
	code, err2 := strconv.ParseUint(fields[52-3], 10, 64)
	return err1 == nil && err2 == nil && flags&exiting != 0 && code&0x7f == 9
}
