package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// join adds a reader, unless there is no such listing, or it is too late to hear
// everything, or what it says may be older than a change of ours, or than what is held
// may be. Under tree.mu.
func (l *list) join(t *tree) bool {
	if l == nil || l.changed || l.started+instant(t.lifetime) <= t.clock() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.huge {
		return false
	}
	l.readers++
	return true
}

// abandonAt is the number of names beyond which a listing that nobody reads any
// more is ended.
const abandonAt = 20_000

// leave takes a reader away.
func (l *list) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers--
	l.release()
	if l.readers == 0 && !l.done && (l.huge || l.held > abandonAt) {
		l.huge = true
		l.cancel()
	}
}

var errHuge = errors.New("listing read ahead is too large")

// window is how many names of a huge listing wait for their reader.
const window = 2000

// add appends a batch. When more is held than may be, it waits for the reader: the
// memory of a folder of millions of names is bounded by that, and so is that of many
// folders at once.
func (l *list) add(ctx context.Context, batch []remote.Entry, arrived instant) error {
	if len(batch) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches, l.arrived = append(l.batches, batch), append(l.arrived, arrived)
	l.held += len(batch)
	all := int(l.all.Add(int64(len(batch))))
	l.huge = l.huge || l.held > l.limit || l.held > window && all > l.limit
	l.notify()
	for l.huge && l.held > min(window, l.limit) && l.readers > 0 {
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
	if l.readers == 0 && (l.huge || l.held > abandonAt) {
		l.huge = true // nobody can join it any more
		return errHuge
	}
	return nil
}

// notify wakes everyone in wait. Under mu.
func (l *list) notify() {
	close(l.moved)
	l.moved = make(chan struct{})
}

// wait gives up mu until something changes or ctx ends.
func (l *list) wait(ctx context.Context) error {
	moved := l.moved
	l.mu.Unlock()
	defer l.mu.Lock()
	return remote.Await(ctx, moved)
}

// stirs waits for the first names, or the end, and reports whether they came in
// time.
func (l *list) stirs(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.passed+len(l.batches) == 0 && !l.done {
		if l.wait(ctx) != nil {
			return false
		}
	}
	return true
}

// A sharer is one ReadDir that goes along with a list.
type sharer struct{ next int } // batch

// errAlone is for a reader that has to go on by itself.
var errAlone = errors.New("the listing is too large to be shared")

// read hands everything to emit as it arrives. With errAlone it gives the names that
// were handed on.
func (l *list) read(ctx context.Context, clock func() instant, emit func([]remote.Entry) error) (seen map[string]struct{}, err error) {
	r := &sharer{}
	defer l.end(r)
	for {
		batch, arrived, err := l.batch(ctx, r)
		if err == errAlone {
			return l.seen(r), err
		}
		if err != nil || batch == nil {
			return nil, err
		}
		remote.Aged(ctx, time.Duration(clock()-arrived))
		if err := emit(batch); err != nil {
			return nil, err
		}
	}
}

// end lets nobody wait for a reader that the rest was for.
func (l *list) end(r *sharer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.only == r && !l.done {
		l.cancel()
	}
}

// seen are the names in the batches that r had.
func (l *list) seen(r *sharer) map[string]struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make(map[string]struct{})
	for _, batch := range l.early[:r.next] {
		for _, e := range batch {
			names[e.Name] = struct{}{}
		}
	}
	return names
}

// batch waits for the next batch of r, and gives when it arrived; nil is the end.
func (l *list) batch(ctx context.Context, r *sharer) ([]remote.Entry, instant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.huge && l.only == nil:
			l.passTo(r)
		case l.only != nil && l.only != r:
			return nil, 0, errAlone
		}
		if r.next < l.passed+len(l.batches) {
			batch, arrived := l.take(r)
			return batch, arrived, nil
		}
		if l.done {
			return nil, 0, l.err
		}
		if err := l.wait(ctx); err != nil {
			return nil, 0, remote.PathError("readdir", l.path, err)
		}
	}
}

// passTo makes r the only one that gets the rest. Under mu.
func (l *list) passTo(r *sharer) {
	l.only = r
	if l.readers > 1 {
		l.early = slices.Clone(l.batches)
	}
	for range r.next {
		l.pass()
	}
	l.notify()
}

// pass lets go of the first batch. Under mu.
func (l *list) pass() {
	n := len(l.batches[0])
	l.batches[0] = nil
	l.batches, l.arrived = l.batches[1:], l.arrived[1:]
	l.passed++
	l.held -= n
	l.all.Add(-int64(n))
}

// release counts nothing any more of a listing that is over and read. Under mu.
func (l *list) release() {
	if l.done && l.readers == 0 {
		l.all.Add(-int64(l.held))
		l.held = 0
	}
}

// take gives r the next batch. Under mu.
func (l *list) take(r *sharer) ([]remote.Entry, instant) {
	batch, arrived := l.batches[r.next-l.passed], l.arrived[r.next-l.passed]
	r.next++
	if l.only == r {
		l.pass()
		l.notify()
		if l.readers == 1 {
			l.early = nil
		}
	}
	return batch, arrived
}
