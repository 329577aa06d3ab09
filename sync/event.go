package sync

import "time"

// EventKind says what an Event tells.
type EventKind string

// The kinds of Event.
const (
	EventPlan     EventKind = "plan"     // dry run: would be done
	EventDone     EventKind = "done"     // was done
	EventSkip     EventKind = "skip"     // left alone, Action.Why says what for
	EventConflict EventKind = "conflict" // both kept, Action.Why says what for
	EventFailed   EventKind = "failed"   // Err says why
	EventProgress EventKind = "progress" // how far the run is
	EventResult   EventKind = "result"   // the run is over
)

// An Event is told while a run goes on. Events come one at a time, in the order
// in which things happen, except that a dry run sorts by path.
type Event struct {
	Kind     EventKind
	Time     time.Time
	Action   Action // of plan, done, skip, conflict and failed
	Side     Side   // of failed: where it happened
	Bytes    int64  // of done: moved for this action
	Err      error  // of failed
	Progress Progress
	Result   *Result // of result
}

// Progress tells how far a run is. The totals grow until Scanned is set.
type Progress struct {
	Elapsed time.Duration
	Scanned bool  // every folder was listed
	Folders int64 // listed so far
	Seen    int64 // names compared so far

	Files, FilesTotal int64 // copies done, and planned so far
	Bytes, BytesTotal int64 // moved or compared, and planned so far
	Rate              int64 // bytes a second of late
	Problems          int64 // conflicts and failures so far
}

// Left is how much longer the copies planned so far take at the present rate; 0
// when that cannot be told.
func (p Progress) Left() time.Duration {
	if p.Rate <= 0 || p.BytesTotal <= p.Bytes {
		return 0
	}
	return time.Duration(float64(p.BytesTotal-p.Bytes) / float64(p.Rate) * float64(time.Second))
}
