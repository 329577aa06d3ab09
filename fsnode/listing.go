package fsnode

import (
	"context"
	"errors"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A listing is one run of Remote.ReadDir. There are servers and folders without an
// end, so what it keeps is bounded: a folder of no more than keptNames is kept whole,
// of a larger one as much is kept behind the place that was read last as in front of
// it, and the run waits for its reader.
type listing struct {
	fs    *filesystem
	began time.Time // or earlier, where the cache answers
	since uint64    // epoch when it began
	stop  context.CancelFunc

	mu      sync.Mutex
	age     time.Duration  // of what the cache hands over, of its goroutine alone
	entries []remote.Entry // guarded by mu: those with the index first and on
	first   uint64         // guarded by mu
	batches []batch        // guarded by mu: the entries as they came
	wanted  bool           // guarded by mu: a reader waits for more than there is
	over    bool           // guarded by mu
	err     error          // guarded by mu
	more    chan struct{}  // guarded by mu: closed when any of the above changes
}

// A batch is what came at once.
type batch struct {
	end  uint64 // the index behind it
	came time.Time
}

const (
	keptNames = 1 << 16 // of a listing
	keptLeast = 1 << 12 // of a listing, while all of them together have more than keptInAll
	keptInAll = 1 << 19
)

// errPassed is given for a place in a listing that is not kept any more.
var errPassed = errors.New("the listing is beyond that")

// list begins a listing.
func (f *filesystem) list(n *node) *listing {
	ctx, stop := context.WithCancel(remote.Stale(f.base))
	l := &listing{fs: f, began: time.Now(), since: f.tree.now(), stop: stop, more: make(chan struct{})}
	context.AfterFunc(ctx, l.forget)
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		l.end(f.fetch(ctx, n, l))
	}()
	return l
}

// fetch runs the listing. The path is pinned until the first names arrive: the
// server has the folder open then, wherever it moves.
func (f *filesystem) fetch(ctx context.Context, n *node, l *listing) error {
	path, err := f.tree.pin(ctx, n)
	if errors.Is(err, syscall.ESTALE) {
		return syscall.ENOENT // a removed folder; nothing to look up again
	}
	if err != nil {
		return err
	}
	unpin := sync.OnceFunc(func() { f.tree.unpin(n) })
	defer unpin()
	return f.remote.ReadDir(remote.WithAger(ctx, l), path, func(entries []remote.Entry) error {
		unpin()
		return l.add(ctx, entries)
	})
}

// Aged implements remote.Ager.
func (l *listing) Aged(age time.Duration) {
	l.age = age
	if at := time.Now().Add(-age); at.Before(l.began) {
		l.began = at
	}
}

// limit is how many names it may keep now.
func (l *listing) limit() int {
	if l.fs.kept.Load() > keptInAll {
		return keptLeast
	}
	return keptNames
}

// add waits for room, unless a reader waits: how much room there is changes with what
// other listings keep, so that each could wait for the other.
func (l *listing) add(ctx context.Context, entries []remote.Entry) error {
	came := time.Now().Add(-l.age)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.entries) >= l.limit() && !l.wanted {
		more := l.more
		l.mu.Unlock()
		err := remote.Await(ctx, more)
		l.mu.Lock()
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err // forget has run, or is about to
	}
	l.wanted = false
	if len(entries) > 0 {
		l.entries = append(l.entries, entries...)
		l.batches = append(l.batches, batch{l.first + uint64(len(l.entries)), came})
	}
	l.fs.kept.Add(int64(len(entries)))
	l.changed()
	return nil
}

func (l *listing) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over, l.err = true, err
	l.changed()
}

// forget is for when nobody reads it any more.
func (l *listing) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(len(l.entries))
}

// drop lets go of the first n names. The caller holds l.mu.
func (l *listing) drop(n int) {
	l.entries = l.entries[n:]
	if len(l.entries) == 0 {
		l.entries = nil
	}
	l.first += uint64(n)
	for len(l.batches) > 0 && l.batches[0].end <= l.first {
		l.batches = l.batches[1:]
	}
	l.fs.kept.Add(-int64(n))
	l.changed()
}

// changed wakes who waits. The caller holds l.mu.
func (l *listing) changed() {
	close(l.more)
	l.more = make(chan struct{})
}

// makeRoom lets go of what is far behind index i, when there is no room for more. The
// caller holds l.mu.
func (l *listing) makeRoom(i uint64) {
	limit := l.limit()
	behind := l.first + uint64(limit/2)
	if l.over || len(l.entries) < limit || i <= behind {
		return
	}
	l.drop(int(min(i-behind, uint64(len(l.entries)))))
}

// from gives entries from index i on that came at one time, waiting for one if wait
// says so. None, after waiting, is the end or an error.
func (l *listing) from(ctx context.Context, i uint64, wait bool) ([]remote.Entry, time.Time, error) {
	for {
		l.mu.Lock()
		l.makeRoom(i)
		if i < l.first {
			l.mu.Unlock()
			return nil, time.Time{}, errPassed
		}
		entries, came := l.batch(i)
		if len(entries) == 0 && wait {
			l.wanted = true
			l.changed()
		}
		over, err, more := l.over, l.err, l.more
		l.mu.Unlock()
		if len(entries) > 0 {
			return entries, came, nil
		}
		if over || !wait {
			return nil, time.Time{}, err
		}
		if err := remote.Await(ctx, more); err != nil {
			return nil, time.Time{}, err
		}
	}
}

// batch is what is there of the batch with index i, from that on. The caller holds l.mu,
// and i is not passed.
func (l *listing) batch(i uint64) ([]remote.Entry, time.Time) {
	k := sort.Search(len(l.batches), func(k int) bool { return l.batches[k].end > i })
	if k == len(l.batches) {
		return nil, time.Time{}
	}
	return l.entries[i-l.first : l.batches[k].end-l.first], l.batches[k].came
}
