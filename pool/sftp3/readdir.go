package sftp3

import (
	"context"
	"errors"
	"io"
)

const (
	// firstWindow READDIRs are sent at once: the second is answered with the end
	// when the first held everything, so that a small folder costs one round
	// trip.
	firstWindow = 2

	// lastWindow bounds both the READDIRs wasted at the end of a folder and what
	// a server can make us hold.
	lastWindow = 32

	// fullBatch is the size below which a first batch is probably the only one;
	// OpenSSH and pkg/sftp send 100 names at a time.
	fullBatch = 50

	// maxEmpty is how many batches without a name are taken as slowness of the
	// server before the listing is given up.
	maxEmpty = 64
)

// ReadDir reads the names of a folder opened by StartOpenDir, "." and ".."
// included where the server gives them, and hands them to emit in batches as
// they come. READDIRs are pipelined: two at first, twice as many after each full
// batch that comes, up to lastWindow. emit may keep the names, not the slice. An error of emit, of
// ctx, or of the server ends the listing and is returned; answers that are
// still under way are dropped. The handle stays open.
func (c *Client) ReadDir(ctx context.Context, h Handle, emit func([]Name) error) error {
	l := listing{c: c, h: h, window: firstWindow, full: fullBatch}
	defer l.forget()
	l.fill()
	for !l.ended || !c.InOrder && len(l.calls) > 0 {
		names, err := l.next(ctx)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			continue
		}
		if err := emit(names); err != nil {
			return err
		}
	}
	return nil
}

// listing is a ReadDir under way.
type listing struct {
	c      *Client
	h      Handle
	calls  []*Call // in the order they were sent
	window int
	full   int  // names in a full batch, as far as we know
	short  bool // the last batch was not full
	empty  int  // batches without a name, one after the other
	ended  bool // the server has answered with the end
}

// fill sends as many READDIRs as the window lets.
func (l *listing) fill() {
	for !l.ended && len(l.calls) < l.window {
		l.calls = append(l.calls, l.c.StartReadDir(l.h))
	}
}

// next waits for the next batch, which is empty at the end.
func (l *listing) next(ctx context.Context) ([]Name, error) {
	call := l.calls[0]
	l.calls = l.calls[1:]
	names, err := call.WaitNames(ctx)
	var status *StatusError
	switch {
	case errors.Is(err, io.EOF):
		l.ended = true
		return nil, nil
	case l.ended && errors.As(err, &status):
		return nil, nil // after the end a server may answer with anything
	case err != nil:
		return nil, err
	}
	return names, l.grow(len(names))
}

// grow widens the window after a batch, and sends what it lets.
func (l *listing) grow(names int) error {
	if names > 0 {
		l.empty = 0
	} else if l.empty++; l.empty == maxEmpty {
		return io.ErrNoProgress
	}
	if l.looksLast(names) && len(l.calls) > 0 {
		return nil
	}
	if names > 0 {
		l.window = min(2*l.window, lastWindow)
	}
	l.fill()
	return nil
}

// looksLast reports whether the next answer is probably the end: then no further
// READDIR is wasted, which in a tree of small folders would be most of them. A
// second short batch in a row says that this server's batches are that short.
func (l *listing) looksLast(names int) bool {
	if names < l.full && !l.short {
		l.short = true
		return true
	}
	l.short, l.full = false, max(names, 1)
	return false
}

func (l *listing) forget() {
	for _, call := range l.calls {
		call.Forget()
	}
}
