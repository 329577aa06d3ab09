//go:build race

package pool_test

// raceEnabled: that many synctest bubbles, one after the other, crash the race detector of
// Go 1.26 now and then.
const raceEnabled = true
