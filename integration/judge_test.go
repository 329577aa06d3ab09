package integration

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/history"
)

// How long the judge works in each setting of `make test`, how many steps that
// must be to mean something (a machine with the race detector makes a tenth of
// what others make), and how long it may shorten a history.
const (
	judgeTime   = 8 * time.Second
	judgeLeast  = 100
	shrinkTime  = 20 * time.Second
	shrinkLong  = 3 * time.Minute
	differences = 5 // of a long run, which then ends
)

// What TestJudge and TestJudgeNames are called in known.
const (
	randomHistories = "random histories about data"
	randomNames     = "random histories about names"
)

// A judge plays random histories on a stage.
type judge struct {
	*stage
	t      *testing.T
	known  bool
	random func(seed uint64) []history.Step
	steps  int    // how many to play; 0 is as many as judgeTime has
	seed   uint64 // of the first history

	mu     sync.Mutex
	next   uint64 // guarded by mu, like all below
	done   int
	found  []found
	failed error
}

// found is a history that showed a difference.
type found struct {
	seed uint64
	diff *history.Difference
}

// TestJudge compares random histories about data with a local folder, in every
// setting. REMOTEMOUNT_JUDGE_STEPS makes it a long run of so many steps in each
// setting, and in those with cuts, which take long: a step may come to a login.
// REMOTEMOUNT_JUDGE_SEED says with which history it begins.
func TestJudge(t *testing.T) {
	t.Parallel() // it takes long
	judgeAll(t, randomHistories, history.Random, settings)
	if number(t, "REMOTEMOUNT_JUDGE_STEPS", 0) > 0 {
		judgeAll(t, randomHistories, history.Random, cutSettings)
	}
}

// TestJudgeNames is TestJudge with histories about names and attributes as well. It
// is for long runs alone, since it comes to what is the kernel's: what was stored to a
// mapping, and is handed down only after times were set, makes the file newer again.
func TestJudgeNames(t *testing.T) {
	if number(t, "REMOTEMOUNT_JUDGE_STEPS", 0) > 0 {
		judgeAll(t, randomNames, history.RandomNames, settings)
		judgeAll(t, randomNames, history.RandomNames, cutSettings)
	}
}

func judgeAll(t *testing.T, name string, random func(uint64) []history.Step, settings []setting) {
	for _, in := range settings {
		t.Run(in.name, func(t *testing.T) {
			j := &judge{
				stage: newStage(t, in), t: t, known: isKnown(name, in), random: random,
				steps: number(t, "REMOTEMOUNT_JUDGE_STEPS", 0), seed: uint64(number(t, "REMOTEMOUNT_JUDGE_SEED", 1)),
			}
			verdict(t, name, in, j.run(max(in.pairs, 1)))
		})
	}
}

// TestJudgeScript plays the script in the file that REMOTEMOUNT_JUDGE_SCRIPT
// names, up to REMOTEMOUNT_JUDGE_TIMES (10) times in every setting, and shortens it
// where it differs.
func TestJudgeScript(t *testing.T) {
	path := os.Getenv("REMOTEMOUNT_JUDGE_SCRIPT")
	if path == "" {
		return // nothing to play
	}
	text, err := os.ReadFile(path)
	must(t, err)
	steps, err := history.Parse(string(text))
	must(t, err)
	for _, in := range settings {
		t.Run(in.name, func(t *testing.T) {
			st := newStage(t, in)
			pair, times := st.processes(t, st.point, st.point), number(t, "REMOTEMOUNT_JUDGE_TIMES", 10)
			for i := range times {
				diff, err := st.play(pair, steps)
				must(t, err)
				if diff != nil {
					t.Errorf("the %d. of %d times: %v\nShortened%s", i+1, times, diff,
						st.shorten(pair, times, time.Now().Add(shrinkLong), diff.Kind(), steps))
					return
				}
			}
		})
	}
}

// number is a number from the environment.
func number(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// run plays histories on so many pairs of processes, until it has enough of them
// or of differences, and gives the differences.
func (j *judge) run(pairs int) error {
	j.t.Helper()
	began := time.Now()
	j.next = j.seed
	var all sync.WaitGroup
	var first []*history.Process
	for range pairs {
		pair := j.processes(j.t, j.point, j.point)
		first = pair
		all.Go(func() { j.work(pair, began.Add(judgeTime)) })
	}
	all.Wait()
	took := time.Since(began)
	j.t.Logf("%d steps in %v, %.0f a second; histories %d to %d", j.done, took.Round(time.Second), float64(j.done)/took.Seconds(), j.seed, j.next-1)
	if j.failed != nil {
		return j.failed
	}
	var err error
	for _, f := range j.found {
		err = errors.Join(err, j.explain(first, f))
	}
	if err == nil && j.done < judgeLeast {
		return fmt.Errorf("only %d steps: that shows nothing", j.done)
	}
	return err
}

// work plays one history after the other on one pair.
func (j *judge) work(pair []*history.Process, until time.Time) {
	for {
		seed, name, ok := j.take(until)
		if !ok {
			return
		}
		steps := j.random(seed)
		diff, err := history.Play(pair, name, steps)
		j.mu.Lock()
		j.done += len(steps)
		if diff != nil {
			j.found = append(j.found, found{seed, diff})
		}
		if err != nil && j.failed == nil {
			j.failed = fmt.Errorf("seed %d: %w in\n%s", seed, err, history.Format(steps))
		}
		j.mu.Unlock()
	}
}

// take gives the next history to play, if there is one.
func (j *judge) take(until time.Time) (seed uint64, name string, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil || len(j.found) >= j.enough() || j.steps > 0 && j.done >= j.steps || j.steps == 0 && time.Now().After(until) {
		return 0, "", false
	}
	seed = j.next
	j.next++
	j.played++
	return seed, fmt.Sprintf("h%d", j.played), true
}

// enough is how many differences end a run.
func (j *judge) enough() int {
	if j.steps == 0 || j.known {
		return 1
	}
	return differences
}

// explain shortens a history, and tells how often what is left differs.
func (j *judge) explain(pair []*history.Process, f found) error {
	steps := j.random(f.seed)
	err := fmt.Errorf("seed %d, %d steps: %v", f.seed, len(steps), f.diff)
	if j.known {
		return err
	}
	again, _ := j.differs(pair, 4, f.diff.Kind(), steps)
	if again == 0 {
		return fmt.Errorf("%w\nIt did not do so again in 4 times. The history:\n%s", err, history.Format(steps))
	}
	limit, tries := shrinkTime, 1
	if j.steps > 0 {
		limit = shrinkLong
	}
	if again < 4 {
		tries = 6
	}
	return fmt.Errorf("%w\nShortened%s", err, j.shorten(pair, tries, time.Now().Add(limit), f.diff.Kind(), steps))
}

// shorten shortens a history that differs in this way at least once in so many
// times, and says what became of it.
func (st *stage) shorten(pair []*history.Process, tries int, until time.Time, kind string, steps []history.Step) string {
	short := history.Shrink(steps, until, func(h []history.Step) bool {
		for range tries {
			if n, _ := st.differs(pair, 1, kind, h); n > 0 {
				return true
			}
		}
		return false
	})
	times, last := st.differs(pair, 10*tries, kind, short)
	return fmt.Sprintf("; it differs %d times in %d, the last time at %v\n%s", times, 10*tries, last, history.Format(short))
}

// differs plays a history so many times, and tells how often it differed in this
// way.
func (st *stage) differs(pair []*history.Process, times int, kind string, steps []history.Step) (n int, last *history.Difference) {
	for range times {
		if diff, err := st.play(pair, steps); err == nil && diff != nil && diff.Kind() == kind {
			n, last = n+1, diff
		}
	}
	return n, last
}
