package remote

import "strings"

// Links knows which paths are names of one file, as far as hard links were made
// here, for as long as it lives: SFTP has no inode numbers. What is done by one name then
// concerns what is known of the others.
type Links map[string]*group // by path

// A group is the names of one file.
type group struct{ paths map[string]struct{} }

// MostLinked bounds the names that are remembered. One takes some 200 bytes.
const MostLinked = 100_000

// Others calls do for each other name of the file at path. do must not change l.
func (l Links) Others(path string, do func(string)) {
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

// Another is some other name of the file at path, or "".
func (l Links) Another(path string) (name string) {
	l.Others(path, func(other string) { name = other })
	return name
}

// Same reports whether two paths are names of one file.
func (l Links) Same(a, b string) bool { return l[a] != nil && l[a] == l[b] }

// Add notes that path, which was free, is another name of the file at old.
func (l Links) Add(old, path string) {
	l.Remove(path)
	if len(l)+2 > MostLinked {
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

// Remove notes that path is no name of the file any more.
func (l Links) Remove(path string) {
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

// Move notes that a file, or a folder with what is below it, has another path now,
// and that what was there is gone.
func (l Links) Move(from, to string, below bool) {
	l.Remove(to)
	moved := []string{from}
	if below {
		for p := range l {
			if strings.HasPrefix(p, from+"/") {
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
