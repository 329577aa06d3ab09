package sync

import (
	"errors"
	"testing"
)

// A replacement that cannot be undone leaves somebody's version under the temporary
// name: it is told, and not removed.
func TestWhatCannotBePutBackIsKept(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	run := p.passOn(t)
	here := run.tree[Local].(*localTree)
	tmp := run.temp.part("f", file(4, old))
	put(t, p.local, tmp, "somebody's", old)
	err := errors.Join(errTargetChanged, here.undo(t.Context(), tmp, "gone/f", stamp{}))
	x := &transfer{pass: run, a: Action{Path: "gone/f", From: Remote}, src: run.tree[Remote], dst: here, tmp: tmp}
	x.abandon(t.Context(), err)
	wantFile(t, p.local, tmp, "somebody's")
}

// A time here that SFTP cannot tell from one before 1970 is no change of the file.
func TestATargetOfTheYear2040IsReplaced(t *testing.T) {
	for _, mode := range []Mode{Pull, TwoWay} {
		p := newPairing(t, Options{Mode: mode})
		put(t, p.local, "f", "of 2040", 2_210_000_000)
		put(t, p.remote, "f", "new version", young)
		p.clean()
		wantFile(t, p.local, "f", "new version")
	}
}
