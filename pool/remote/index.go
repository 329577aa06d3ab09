package remote

import "strings"

// An Index has things by path, and how many of these are in each folder at any depth:
// where there are none nothing has to be looked through.
type Index[T any] struct {
	At     map[string]T
	Inside map[string]int
}

// NewIndex makes an empty one.
func NewIndex[T any]() Index[T] { return Index[T]{make(map[string]T), make(map[string]int)} }

// Put has a path lead to something, in place of what was there.
func (x Index[T]) Put(path string, it T) {
	x.Remove(path)
	x.At[path] = it
	x.count(path, 1)
}

// Remove takes away what is at a path, if there is something.
func (x Index[T]) Remove(path string) {
	if _, ok := x.At[path]; ok {
		delete(x.At, path)
		x.count(path, -1)
	}
}

func (x Index[T]) count(path string, n int) {
	for i, c := range path {
		if c != '/' {
			continue
		}
		if x.Inside[path[:i]] += n; x.Inside[path[:i]] == 0 {
			delete(x.Inside, path[:i])
		}
	}
}

// Below lists a path, if it has something, and those in the folder of that path.
func (x Index[T]) Below(path string) (paths []string) {
	if x.Inside[path] == 0 && path != "." {
		if _, ok := x.At[path]; ok {
			paths = append(paths, path)
		}
		return paths
	}
	inside := path + "/"
	for at := range x.At {
		if path == "." || at == path || strings.HasPrefix(at, inside) {
			paths = append(paths, at)
		}
	}
	return paths
}
