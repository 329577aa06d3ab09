package fsnode

import (
	"context"

	"github.com/remotemount/remotemount/pool/remote"
)

// Of a file with several names, made by hard links, somebody on the server may replace
// one. Then this name tells something else than the others. When all tell something new
// the file itself was changed.

// A twin is another name of the file that a name led to.
type twin struct {
	spot           // its folder is pinned
	n       *node  // the file
	path    string // of the twin
	changed uint64 // n.changed when it was found
}

// twin gives, for a file with several names of which a look at one said a, a handle to
// ask instead while the file is being written: it cannot be known then whether it is that
// file, nor how long it is by another name than the writer's. Else it gives another name
// to compare with, unless what was said is known. Who has a path pinned must not wait for
// another: without one that is to be had at once the name is taken for the file's.
//
// A handle through which all is flushed may be closed long ago: RELEASE comes when close(2)
// has returned, behind what else the kernel sends. So under such a one a name is compared
// too, if what the file is by the others is known; but not the name that its path goes by,
// which is where the handle is.
func (t *tree) twin(s spot, a remote.Attr) (*handle, *twin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := s.dir.children[s.name]
	if n == nil || n.claimed || len(n.others()) == 0 {
		return nil, nil
	}
	if h := n.writer(); h != nil && (n.unflushed() || n.told == unknown || s == spot{n.parent, n.name}) {
		return h, nil
	}
	if n.told == a.Stamp() {
		return nil, nil
	}
	for _, other := range append([]spot{{n.parent, n.name}}, n.others()...) {
		if other != s && !other.dir.blocked() && !other.dir.detached() {
			other.dir.hold(1)
			return nil, &twin{other, n, remote.Join(other.dir.path(), other.name), n.changed}
		}
	}
	return nil, nil
}

// part takes the name s, at path, away from a file whose other name w now leads to
// another one than s does. It gives what s leads to, newer than a where it had to ask.
func (f *filesystem) part(ctx context.Context, s spot, path string, a remote.Attr, w *twin) remote.Attr {
	defer f.tree.unpin(w.dir)
	a, differ := f.differ(remote.Fresh(ctx), path, a, w.path)
	if !differ {
		return a
	}
	t := f.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if !w.n.claimed && w.n.changed == w.changed && !w.n.unflushed() {
		t.unname(w.n, s)
	}
	return a
}

// differ reports whether two paths lead to two files, and gives what the first leads to. The
// second is looked at before and after the first: a file that somebody is changing does not
// differ from itself.
func (f *filesystem) differ(ctx context.Context, path string, a remote.Attr, other string) (remote.Attr, bool) {
	before, err := f.remote.Lstat(ctx, other)
	if err != nil || before.Stamp() == a.Stamp() {
		return a, false
	}
	there, err := f.remote.Lstat(ctx, path)
	if err != nil || there.Type() != a.Type() { // with FollowSymlinks it may be a link
		return a, false
	}
	after, err := f.remote.Lstat(ctx, other)
	return there, err == nil && before.Stamp() == after.Stamp() && there.Stamp() != after.Stamp()
}
