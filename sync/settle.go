package sync

import (
	"context"
	"time"
)

// A file that was written to in the second that is now may be written to again in
// it, and then has the same time, to the second that SFTP tells, and perhaps the
// same size. Nothing would ever tell the two versions apart. So a file is read only
// when the second of its time is over, by the clock of its side: git's rule for
// racy times.

// over returns when the second of a time is over on a side. A time further ahead
// than clocks differ was set by somebody, and is not waited for.
func (p *pass) over(ctx context.Context, side Side, mtime int64, told time.Time) error {
	return sleep(ctx, p.untilOver(side, mtime, told))
}

// clocksApart is how far a clock may be off that nobody has asked for, as
// nothing is written there.
const clocksApart = 15 * time.Minute

// untilOver is how long the second of a time still lasts that was told at a moment.
func (p *pass) untilOver(side Side, mtime int64, told time.Time) time.Duration {
	facts := p.planner.Facts[side]
	if p.foreign[side] && !facts.Clock {
		if p.Now().Sub(time.Unix(mtime, 0)).Abs() > clocksApart {
			return 0
		}
		return max(0, time.Until(told.Add(time.Duration(1+p.step())*time.Second+30*time.Millisecond)))
	}
	slack := 30 * time.Millisecond // the kernel's clock for times of files is coarser than ours
	if p.foreign[side] {
		slack = time.Second // what is known of its clock
	}
	end := time.Unix(mtime+1+p.step()-facts.Ahead, 0).Add(slack)
	wait := end.Sub(p.Now())
	if wait > 10*time.Second {
		return 0
	}
	return max(0, wait)
}

// step is how many seconds a time may stand for beside its own, as the sides keep them.
// That times count as equal which are further apart makes none of them coarser.
func (p *pass) step() int64 { return min(p.planner.window(), most) }
