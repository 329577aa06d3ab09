package pool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// Whatever kills connections, there are no more logins than the bucket holds, and one a
// second: and none for a program that is gone.
func TestLoginsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second, MaxConnections: 10})
		logins := func() int { _, _, dials := s.Connections(); return dials }
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		// Ten programs, each of which comes again at once.
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type == "LSTAT" {
				return remotetest.CutBefore
			}
			return remotetest.Answer
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		before := logins()
		done := make(chan struct{}, 10)
		for range cap(done) {
			go func() {
				for ctx.Err() == nil {
					_, _ = p.Lstat(ctx, "f") // nothing can be said of it
				}
				done <- struct{}{}
			}()
		}
		for range cap(done) {
			<-done
		}
		synctest.Wait()
		// A few are under way when the minute begins and ends.
		if n := logins() - before; n > 10+60+5 {
			t.Errorf("%d logins in a minute", n)
		} else {
			t.Logf("%d logins in a minute", n)
		}
		before = logins()
		time.Sleep(time.Minute)
		if n := logins() - before; n > 1 {
			t.Errorf("%d logins for programs that are gone", n)
		}

		// Data is worth logins for as long as there is some.
		s.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type == "WRITE" {
				return remotetest.CutBefore
			}
			return remotetest.Answer
		})
		before = logins()
		if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(t.Context()); err == nil {
			t.Error("the data cannot have gone out")
		}
		if n := logins() - before; n > 100 {
			t.Errorf("%d logins in ten minutes for data", n)
		} else {
			t.Logf("%d logins in ten minutes for data", n)
		}
		before = logins()
		time.Sleep(time.Hour)
		if n := logins() - before; n > 1 {
			t.Errorf("%d logins for data that was given up", n)
		}
	})
}
