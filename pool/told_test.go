package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A checkout makes each file, writes it, asks what it is and closes it: two round trips
// each where the server takes the time that we say, with its clock right or wrong.
func TestTimeOfAFileMadeHereIsToldAtOnce(t *testing.T) {
	const turn = 100 * time.Millisecond
	for name, tt := range map[string]struct {
		server      string
		flags       remote.OpenFlag
		quirks      remotetest.Quirks
		clock       time.Duration
		flush       bool
		stat, close time.Duration
	}{
		"made here":                 {flags: remote.FlagExclusive, close: turn},
		"a clock that is wrong":     {flags: remote.FlagExclusive, clock: -2 * time.Hour, close: turn},
		"there before":              {stat: turn, close: turn},
		"flushed since":             {flags: remote.FlagExclusive, flush: true, stat: turn, close: turn},
		"a server of no order":      {server: "SSH-2.0-Other", flags: remote.FlagExclusive, stat: 2 * turn, close: turn},
		"a server without times":    {flags: remote.FlagExclusive, quirks: remotetest.Quirks{Refuse: sets(setsTimes, denied)}, stat: turn, close: turn},
		"a server that loses times": {flags: remote.FlagExclusive, quirks: remotetest.Quirks{KeepsNoTimes: true}, stat: turn, close: turn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Bubble, s.Latency, s.Clock, s.Quirks = true, turn, tt.clock, tt.quirks
				if tt.server != "" {
					s.Identification = tt.server
				}
				p := connected(t, s, pool.Config{Timeout: 20 * time.Second})
				var statTook, closeTook time.Duration
				var told remote.Attr
				for _, name := range []string{"a", "b", "c"} { // what a server does otherwise is learned from the first
					if tt.flags == 0 {
						save(t, p, name, "", 0o644)
					}
					f, _, err := p.Open(t.Context(), name, remote.FlagWrite|remote.FlagCreate|tt.flags, 0o644)
					if err != nil {
						t.Fatal(err)
					}
					if tt.flush {
						_, _ = f.WriteAt(t.Context(), []byte("first"), 0)
						if _, err := f.Sync(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					second := time.Now().Truncate(time.Second).Add(time.Second)
					time.Sleep(time.Until(second) - turn/4) // the data arrives in another second than it was written in
					if _, err := f.WriteAt(t.Context(), []byte("a line"), 0); err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					if told, err = f.Stat(t.Context()); err != nil {
						t.Fatal(err)
					}
					statTook = time.Since(start)
					start = time.Now()
					if err := f.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					closeTook = time.Since(start)
				}
				after, err := p.Lstat(t.Context(), "c")
				if err != nil || after.Mtime != told.Mtime || after.Size != told.Size {
					t.Errorf("told %d bytes of %d, then it has %d of %d, %v", told.Size, told.Mtime, after.Size, after.Mtime, err)
				}
				if statTook, closeTook = statTook.Round(turn), closeTook.Round(turn); statTook != tt.stat || closeTook != tt.close {
					t.Errorf("Stat took %v and Close %v, want %v and %v", statTook, closeTook, tt.stat, tt.close)
				}
			})
		})
	}
}
