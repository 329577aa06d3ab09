package sftp3

import (
	"context"
	"io"
	"sync"
)

// idleReadAts is how many ReadAts are kept for use again.
const idleReadAts = 16

// readAt is a ReadAt under way: pieces of MaxRead, all in flight at once. The
// answers to them meet under its lock.
type readAt struct {
	c     *Client
	h     Handle
	ready chan struct{} // one element when the last piece has ended

	mu     sync.Mutex
	pieces []piece
	left   int  // pieces that have not ended
	gone   bool // nobody waits: do not ask on
}

// piece is one part of the buffer.
type piece struct {
	op  *readAt
	p   []byte
	off int64
	got int
	err error // io.EOF, or why it is not whole
}

// ReadAt reads len(p) bytes at off, in packets of Limits.MaxRead that are all in
// flight at once; who wants a bound reads less at a time. A short answer is asked
// on. It returns fewer than len(p) bytes only with an error: io.EOF when the
// server said that the file ends there, the server's *StatusError, ErrLost, or
// ctx.Err(). In that last case data may still arrive in p, which must not be used
// again.
func (c *Client) ReadAt(ctx context.Context, h Handle, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	op := c.startReadAt(h, p, off)
	select {
	case <-op.ready:
		n, err := op.result()
		c.keepReadAt(op)
		return n, err
	case <-ctx.Done():
		op.mu.Lock()
		op.gone = true
		op.mu.Unlock()
		return 0, ctx.Err()
	}
}

func (c *Client) startReadAt(h Handle, p []byte, off int64) *readAt {
	var op *readAt
	select {
	case op = <-c.idleReads:
	default:
		op = &readAt{c: c, ready: make(chan struct{}, 1)}
	}
	op.h = h
	for size := c.limits.MaxRead; len(p) > 0; {
		n := min(size, len(p))
		op.pieces = append(op.pieces, piece{op: op, p: p[:n:n], off: off})
		p, off = p[n:], off+int64(n)
	}
	op.left = len(op.pieces)
	for i := range op.pieces {
		piece := &op.pieces[i]
		c.StartReadTo(h, piece.p, piece.off, piece)
	}
	return op
}

// keepReadAt keeps an op that has ended for the next ReadAt.
func (c *Client) keepReadAt(op *readAt) {
	clear(op.pieces)
	op.pieces = op.pieces[:0]
	select {
	case c.idleReads <- op:
	default:
	}
}

// ReadDone takes an answer to a piece, and asks on when it was short.
func (p *piece) ReadDone(n int, err error) {
	p.op.mu.Lock()
	p.got += n
	switch {
	case err != nil:
		p.err = err
	case p.got == len(p.p) || p.op.gone:
	case n == 0:
		p.err = io.ErrNoProgress // a server that gives nothing would be asked for ever
	default:
		p.op.mu.Unlock()
		p.op.c.StartReadTo(p.op.h, p.p[p.got:], p.off+int64(p.got), p)
		return
	}
	p.op.left--
	last := p.op.left == 0
	p.op.mu.Unlock()
	if last {
		p.op.ready <- struct{}{}
	}
}

// result is what there is up to the first piece that is not whole. What comes
// behind that is not used: the file may have changed between the answers.
func (op *readAt) result() (n int, err error) {
	op.mu.Lock()
	defer op.mu.Unlock()
	for i := range op.pieces {
		n += op.pieces[i].got
		if err := op.pieces[i].err; err != nil {
			return n, err
		}
	}
	return n, nil
}
