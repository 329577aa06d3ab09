package sftp3

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"sync"
	"time"
)

// drainTime is how long answers are taken from a channel that cannot be written
// to any more.
const drainTime = time.Second

// Client is one session. All its methods may be called from several goroutines
// at the same time.
type Client struct {
	// InOrder says that the server executes requests in the order they were
	// sent, as OpenSSH's does. Then a listing ends with the first end that is
	// answered; otherwise it waits for every READDIR under way, of which one may
	// have been executed before and hold names. An answer out of order ends the
	// session with ErrOvertaken. Change it before the first request.
	InOrder bool

	ch      io.ReadWriteCloser
	arrived arrivals
	in      *bufio.Reader // in and scratch are owned by the reader goroutine
	scratch []byte

	greeted    chan struct{}     // closed when VERSION is here
	extensions map[string]string // set before greeted is closed, then constant
	limits     Limits            // set by New, then constant

	ending   chan struct{} // closed when the session begins to end
	done     chan struct{} // closed after the last completion
	routines sync.WaitGroup

	mu         sync.Mutex
	work       sync.Cond // there is something to send, or the session ends
	table      table     // requests that wait to be sent, or for their answer
	free       *request  // READs and WRITEs to use again
	unanswered int       // queued, sent, or being answered
	answered   uint64    // over
	forgotten  int       // of these, Calls that nobody waits for
	stats      Stats
	err        error // why the session ended
	errUnsent  error // the same, for requests that were still queued
	errOldest  error // and for the oldest that was sent
	leaving    int   // of the reader, the writer and end, those not through
	closeErr   error // of ch.Close
}

// New begins a session on a channel, and owns the channel from then on. It
// exchanges versions, and asks for the server's limits where it advertises
// limits@openssh.com. Before that greeted is called, which may be nil: it may set what
// is to be set before the first request, begin requests, and give what is known of
// such a server. When New fails or ctx ends, it returns at once and the channel is
// closed.
func New(ctx context.Context, ch io.ReadWriteCloser, greeted func(*Client) *Known) (*Client, error) {
	c := newClient(ch)
	c.leaving = 3
	c.routines.Go(func() { c.endWith(c.readAll()) })
	c.routines.Go(func() {
		err := c.writeAll()
		c.awaitReader()
		c.endWith(err)
	})
	if err := c.greet(ctx, greeted); err != nil {
		c.Abort(err)
		return nil, err
	}
	return c, nil
}

func newClient(ch io.ReadWriteCloser) *Client {
	c := &Client{
		ch:      ch,
		greeted: make(chan struct{}),
		limits:  defaultLimits(),
		ending:  make(chan struct{}),
		done:    make(chan struct{}),
	}
	c.work.L = &c.mu
	c.arrived.ch, c.arrived.start = ch, time.Now()
	c.in = bufio.NewReaderSize(&c.arrived, readBuffer)
	return c
}

func (c *Client) greet(ctx context.Context, greeted func(*Client) *Known) error {
	select {
	case <-c.greeted:
	case <-c.ending:
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	var known *Known
	if greeted != nil {
		known = greeted(c)
	}
	if _, ok := c.Extension(ExtLimits); !ok {
		return nil
	}
	if known != nil && maps.Equal(known.extensions, c.extensions) {
		c.limits = known.limits
		return nil
	}
	advertised, err := waitFor[advertisedLimits](ctx, c.startLimits())
	var status *StatusError
	if errors.As(err, &status) {
		return nil // it advertised what it cannot do: the draft's limits hold
	}
	if err != nil {
		return err
	}
	c.limits = advertised.clamp()
	return nil
}

// Known is what a session has learned about its server.
type Known struct {
	extensions map[string]string
	limits     Limits
}

// Known is for further sessions of the same server.
func (c *Client) Known() *Known { return &Known{c.extensions, c.limits} }

// Limits are what the server takes; see Limits.
func (c *Client) Limits() Limits { return c.limits }

// Extension gives the version of an extension that the server advertised.
func (c *Client) Extension(name string) (version string, ok bool) {
	version, ok = c.extensions[name]
	return version, ok
}

// Extensions are all extensions that the server advertised, with their versions.
func (c *Client) Extensions() map[string]string { return maps.Clone(c.extensions) }

// Done is closed when the session has ended and every request was completed.
// That is when the channel has let go of the session's two goroutines: an SSH
// channel does at the answer to its close, or when its connection is closed.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the session ended, an ErrLost, and nil as long as it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Outstanding is the number of requests without an answer.
func (c *Client) Outstanding() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unanswered
}

// Oldest is since when the request that has waited longest has waited; zero when
// every one is answered.
func (c *Client) Oldest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table.oldest == nil {
		return time.Time{}
	}
	return c.table.oldest.issued
}

// Answered counts the requests that are over.
func (c *Client) Answered() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered
}

// Awaited reports whether somebody waits for an answer.
func (c *Client) Awaited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unanswered > c.forgotten
}

// Abort ends the session without waiting for anything: requests are completed
// with ErrLost before it returns, except one READ and one WRITE whose buffers
// the channel may hold at this moment; they are completed when it lets go of
// them. errors.Is finds cause in their errors, unless it is an io.EOF or the end of
// a context.
func (c *Client) Abort(cause error) { c.end(cause) }

// Close ends the session and waits for its goroutines, so it waits for the
// channel as Done does: on a connection that is dead, close that before. It gives
// the error of closing the channel. A completion must not call it.
func (c *Client) Close() error {
	c.end(fs.ErrClosed)
	c.routines.Wait()
	<-c.done
	return c.closeErr
}

// endWith is the last act of the reader and of the writer.
func (c *Client) endWith(err error) {
	c.end(err)
	c.leave()
}

// awaitReader lets the reader end the session when the writer could not go on:
// what the server sent before it closed the channel are answers, or the reason.
func (c *Client) awaitReader() {
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	select {
	case <-c.ending:
	case <-patience.C:
	}
}

// end ends the session once, and completes what is outstanding.
func (c *Client) end(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = lostError(cause)
	c.errUnsent = fmt.Errorf("%w, %w", ErrUnsent, c.err)
	c.errOldest = fmt.Errorf("%w, %w", ErrOldest, c.err)
	oldest := c.table.oldest
	lost := c.takeLost()
	close(c.ending)
	c.work.Broadcast()
	c.routines.Go(func() { c.closeErr = c.ch.Close() })
	err, unsent, first := c.err, c.errUnsent, c.errOldest
	c.mu.Unlock()
	for _, r := range lost {
		switch {
		case r.state == stateQueued:
			c.finish(r, 0, unsent)
		case r == oldest:
			c.finish(r, 0, first)
		default:
			c.finish(r, 0, err)
		}
	}
	c.leave()
}

// takeLost empties the table, oldest first. The loss is the answer of the
// request whose payload is being written; the writer completes that one. Called
// with mu held.
func (c *Client) takeLost() []*request {
	var lost []*request
	oldest := c.table.oldest
	for r := oldest; r != nil; r = r.newer {
		if r.state == stateWriting {
			c.unanswered--
			r.answered, r.answerErr = true, c.err
			if r == oldest {
				r.answerErr = c.errOldest
			}
			continue
		}
		lost = append(lost, r)
	}
	c.table = table{}
	return lost
}

// leave counts those who may still complete a request; the last closes done.
func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving--; c.leaving == 0 {
		close(c.done)
	}
}

// lostError makes an ErrLost of why a session ended. The end of a channel becomes
// text: a lost READ must never look like the end of a file. So does the end of a
// context: it is not that of the caller who is told.
func lostError(cause error) error {
	switch {
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the server closed the channel", ErrLost)
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("%w: %v", ErrLost, cause)
	}
	return fmt.Errorf("%w: %w", ErrLost, cause)
}

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}
