package pool_test

import (
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

func eachOrder(t *testing.T, test func(t *testing.T, open func(testing.TB, *remotetest.Server) remote.Remote)) {
	if raceEnabled {
		t.Skip("the run without the race detector has it: that many bubbles crash it")
	}
	for name, identification := range map[string]string{"OpenSSH": "SSH-2.0-OpenSSH_9.2p1", "foreign": "SSH-2.0-Other_1.0"} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
				s.Identification = identification
				return connected(t, s, pool.Config{Timeout: 20 * time.Second})
			})
		})
	}
}

func TestCompleteData(t *testing.T) {
	eachOrder(t, func(t *testing.T, open func(testing.TB, *remotetest.Server) remote.Remote) {
		remotetest.RunCompleteData(t, open, remotetest.Today(4, 50))
	})
}

func TestCompleteNames(t *testing.T) {
	eachOrder(t, func(t *testing.T, open func(testing.TB, *remotetest.Server) remote.Remote) {
		remotetest.RunCompleteNames(t, open, remotetest.Today(3, 50))
	})
}
