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
// The names are a tree, so that a folder with a thousand of them is moved in one
// step. It is apart from the tree of nodes because a FORGET takes nodes away.
// Callers have the path pinned or claimed, or made it themselves.
type given struct {
	mu    sync.Mutex
	top   givenName // guarded by mu
	count int       // guarded by mu: texts in the tree
	full  bool      // guarded by mu: one found no room
}

// A givenName is a name on the way to links made here, or such a link.
type givenName struct {
	children map[string]*givenName
	isLink   bool
	sum      [sha256.Size]byte // of the text; there may be many, and long ones
}

// givenAtMost bounds the memory: 200 bytes a link, and its name.
const givenAtMost = 100_000

// gave reports whether the link at path was made here with that text.
func (l *links) gave(path, text string) bool {
	g := &l.given
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.find(path)
	return n != nil && n.isLink && n.sum == sha256.Sum256([]byte(text))
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
	if g.put(path, &givenName{isLink: true, sum: sha256.Sum256([]byte(text))}) || g.full {
		return false
	}
	g.full = true
	return true
}

// moved notes that a name has become another one, or has gone if to is empty.
func (g *given) moved(from, to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.take(from)
	if to == "" {
		return
	}
	g.take(to)
	if n != nil {
		g.put(to, n)
	}
}

// linked notes a further name of a file.
func (g *given) linked(path, further string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(further)
	if n := g.find(path); n != nil && n.isLink {
		g.put(further, &givenName{isLink: true, sum: n.sum})
	}
}

// find is the name at path, or nil. The caller holds g.mu.
func (g *given) find(path string) *givenName {
	n := &g.top
	for rest := path; rest != "." && n != nil; {
		var name string
		name, rest = cut(rest)
		n = n.children[name]
	}
	return n
}

// put enters n, and all below it, as path. The caller holds g.mu, and nothing is
// there.
func (g *given) put(path string, n *givenName) bool {
	size := n.links()
	if g.count+size > givenAtMost {
		return false
	}
	g.count += size
	at := &g.top
	for rest := path; ; {
		var name string
		name, rest = cut(rest)
		if at.children == nil {
			at.children = map[string]*givenName{}
		}
		if rest == "." {
			at.children[name] = n
			return true
		}
		if at.children[name] == nil {
			at.children[name] = &givenName{}
		}
		at = at.children[name]
	}
}

// take removes the name at path with all below it, and the names above it that
// lead to nothing more. The caller holds g.mu.
func (g *given) take(path string) *givenName {
	n := g.top.take(path)
	if n != nil {
		g.count -= n.links()
	}
	return n
}

func (n *givenName) take(path string) *givenName {
	name, rest := cut(path)
	child := n.children[name]
	if child == nil {
		return nil
	}
	found := child
	if rest != "." {
		found = child.take(rest)
	}
	if rest == "." || len(child.children) == 0 && !child.isLink {
		delete(n.children, name)
	}
	return found
}

// links is how many there are at and below n.
func (n *givenName) links() int {
	count := 0
	if n.isLink {
		count = 1
	}
	for _, child := range n.children {
		count += child.links()
	}
	return count
}
