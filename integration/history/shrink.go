package history

import (
	"slices"
	"time"
)

// Shrink takes steps out of a failing history, as many as it can until the
// deadline, so that what is left still fails. It tries large pieces first and then
// smaller ones (delta debugging), and then shorter lengths.
func Shrink(steps []Step, deadline time.Time, fails func([]Step) bool) []Step {
	over := func() bool { return time.Now().After(deadline) }
	for piece := (len(steps) + 1) / 2; piece > 0 && !over(); {
		shorter := false
		for at := 0; at < len(steps) && !over(); {
			rest := slices.Concat(steps[:at], steps[min(at+piece, len(steps)):])
			if fails(rest) {
				steps, shorter = rest, true
			} else {
				at += piece
			}
		}
		switch {
		case piece > 1:
			piece /= 2
		case !shorter:
			piece = 0
		}
	}
	return simplify(steps, over, fails)
}

// simplify makes the numbers of the steps smaller.
func simplify(steps []Step, over func() bool, fails func([]Step) bool) []Step {
	for i := range steps {
		for _, n := range []int64{0, 1, 10, 100, 4096, 10000, 100000} {
			if over() {
				return steps
			}
			for _, field := range []func(*Step) *int64{
				func(s *Step) *int64 { return &s.Off },
				func(s *Step) *int64 { return &s.Len },
			} {
				simpler := slices.Clone(steps)
				if v := field(&simpler[i]); *v > n && simpler[i].Op != "mmap" {
					*v = n
					if fails(simpler) {
						steps = simpler
					}
				}
			}
		}
	}
	return steps
}
