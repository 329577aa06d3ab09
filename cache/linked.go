package cache

import (
	"github.com/remotemount/remotemount/pool/remote"
)

// lessLinks notes that one name of the file that path is a name of has gone: of the
// others the count of links falls, where it is known. Under mu.
func (t *tree) lessLinks(path string) {
	t.links.Others(path, func(other string) {
		t.update(other, func(a *remote.Attr) {
			if a.Nlink > 1 {
				a.Nlink--
			}
		})
	})
}
