//go:build race

package keys

// raceEnabled says that the race detector makes key derivation a hundred times
// slower; tests of its default costs are left to the run without.
const raceEnabled = true
