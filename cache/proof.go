package cache

import (
	"github.com/remotemount/remotemount/pool/remote"
)

// proves reports whether a name that the listing does not have is not there. A server
// leaves out names that it cannot look at, so that a folder which may be listed and
// not passed shows none.
func (t *tree) proves(l *list, user remote.Info) bool {
	dir, name := split(l.path)
	if f, ok := t.folders.Peek(dir); ok {
		if r := f.names[name]; r.state == present {
			if pass, sure := passable(r.attr, user); sure {
				return pass
			}
		}
	}
	return len(l.batches) > 0 && l.batches[0][0].Attr.Mode != 0
}

// passable reports whether the remote user may look at names in a folder, as far as
// its mode tells: which groups the user is in is not known.
func passable(a remote.Attr, user remote.Info) (pass, sure bool) {
	own, group, other := a.Mode&0o100 != 0, a.Mode&0o010 != 0, a.Mode&0o001 != 0
	switch {
	case user.KnownOwner && user.UID == 0:
		return true, true
	case user.KnownOwner && user.UID == a.UID:
		return own, true
	case user.KnownOwner:
		return other, group == other
	}
	return other, own == group && group == other
}
