package sync

import (
	"context"
	"strings"
	"syscall"
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
	case <-time.After(parting + 30*time.Second):
		t.Error("never ended")
	}
}

// Also of a run that was ended it is told where a file is that cannot be given back.
func TestPutBackIsTold(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true})
	put(t, p.remote, "f", "text", old)
	ctx, cancel := context.WithCancel(t.Context())
	p.dir.Before = func(ctx context.Context, op, path string) error {
		switch {
		case op == "rename" && path == "f":
			put(t, p.remote, "f", "text and more", young)
		case op == "rename":
			cancel()
			return context.Canceled
		}
		return nil
	}
	res, _ := p.try(ctx)
	if res == nil || res.FailureCount != 1 || !strings.Contains(res.Failures[0].Err.Error(), "it is now called") {
		t.Errorf("%+v", res)
	}
}

// Of a folder that cannot be made nothing is gone.
func TestAFolderThatCannotBeMade(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	put(t, p.local, "dir/f", "text", old)
	p.dir.Before = func(_ context.Context, op, _ string) error {
		if op == "mkdir" {
			return syscall.ENOENT
		}
		return nil
	}
	if res := p.run(); res.FailureCount != 1 || res.Vanished != 0 {
		t.Errorf("%+v", res)
	}
}
