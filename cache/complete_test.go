package cache

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// The same histories as the Pool's own, through what is mounted.
func TestCompleteData(t *testing.T) {
	if raceEnabled {
		t.Skip("the run without the race detector has it: that many bubbles crash it")
	}
	every := 200
	if n, err := strconv.Atoi(os.Getenv("REMOTEMOUNT_HISTORY_EVERY")); err == nil {
		every = max(n, 1)
	}
	turn := remotetest.Turn{Length: 4, Every: every, Turn: int(time.Now().Unix() / 86400)}
	remotetest.RunCompleteData(t, func(t testing.TB, s *remotetest.Server) remote.Remote { return stack(t, s) }, turn)
}
