package fsnode

import (
	"crypto/sha256"
	"strings"
	"sync"
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
	mu     sync.Mutex
	sums   map[string]sum // guarded by mu: of the texts, by path
	inside map[string]int // guarded by mu: how many are below a folder: only such a move has to look for them
	full   bool           // guarded by mu: one found no room
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
	s, ok := g.sums[path]
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
	if s, ok := g.sums[path]; ok {
		g.put(further, s)
	}
}

// put enters a link. The caller holds g.mu, and nothing is there.
func (g *given) put(path string, s sum) bool {
	if len(g.sums) >= givenAtMost {
		return false
	}
	if g.sums == nil {
		g.sums, g.inside = map[string]sum{}, map[string]int{}
	}
	g.sums[path] = s
	g.count(path, 1)
	return true
}

// take removes what is at path and below it, and gives it by what follows path. The
// caller holds g.mu.
func (g *given) take(path string) map[string]sum {
	taken := map[string]sum{}
	if s, ok := g.sums[path]; ok {
		taken[""] = s
	}
	if g.inside[path] > 0 {
		for p, s := range g.sums {
			if below, ok := strings.CutPrefix(p, path); ok && below != "" && below[0] == '/' {
				taken[below] = s
			}
		}
	}
	for below := range taken {
		delete(g.sums, path+below)
		g.count(path+below, -1)
	}
	return taken
}

func (g *given) count(path string, by int) {
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		if g.inside[path[:i]] += by; g.inside[path[:i]] == 0 {
			delete(g.inside, path[:i])
		}
	}
}
