package sync

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unsafe"
)

// A dry run over a million new files held 400 bytes of each until its end.
func TestWhatADryRunHolds(t *testing.T) {
	if n := unsafe.Sizeof(planned{}); n > 72 {
		t.Errorf("a planned action takes %d bytes", n)
	}
}

// What is held is all that is told.
func TestADryRunTellsAllOfAnEvent(t *testing.T) {
	a := Action{Op: OpCopy, Path: "a", From: Remote, Source: file(5, old), Target: Item{Kind: Symlink}, Delete: true, Why: WhyKind}
	clash, skip := a, a
	clash.Op, skip.Op, skip.Why = OpConflict, OpSkip, WhyLeft
	for _, e := range []Event{
		{Kind: EventPlan, Action: a, Bytes: 5},
		{Kind: EventConflict, Action: clash},
		{Kind: EventSkip, Action: skip},
		{Kind: EventFailed, Action: skip, Side: Remote, Err: errors.New("no")},
	} {
		now := time.Now()
		j := newJournal(Config{Options: Options{DryRun: true}, Now: func() time.Time { return now }}, nil)
		var told Event
		j.events = func(e Event) {
			if e.Kind != EventResult {
				told = e
			}
		}
		j.tell(e)
		j.close(false)
		e.Time = now
		want, err := json.Marshal(e)
		must(t, err)
		got, err := json.Marshal(told)
		must(t, err)
		if string(got) != string(want) || told.Text() != e.Text() {
			t.Errorf("told %s (%s), want %s (%s)", got, told.Text(), want, e.Text())
		}
	}
}
