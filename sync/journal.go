package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A journal gathers what a run does: it counts into the Result and tells Events.
type journal struct {
	events func(Event)
	now    func() time.Time
	began  time.Time
	dry    bool
	most   int64                   // failures that end the run; 0 for none
	abort  context.CancelCauseFunc // ends the run

	mu     sync.Mutex
	result Result    // guarded by mu
	plan   []planned // of a dry run, told sorted at the end; guarded by mu

	folders, seen       atomic.Int64
	files, filesTotal   atomic.Int64
	bytes, bytesTotal   atomic.Int64
	scanned             atomic.Bool
	problems            atomic.Int64
	lastBytes, lastRate int64         // of the ticker alone
	lastTick            time.Duration // of the ticker alone
	stop                chan struct{}
	stopped             sync.WaitGroup
}

func newJournal(c Config, abort context.CancelCauseFunc) *journal {
	j := &journal{events: c.Events, now: c.Now, began: c.Now(), dry: c.DryRun, most: c.MaxErrors, abort: abort, stop: make(chan struct{})}
	j.result = Result{Mode: c.Mode, DryRun: c.DryRun, Began: j.began, strict: c.Strict}
	return j
}

// tell passes an event on; mu is held.
func (j *journal) tell(e Event) {
	if j.events == nil {
		return
	}
	if j.dry && e.Kind != EventProgress && e.Kind != EventResult {
		j.plan = append(j.plan, plannedOf(e))
		return
	}
	e.Time = j.now()
	j.events(e)
}

// done records an action carried out, or in a dry run planned.
func (j *journal) done(a Action, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.result.done(a, bytes)
	kind := EventDone
	if j.dry {
		kind = EventPlan
	}
	if a.Op != OpNone {
		j.tell(Event{Kind: kind, Action: a, Bytes: bytes})
	}
}

func (j *journal) skip(a Action) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.result.skipped(a)
	j.tell(Event{Kind: EventSkip, Action: a})
}

func (j *journal) conflict(a Action) {
	j.problems.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.result.conflict(Problem{Path: a.Path, Why: a.Why})
	j.tell(Event{Kind: EventConflict, Action: a})
}

// fail records an error about one name. What the end of the run caused is not
// one, and what concerns every name ends the run.
func (j *journal) fail(ctx context.Context, a Action, side Side, err error) {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return
	}
	if ends(err) {
		j.abort(err)
	}
	j.problems.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.result.failed(Problem{Path: a.Path, Side: side, Err: err})
	j.tell(Event{Kind: EventFailed, Action: a, Side: side, Err: err})
	if j.most > 0 && j.result.FailureCount >= j.most {
		j.abort(fmt.Errorf("%w: %d", ErrTooMany, j.result.FailureCount))
	}
}

// ErrTooMany ends a run after MaxErrors failures.
var ErrTooMany = errors.New("too many errors, the run was ended")

// ends reports whether an error is about the remote rather than about a name.
func ends(err error) bool {
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.ENODEV)
}

// complete reports that nothing is left to do that a next run would.
func (j *journal) complete() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.result.Partial() && j.result.Busy+j.result.Settling == 0
}

// missed reports that something was not there, or failed.
func (j *journal) missed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.result.Vanished+j.result.FailureCount > 0
}

// count changes a field of the Result.
func (j *journal) count(field func(*Result) *int64, n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*field(&j.result) += n
}

// vanished notes that something listed is not there any more, which is no failure.
func (j *journal) vanished() { j.count(func(r *Result) *int64 { return &r.Vanished }, 1) }

// tick tells the progress every interval until close.
func (j *journal) tick(interval time.Duration) {
	if j.events == nil {
		return
	}
	j.stopped.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				j.progress()
			case <-j.stop:
				return
			}
		}
	})
}

func (j *journal) progress() {
	p := Progress{
		Elapsed: j.now().Sub(j.began), Scanned: j.scanned.Load(),
		Folders: j.folders.Load(), Seen: j.seen.Load(),
		Files: j.files.Load(), FilesTotal: j.filesTotal.Load(),
		Bytes: j.bytes.Load(), BytesTotal: j.bytesTotal.Load(),
		Problems: j.problems.Load(),
	}
	p.Rate = j.rate(p.Bytes, p.Elapsed)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tell(Event{Kind: EventProgress, Progress: p})
}

// rate is smoothed over the last few ticks.
func (j *journal) rate(bytes int64, elapsed time.Duration) int64 {
	if d := elapsed - j.lastTick; d > 0 {
		now := int64(float64(bytes-j.lastBytes) / d.Seconds())
		j.lastRate = (3*j.lastRate + now) / 4
		if j.lastTick == 0 {
			j.lastRate = now
		}
	}
	j.lastBytes, j.lastTick = bytes, elapsed
	return j.lastRate
}

// close ends the ticker, tells what a dry run planned, and the result of a run that
// came to its end, or did not.
func (j *journal) close(ended bool) *Result {
	close(j.stop)
	j.stopped.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tellPlan()
	j.result.Duration, j.result.Ended = j.now().Sub(j.began), ended
	r := j.result
	j.tell(Event{Kind: EventResult, Result: &r})
	return &r
}
