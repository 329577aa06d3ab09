package pool

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// A knowing knows the names that were made or opened here a little ago. What is at a
// path when an answer was lost is taken for the work of that request only if the name
// was not there before: of two programs that make a lock, one has it.
type knowing struct {
	mu    sync.Mutex
	names map[string]time.Time // guarded by mu
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
	if at, there := k.names[path]; there && now.Sub(at) < knownFor {
		return false
	}
	if k.names == nil || len(k.names) >= mostKnown {
		kept := make(map[string]time.Time)
		for name, at := range k.names {
			if now.Sub(at) < knownFor && len(kept) < mostKnown/2 {
				kept[name] = at
			}
		}
		k.names = kept
	}
	k.names[path] = now
	return true
}

// forget notes that a name is gone, with all that were below it.
func (k *knowing) forget(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.names, func(name string, _ time.Time) bool { return name == path || isBelow(name, path) })
}

// move notes that a name has become another, in place of what was there.
func (k *knowing) move(from, to string) {
	k.forget(to)
	k.mu.Lock()
	defer k.mu.Unlock()
	moved := make(map[string]time.Time)
	for name, at := range k.names {
		if name == from || isBelow(name, from) {
			moved[to+strings.TrimPrefix(name, from)] = at
			delete(k.names, name)
		}
	}
	maps.Copy(k.names, moved)
}
