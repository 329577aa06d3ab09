package cache

import (
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// The same histories as the Pool's own, through what is mounted.
func TestCompleteData(t *testing.T) {
	if raceEnabled {
		t.Skip("the run without the race detector has it: that many bubbles crash it")
	}
	remotetest.RunCompleteData(t, func(t testing.TB, s *remotetest.Server) remote.Remote { return stack(t, s) }, remotetest.Today(4, 200))
}
