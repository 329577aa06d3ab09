package fsnode

import (
	"crypto/sha256"
	"strings"
	"sync"

	"github.com/remotemount/remotemount/pool/remote"
)

// given remembers the symbolic links that programs here have made, for the life
// of the mount: tar, cp -a and rsync read a link back after making it, and what
// a program here wrote is no trick of the server's. A link stays one of these
// while the server's answer is the text that was given, byte for byte; it goes
// with its name when that is moved, and ends with it.
//
// It is apart from the tree of nodes because a FORGET takes nodes away.
// Callers have the path pinned or claimed, or made it themselves.
type given struct {
	mu   sync.Mutex
	sums remote.Index[sum] // guarded by mu: of the texts
	full bool              // guarded by mu: one found no room
}

// A sum stands for a text: there may be many, and long ones.
type sum = [sha256.Size]byte

// givenAtMost bounds the memory: 200 bytes a link, and its path.
const givenAtMost = 100_000

// gave reports whether the link at path was made here with that text.
func (l *links) gave(path, text string) bool {
	g := &l.given
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.sums.At[path]
	return ok && s == sha256.Sum256([]byte(text))
}

// made notes a link made here. A text that is shown anyway, wherever the link is
// moved, need not be kept. It reports whether this is the first one for which there
// is no room.
func (g *given) made(path, text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(path)
	if text == "" || text[0] != '/' && !strings.Contains(text, "..") {
		return false
	}
	if g.put(path, sha256.Sum256([]byte(text))) || g.full {
		return false
	}
	g.full = true
	return true
}

// moved notes that a name has become another one, or has gone if to is empty.
func (g *given) moved(from, to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	moved := g.take(from)
	if to == "" {
		return
	}
	g.take(to)
	for below, s := range moved {
		g.put(to+below, s)
	}
}

// linked notes a further name of a file.
func (g *given) linked(path, further string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(further)
	if s, ok := g.sums.At[path]; ok {
		g.put(further, s)
	}
}

// put enters a link. The caller holds g.mu, and nothing is there.
func (g *given) put(path string, s sum) bool {
	if len(g.sums.At) >= givenAtMost {
		return false
	}
	if g.sums.At == nil {
		g.sums = remote.NewIndex[sum]()
	}
	g.sums.Put(path, s)
	return true
}

// take removes what is at path and below it, and gives it by what follows path. The
// caller holds g.mu.
func (g *given) take(path string) map[string]sum {
	taken := map[string]sum{}
	for _, at := range g.sums.Below(path) {
		taken[at[len(path):]] = g.sums.At[at]
		g.sums.Remove(at)
	}
	return taken
}
