package fsnode

import "github.com/remotemount/remotemount/pool/remote"

// A rename may be made after its caller was answered: he was killed, or told that it took
// too long. The Remote tells when that is known, and what is open follows then.

// late has note called when it is known what became of a change that ended with err, if
// that is not known yet: its caller has gone, or was told that it took too long. At the
// end of the mount it was not made as far as is known.
func (f *filesystem) late(err error, note func(made bool)) {
	u := remote.UnsettledIn(err)
	if u == nil {
		return
	}
	f.expunging.Add(1)
	go func() {
		defer f.expunging.Done()
		select {
		case <-u.Over:
			note(u.Made())
		case <-f.ending:
			note(false)
		}
	}()
}

// hiddenLate is hidden, when a rename to that name is known to be made.
func (f *filesystem) hiddenLate(err error, n *node, from, to spot) {
	f.late(err, func(made bool) {
		c, cerr := f.tree.claim(f.base, from)
		if cerr != nil {
			return
		}
		defer c.release()
		if !made || c.nodes[0] != n {
			f.leftover(to)
			return
		}
		f.tree.mu.Lock()
		f.hidden(n, from, to)
		f.tree.mu.Unlock()
		f.lookAgain(from)
	})
}

// renamedLate is renamed, when that is known to be made. What is known by its names
// otherwise by then stays so.
func (f *filesystem) renamedLate(err error, was *claim, keep spot) {
	f.late(err, func(made bool) {
		c, cerr := f.tree.claim(f.base, was.spots...)
		if cerr != nil {
			return
		}
		defer c.release()
		if keep != (spot{}) && (!made || c.nodes[1] != was.nodes[1]) {
			f.leftover(keep)
			keep = spot{}
		}
		if made && c.nodes[0] == was.nodes[0] {
			f.renamed(c, keep)
			f.lookAgain(c.spots...)
		}
	})
}
