package sync

import (
	"cmp"
	"slices"
)

// A planned is an Event of a dry run: as much of it as is told of it, since all are held
// until the run ends, to be told in the order of paths.
type planned struct {
	path        string
	why         Why
	err         error
	size, bytes int64
	op          Op
	from, side  Side
	kinds       [2]Kind // of source and target
	remove      bool
}

func plannedOf(e Event) planned {
	a := e.Action
	return planned{
		path: a.Path, why: a.Why, err: e.Err, size: a.Source.Size, bytes: e.Bytes,
		op: a.Op, from: a.From, side: e.Side, kinds: [2]Kind{a.Source.Kind, a.Target.Kind}, remove: a.Delete,
	}
}

func (p planned) event() Event {
	e := Event{Kind: EventPlan, Side: p.side, Bytes: p.bytes, Err: p.err}
	e.Action = Action{
		Op: p.op, Path: p.path, From: p.from, Why: p.why, Delete: p.remove,
		Source: Item{Kind: p.kinds[0], Size: p.size}, Target: Item{Kind: p.kinds[1]},
	}
	switch {
	case p.err != nil:
		e.Kind = EventFailed
	case p.op == OpSkip:
		e.Kind = EventSkip
	case p.op == OpConflict:
		e.Kind = EventConflict
	}
	return e
}

// tellPlan tells what a dry run has found; mu is held.
func (j *journal) tellPlan() {
	slices.SortStableFunc(j.plan, func(a, b planned) int { return cmp.Compare(a.path, b.path) })
	for _, p := range j.plan {
		e := p.event()
		e.Time = j.now()
		j.events(e)
	}
	j.plan = nil
}
