// Package remotetest holds what tests of remote.Remote share: an implementation on
// a local directory, the contract as a suite, and an SFTP server that fails on
// command.
//
// # A Remote without a network
//
// [Dir] is a remote.Remote made of plain system calls. Tests of the layers above
// the pool put it behind the seam: it counts calls, delays or fails them, and
// can keep written data until Flush as the pool does.
//
// # The contract
//
// [Run] holds any Remote to pool/remote.go. The caller makes a fresh Remote on an
// empty folder for each subtest and says what its server can do:
//
//	func TestContract(t *testing.T) {
//		remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
//			s := remotetest.NewServer(t, t.TempDir())
//			return remotetest.Fixture{
//				Remote:       newPool(t, s),
//				Path:         s.Root,
//				Capabilities: remotetest.OpenSSH(),
//				Stall: func() func() {
//					s.Stall(true)
//					return func() { s.Stall(false) }
//				},
//			}
//		})
//	}
//
//	func newPool(t testing.TB, s *remotetest.Server) *pool.Pool {
//		p, err := pool.New(pool.Config{
//			Transport: func(ctx context.Context) (pool.Conn, error) { return s.Connect(ctx) },
//			Timeout:   5 * time.Second,
//		})
//		...
//		t.Cleanup(...) // ends p; the server ends after it
//	}
//
// The pool's tests do that from package pool_test, since this package imports
// pool. What only an ordinary user sees (EACCES) is not asked for when the
// server's user is root: run the test again as another user.
//
// # Lost connections
//
// [RunCuts] plays what the contract says of connections that break:
// for each operation, its request dropped before or after it was executed, its
// answer held, and the request executed late by a connection that was given up;
// and then files that somebody else has changed meanwhile.
//
//	func TestCuts(t *testing.T) {
//		remotetest.RunCuts(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
//			return newPool(t, s)
//		})
//	}
//
// A second run with s.Identification = "SSH-2.0-Other_1.0", set ahead of the first
// connection, shows that nothing relies on the order of a server of which none is
// known.
//
// [RunAway] plays a server that cannot be reached or has gone silent, in synctest
// bubbles, so that it takes no time:
//
//	limits := remotetest.Limits{Timeout: 5 * time.Second, Retry: time.Minute}
//	remotetest.RunAway(t, limits, open) // as for RunCuts, with these limits
//
// # The scripted server
//
// [Server] speaks SFTP 3 at the level of packets, over pipes in memory. A test
// names the next request that is to meet a [Fate]:
//
//	trap := s.Next("MKDIR", "dir", remotetest.CutAfter)
//	err := r.Mkdir(...)
//	<-trap.Sprung() // the request did come
//
// or decides on all of them by [Server.Script]. Every request is written down:
// [Server.Requests] tells types, paths, offsets, sessions and, where the server
// has a Latency, the flight it came in, so that round trips can be counted. Under
// testing/synctest all of it takes no time.
//
// Left out on purpose: users and passwords, host keys and all else of SSH; tests
// of those need a real server.
package remotetest
