package cache

import (
	"github.com/remotemount/remotemount/pool/remote"
)

// proves reports whether a name that the listing does not have is not there. A server
// leaves out names that it cannot look at, so that a folder which may be listed and
// not passed shows none.
func (t *tree) proves(l *list, user remote.Info) bool {
	dir, name := remote.Split(l.path)
	if f, ok := t.folders.Peek(dir); ok {
		if r := f.names[name]; r.state == present {
			const exec = 1
			if least, most := remote.Rights(r.attr, user); least&exec == most&exec {
				return most&exec != 0
			}
		}
	}
	return len(l.batches) > 0 && l.batches[0][0].Attr.Mode != 0
}
