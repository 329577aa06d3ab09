package sync

import (
	"context"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// slowRename is a server, or a link that is cut, on which a renaming takes its time.
type slowRename struct {
	remote.Remote
	takes time.Duration
}

func (r slowRename) Rename(ctx context.Context, from, to string, noReplace bool) error {
	if err := sleep(ctx, r.takes); err != nil {
		return remote.PathError("rename", from, err)
	}
	return r.Remote.Rename(ctx, from, to, noReplace)
}

// What is done for a copy has no bound as long as the run goes on.
func TestARenameThatTakesLong(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			p := newPairing(t, Options{Mode: mode, Delete: true})
			from, to := p.local, p.remote
			if mode == Pull {
				from, to = to, from
			}
			put(t, from, "f", "text", old)
			if res := p.runOn(slowRename{p.dir, parting + time.Second}); res.Partial() {
				t.Errorf("%+v", res.Failures)
			}
			wantFile(t, to, "f", "text")
			wantAbsent(t, from, "f")
			noTemps(t, p.local, p.remote)
		})
	}
}

// A run that is over lets what was begun go on for a while, and no longer.
func TestWhatOutlastsARunEnds(t *testing.T) {
	run, end := context.WithCancel(t.Context())
	long, done := outlasting(run)
	defer done()
	end()
	select {
	case <-long.Done():
		t.Error("ended with the run")
	case <-time.After(100 * time.Millisecond):
	}
	select {
	case <-long.Done():
	case <-time.After(parting + time.Second):
		t.Error("never ended")
	}
}
