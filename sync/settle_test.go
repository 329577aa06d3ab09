package sync

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// A file counts as settled by the clock of its side.
func TestSettleByTheServersClock(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, Delete: true, Settle: time.Minute})
	put(t, p.remote, "f", "being written", time.Now().Unix())
	put(t, p.remote, "g", "done", time.Now().Unix()-300)
	res := p.runOn(shifted{p.dir, 600})
	wantAbsent(t, p.local, "f")
	wantFile(t, p.local, "g", "done")
	if res.Settling != 1 {
		t.Errorf("%+v", res)
	}
}

// A file that is written between the listing and its turn is left as well.
func TestSettleIsAskedAgainAtTheOpening(t *testing.T) {
	for _, o := range []Options{{Settle: time.Minute}, {Older: time.Minute}, {MaxSize: 10}} {
		o.Mode = Pull
		p := newPairing(t, o)
		put(t, p.remote, "f", "first", old)
		p.dir.Before = once("open", func(string) error {
			writeText(t, filepath.Join(p.remote, "f"), "being written")
			return nil
		})
		res := p.run()
		wantAbsent(t, p.local, "f")
		if res.Settling+res.Filtered != 1 {
			t.Errorf("%+v", res)
		}
	}
}

// A run may take hours: what is young is so by the clock at which its folder is visited.
func TestSettleByTheClockOfTheVisit(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Settle: time.Minute})
	put(t, p.local, "f", "text", time.Now().Unix()-30)
	var ahead atomic.Int64
	p.dir.Before = func(_ context.Context, op, _ string) error {
		if op == "readdir" {
			ahead.Store(int64(2 * time.Minute))
		}
		return nil
	}
	c := p.config()
	c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r, err := New(c)
	must(t, err)
	_, err = r.Run(t.Context())
	must(t, err)
	wantFile(t, p.remote, "f", "text")
}

// A window within which times count as equal is not waited for, nor does it put an end
// to the rule of the second.
func TestTheWindowIsNotWaitedFor(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull, ModifyWindow: time.Hour})
	run, now := p.passOn(t), time.Now()
	for _, side := range []Side{Local, Remote} {
		if d := run.untilOver(side, now.Unix(), now); d < time.Second || d > 5*time.Second {
			t.Errorf("%v: %v", side, d)
		}
	}
}

// A local folder on a network filesystem has the times of another clock.
func TestTheClockOfANetworkFilesystem(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	run := p.passOn(t)
	run.foreign[Local] = true
	now := time.Now()
	if d := run.untilOver(Local, now.Unix()-60, now); d < 500*time.Millisecond {
		t.Errorf("%v", d)
	}
	if !networked(0x6969) || networked(0xef53) {
		t.Error("NFS is not told from ext4")
	}
}
