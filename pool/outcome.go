package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// A naming is a change of names: one request, over as many tries as it takes. Once that
// was sent it may be executed though there is no answer: its caller gave up, it took too
// long, or the remote went away. Then the names are looked at for as long as it takes to
// know what became of it. Until then what is open there is opened by none of them, and
// no other change or opening of them begins.
type naming struct {
	paths []string // that have to do with it
	try   try
	made  func(context.Context, *session) (bool, error) // whether one without an answer was made; errs when there was no answer to that
	over  func(made bool)                               // notes what became of it

	lost time.Time // when it was known of the last request that no answer will come

	mu   sync.Mutex
	sent bool // guarded by mu; there was no answer
}

// name makes a change of names. Its error is an Unsettled when the outcome is not known.
// When its caller gives up nothing more is sent, and what was sent is waited for.
func (p *Pool) name(ctx context.Context, n *naming) error {
	m, err := p.files.begin(ctx, p, n.paths)
	if err != nil {
		return err
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	told := make(chan error, 2)
	p.spawn(func() {
		defer cancel()
		defer context.AfterFunc(p.life, cancel)()
		err := p.repeat(own, laneLook, changes, func(own context.Context, s *session, uncertain bool) error {
			return n.once(ctx, own, s, uncertain)
		})
		made := err == nil
		if n.isSent() {
			err = m.unsettled(err)
			told <- err
			made = p.outcome(n)
		}
		n.over(made)
		p.files.over(m, made)
		told <- err
	}, func() {
		p.files.over(m, false)
		told <- errClosed
	})
	select {
	case err := <-told:
		return err
	case <-ctx.Done():
	}
	if n.isSent() {
		return m.unsettled(ctx.Err())
	}
	cancel()
	if err := <-told; err == nil || !isEnd(err) {
		return err
	}
	return ctx.Err()
}

// once is one try, unless the caller is gone: then it only looks. After a try without an
// answer it looks before the next, and behind one that was refused: the first may have been
// executed just before that.
func (n *naming) once(caller, ctx context.Context, s *session, uncertain bool) error {
	goes, before := n.sends(caller)
	if goes && uncertain || !goes && before {
		if made, err := n.made(ctx, s); made || err != nil {
			n.answered(made)
			return err
		}
	}
	if !goes {
		return caller.Err()
	}
	err := n.try(ctx, s, uncertain)
	if uncertain && err != nil && !unanswered(err) {
		if made, lerr := n.made(ctx, s); made || lerr != nil {
			err = lerr
		}
	}
	switch {
	case errors.Is(err, sftp3.ErrUnsent):
		n.answered(!before)
	case unanswered(err):
		n.lost = time.Now()
	default:
		n.answered(true)
	}
	return err
}

// sends notes that it is about to be sent, unless the caller is gone.
func (n *naming) sends(caller context.Context) (goes, before bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before = n.sent
	goes = caller.Err() == nil
	n.sent = before || goes
	return goes, before
}

func (n *naming) answered(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent = n.sent && !yes
}

func (n *naming) isSent() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// outcome looks until it is known what became of a change without an answer. That it was
// not made is believed when the server can no longer have it before it.
func (p *Pool) outcome(n *naming) (made bool) {
	for tries := 1; p.life.Err() == nil; tries++ {
		_, err := p.session(p.life, laneLook, p.keep(), nil) // there may be none for long
		asked := time.Now()
		if err == nil {
			err = p.repeat(p.life, laneLook, looks, func(ctx context.Context, s *session, _ bool) (err error) {
				made, err = n.made(ctx, s)
				return err
			})
		}
		wait := n.lost.Add(lateFor).Sub(asked)
		switch {
		case err != nil:
			wait = max(pause(tries), firstBackoff)
		case made || wait <= 0:
			return made
		}
		_ = sleep(p.life, wait) // the loop asks whether the Pool has ended
	}
	return false
}

// unanswered reports whether an error says nothing of what became of a request.
func unanswered(err error) bool {
	return err != nil && (lostRequest(err) || isEnd(err) || errors.Is(err, errStuck))
}

// A moving is a change of names that is under way. Where the files are that it moves, or
// whether they are anywhere, is known when it is over.
type moving struct {
	paths []string
	moved []*object
	over  chan struct{}
	made  bool // set before over is closed
}

func (m *moving) unsettled(err error) error {
	return &remote.Unsettled{Err: err, Over: m.over, Made: func() bool { return m.made }}
}

// wait waits until it is over.
func (m *moving) wait(ctx context.Context, p *Pool, w *waiter) error {
	if err := w.refuse(p.current()); err != nil {
		return err
	}
	select {
	case <-m.over:
		return nil
	case <-w.expired():
		return errAway
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin notes that names are about to be changed, when no other change of them is under
// way: whoever has to open again what is open there waits, since it may be anywhere.
func (r *registry) begin(ctx context.Context, p *Pool, paths []string) (*moving, error) {
	w := p.look()
	for {
		m, other := r.moves(paths)
		if other == nil {
			return m, nil
		}
		if err := other.wait(ctx, p, w); err != nil {
			return nil, err
		}
	}
}

func (r *registry) moves(paths []string) (m, other *moving) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m = &moving{paths: paths, over: make(chan struct{})}
	for _, path := range paths {
		if other := r.underWayLocked(path); other != nil {
			return nil, other
		}
		for _, below := range r.moving.Below(path) {
			return nil, r.moving.At[below]
		}
	}
	for _, path := range paths {
		r.moving.Put(path, m)
		m.moved = append(m.moved, r.belowLocked(path)...)
	}
	for _, o := range m.moved {
		o.mu.Lock()
		o.move = m
		o.mu.Unlock()
	}
	return m, nil
}

// over ends a change when it is known, and noted, what became of it.
func (r *registry) over(m *moving, made bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range m.moved {
		o.mu.Lock()
		o.move = nil
		o.mu.Unlock()
	}
	for _, path := range m.paths {
		r.moving.Remove(path)
	}
	m.made = made
	close(m.over)
}

// settled waits until no change of a name, or of a folder which that is in, is under way.
func (p *Pool) settled(ctx context.Context, path string) error {
	for w := (*waiter)(nil); ; {
		m := p.files.underWay(path)
		if m == nil {
			return nil
		}
		if w == nil {
			w = p.look()
		}
		if err := m.wait(ctx, p, w); err != nil {
			return err
		}
	}
}

func (r *registry) underWay(path string) *moving {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.underWayLocked(path)
}

func (r *registry) underWayLocked(path string) *moving {
	m := r.moving.At[path]
	if m != nil || path == "." {
		return m
	}
	dir, _ := remote.Split(path)
	return r.underWayLocked(dir)
}
