//go:build race

package serve

// raceEnabled: github.com/pkg/sftp has a race of its own where a client uses a handle
// that it has not been told yet, which is what a fuzzer does.
const raceEnabled = true
