package pool_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestComplete plays all histories of two operations and a fiftieth of the longer ones,
// another one each day; `make history` plays all.
func TestComplete(t *testing.T) {
	every, turn := 50, int(time.Now().Unix()/86400)
	if n, err := strconv.Atoi(os.Getenv("REMOTEMOUNT_HISTORY_EVERY")); err == nil {
		every = max(n, 1)
	}
	for name, identification := range map[string]string{"OpenSSH": "SSH-2.0-OpenSSH_9.2p1", "foreign": "SSH-2.0-Other_1.0"} {
		t.Run(name, func(t *testing.T) {
			remotetest.RunComplete(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
				s.Identification = identification
				return connected(t, s, pool.Config{Timeout: 20 * time.Second})
			}, 4, every, turn)
		})
	}
}
