package fsnode

import (
	"cmp"
	"syscall"
)

// mostNames is how many names the kernel may know unless Config says otherwise.
const mostNames = 200_000

// arrive notes a new node. Where there are too many, the kernel is asked to let go of
// those that it has known for longest. The caller holds t.mu.
func (t *tree) arrive(n *node) {
	if t.arrivals = append(t.arrivals, n.id); len(t.arrivals) > 2*max(len(t.nodes), t.most) {
		left := t.arrivals[:0]
		for _, id := range t.arrivals {
			if t.nodes[id] != nil {
				left = append(left, id)
			}
		}
		t.arrivals = left
	}
	if t.rest > 0 {
		t.rest--
		return
	}
	if len(t.nodes) > t.most && !t.thinning {
		t.thinning = true
		t.crowded()
	}
}

// oldest gives names to let go of: those of a tenth of all nodes, or more where there
// are more than a tenth too many. Who has a file open keeps it, and a folder, which may
// be where somebody works, would be taken for deleted. Where all were looked through for
// too few, it is not done again before a tenth more have come.
func (t *tree) oldest() (names []spot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.thinning = false
	want := len(t.nodes) - t.most*9/10
	var stay []uint64
	i := 0
	for ; i < len(t.arrivals) && len(names) < want; i++ {
		id := t.arrivals[i]
		n := t.nodes[id]
		if n == nil {
			continue
		}
		if n.typ != syscall.S_IFDIR && !n.gone && n.parent != nil && !n.file.inUse() {
			names = append(names, spot{n.parent, n.name})
		}
		stay = append(stay, id) // perhaps
	}
	t.arrivals = append(t.arrivals[:copy(t.arrivals, t.arrivals[i:])], stay...)
	if len(names) < want {
		t.rest = len(t.nodes) / 10
	}
	return names
}

// thin has the kernel let go of some names.
func (f *filesystem) thin() {
	for _, s := range f.tree.oldest() {
		if f.base.Err() != nil {
			return
		}
		f.kernel.EntryNotify(s.dir.id, s.name)
	}
}

// bound tells the tree how many names there may be, and what to do beyond.
func (f *filesystem) bound() {
	f.tree.most = cmp.Or(f.cfg.MostNames, mostNames)
	f.tree.crowded = func() { f.work.Go(f.thin) }
}
