package pool

import (
	"strings"
	"sync"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A knowing knows the names that were made or opened here a little ago. What is at a
// path when an answer was lost is taken for the work of that request only if the name
// was not there before: of two programs that make a lock, one has it.
type knowing struct {
	mu    sync.Mutex
	names remote.Index[time.Time] // guarded by mu
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
	if at, there := k.names.At[path]; there && now.Sub(at) < knownFor {
		return false
	}
	if k.names.At == nil || len(k.names.At) >= mostKnown {
		kept := remote.NewIndex[time.Time]()
		for name, at := range k.names.At {
			if now.Sub(at) < knownFor && len(kept.At) < mostKnown/2 {
				kept.Put(name, at)
			}
		}
		k.names = kept
	}
	k.names.Put(path, now)
	return true
}

// forget notes that a name is gone, with all that were below it.
func (k *knowing) forget(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.names.Below(path) {
		k.names.Remove(name)
	}
}

// move notes that a name has become another, in place of what was there.
func (k *knowing) move(from, to string) {
	k.forget(to)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.names.Below(from) {
		at := k.names.At[name]
		k.names.Remove(name)
		k.names.Put(to+strings.TrimPrefix(name, from), at)
	}
}
