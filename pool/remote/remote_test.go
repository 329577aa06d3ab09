package remote

import (
	"path"
	"testing"
)

func TestRights(t *testing.T) {
	me := Info{UID: 10, KnownOwner: true}
	root := Info{UID: 0, KnownOwner: true}
	for _, tc := range []struct {
		mode, uid   uint32
		user        Info
		least, most uint32
	}{
		{0o100640, 10, me, 6, 6},
		{0o100640, 11, me, 0, 4},
		{0o100604, 11, me, 0, 4},
		{0o040755, 11, me, 5, 5},
		{0o040711, 11, Info{}, 1, 7},
		{0o100200, 11, Info{}, 0, 2},
		{0o100000, 11, root, 6, 6},
		{0o100100, 11, root, 7, 7},
		{0o040000, 11, root, 7, 7},
	} {
		least, most := Rights(Attr{Mode: tc.mode, UID: tc.uid}, tc.user)
		if least != tc.least || most != tc.most {
			t.Errorf("mode %o of %d for %+v: %o to %o, want %o to %o", tc.mode, tc.uid, tc.user, least, most, tc.least, tc.most)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, p := range []string{".", "a", "a/b", "a/b/c", "a\\b/ "} {
		if dir, name := Split(p); dir != path.Dir(p) || name != path.Base(p) || p != "." && Join(dir, name) != p {
			t.Errorf("%q: %q and %q", p, dir, name)
		}
	}
}
