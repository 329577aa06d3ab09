package pool

import (
	"strings"
	"sync"
	"time"
)

// A knowing knows the names that were made or opened here a little ago. What is at a
// path when an answer was lost is taken for the work of that request only if the name
// was not there before: of two programs that make a lock, one has it.
type knowing struct {
	mu    sync.Mutex
	names index[time.Time] // guarded by mu
}

const (
	knownFor  = time.Minute
	mostKnown = 4096
)

// note notes that a name is there.
func (k *knowing) note(path string) { k.claim(path) }

// claim is note, and reports false where that was known.
func (k *knowing) claim(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if at, there := k.names.at[path]; there && now.Sub(at) < knownFor {
		return false
	}
	if k.names.at == nil || len(k.names.at) >= mostKnown {
		kept := newIndex[time.Time]()
		for name, at := range k.names.at {
			if now.Sub(at) < knownFor && len(kept.at) < mostKnown/2 {
				kept.put(name, at)
			}
		}
		k.names = kept
	}
	k.names.put(path, now)
	return true
}

// forget notes that a name is gone, with all that were below it.
func (k *knowing) forget(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.names.below(path) {
		k.names.remove(name)
	}
}

// move notes that a name has become another, in place of what was there.
func (k *knowing) move(from, to string) {
	k.forget(to)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.names.below(from) {
		at := k.names.at[name]
		k.names.remove(name)
		k.names.put(to+strings.TrimPrefix(name, from), at)
	}
}
