package pool_test

import (
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

func TestCuts(t *testing.T) {
	t.Parallel()
	remotetest.RunCuts(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
		return connected(t, s, pool.Config{Timeout: 20 * time.Second})
	})
}

func TestCutsForeign(t *testing.T) {
	t.Parallel()
	remotetest.RunCuts(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
		s.Identification = "SSH-2.0-Other_1.0"
		return connected(t, s, pool.Config{Timeout: 20 * time.Second})
	})
}

func TestCutsOnOneConnection(t *testing.T) {
	t.Parallel()
	remotetest.RunCuts(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
		s.MaxConnections, s.MaxSessions = 1, 1
		return connected(t, s, pool.Config{Timeout: 20 * time.Second, MaxConnections: 1})
	})
}

func TestContractOnScriptedServer(t *testing.T) {
	for name, identification := range map[string]string{"OpenSSH": "SSH-2.0-OpenSSH_9.2p1", "foreign": "SSH-2.0-Other_1.0"} {
		t.Run(name, func(t *testing.T) {
			remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
				s := remotetest.NewServer(t, t.TempDir())
				s.Identification = identification
				p := connected(t, s, pool.Config{Timeout: 20 * time.Second})
				return remotetest.Fixture{
					Remote: p, Path: s.Root, Capabilities: remotetest.OpenSSH(),
					Stall: func() func() {
						s.Stall(true)
						return func() { s.Stall(false) }
					},
				}
			})
		})
	}
}

func TestAway(t *testing.T) {
	remotetest.RunAway(t, remotetest.Limits{Timeout: 30 * time.Second, Retry: 10 * time.Minute}, func(t testing.TB, s *remotetest.Server) remote.Remote {
		return connected(t, s, pool.Config{Timeout: 30 * time.Second, Retry: 10 * time.Minute})
	})
}

func TestClocks(t *testing.T) {
	remotetest.RunClocks(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
		return connected(t, s, pool.Config{Timeout: 20 * time.Second})
	})
}
