package cache

import (
	"github.com/remotemount/remotemount/pool/remote"
)

// links knows which paths are names of one file, as far as hard links were made
// here, for the life of the Cache: SFTP has no inode numbers. What is done by one
// name then concerns what is held under the others.
type links map[string]*group // by path; guarded by tree.mu

// A group is the names of one file.
type group struct{ paths map[string]struct{} }

// mostLinked bounds the names that are remembered. One takes some 200 bytes.
const mostLinked = 100_000

// others calls do for each other name of the file at path. do must not change l.
func (l links) others(path string, do func(string)) {
	g := l[path]
	if g == nil {
		return
	}
	for other := range g.paths {
		if other != path {
			do(other)
		}
	}
}

// another is some other name of the file at path, or "".
func (l links) another(path string) (name string) {
	l.others(path, func(other string) { name = other })
	return name
}

// same reports whether two paths are names of one file.
func (l links) same(a, b string) bool { return l[a] != nil && l[a] == l[b] }

// add notes that path, which was free, is another name of the file at old.
func (l links) add(old, path string) {
	l.remove(path)
	if len(l)+2 > mostLinked {
		return
	}
	g := l[old]
	if g == nil {
		g = &group{paths: map[string]struct{}{old: {}}}
		l[old] = g
	}
	g.paths[path] = struct{}{}
	l[path] = g
}

// remove notes that path is no name of the file any more.
func (l links) remove(path string) {
	g := l[path]
	if g == nil {
		return
	}
	delete(l, path)
	delete(g.paths, path)
	if len(g.paths) == 1 {
		for last := range g.paths {
			delete(l, last)
		}
	}
}

// move notes that a file, or a folder with what is below it, has another path now,
// and that what was there is gone.
func (l links) move(from, to string, below bool) {
	l.remove(to)
	moved := []string{from}
	if below {
		for p := range l {
			if p != from && inside(p, from) {
				moved = append(moved, p)
			}
		}
	}
	for _, p := range moved {
		g := l[p]
		if g == nil {
			continue
		}
		delete(l, p)
		delete(g.paths, p)
		p = to + p[len(from):]
		l[p] = g
		g.paths[p] = struct{}{}
	}
}

// lessLinks notes that one name of the file that path is a name of has gone: of the
// others the count of links falls, where it is known. Under mu.
func (t *tree) lessLinks(path string) {
	t.links.others(path, func(other string) {
		t.update(other, func(a *remote.Attr) {
			if a.Nlink > 1 {
				a.Nlink--
			}
		})
	})
}
