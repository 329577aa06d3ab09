package fsnode

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// hiddenPrefix begins the names of removed and replaced files that are still open.
// After a crash they are found by it.
const hiddenPrefix = ".remotemount-hidden-"

// hiddenNames are those of one mount, which no other has. A listing may tell one before
// the file is known to have it, or when it is removed again: so they are told by the
// name alone. tree.mu guards all but own.
type hiddenNames struct {
	own  string              // begins them
	made int                 // how many there were
	left map[string]struct{} // those that cannot be removed, and are shown
}

func newHiddenNames() hiddenNames {
	return hiddenNames{own: fmt.Sprintf("%s%016x-", hiddenPrefix, rand.Uint64()), left: map[string]struct{}{}}
}

// hiddenNameIn is a free name of that kind.
func (t *tree) hiddenNameIn(dir *node) spot {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hiding.made++
	return spot{dir, fmt.Sprint(t.hiding.own, t.hiding.made)}
}

// isHidden reports whether a name is not to be shown.
func (t *tree) isHidden(name string) bool {
	if !strings.HasPrefix(name, t.hiding.own) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, left := t.hiding.left[name]
	return !left
}
