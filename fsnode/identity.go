package fsnode

import (
	"context"

	"github.com/remotemount/remotemount/pool/remote"
)

// SFTP has no inode numbers. A node is known by its path, and an open file by its
// handle; that the two have come to be different files, because somebody on the
// server put another one there (a log that was rotated), shows only in attributes
// that disagree. Programs see it by another inode number: `tail -F` waits for that.

// child is the node called name in dir, or nil.
func (t *tree) child(dir *node, name string) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return dir.children[name]
}

// wasReplaced reports whether n, which is open, is not the file any more that its path
// leads to, of which a look said a. Then it has lost its name: the file that is there
// now gets a node, and a number, of its own.
func (f *filesystem) wasReplaced(ctx context.Context, n *node, a remote.Attr) (bool, error) {
	h := f.tree.stranger(n, a)
	if h == nil {
		return false, nil
	}
	at, err := h.file.IsAt(ctx)
	if at || err != nil {
		return false, ctx.Err() // what cannot be told is no proof
	}
	f.tree.replaced(n)
	return true, nil
}

// stranger is a handle of n by which to find out whether n still is what its path
// leads to; nil when a look at the path said nothing else than is known.
func (t *tree) stranger(n *node, a remote.Attr) *handle {
	if n == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.gone || n.claimed || n.file == nil || n.writers() || len(n.others()) > 0 || len(n.file.handles) == 0 {
		return nil
	}
	if h := n.file.handles[0]; h.opened != a.Stamp() {
		return h
	}
	return nil
}

// replaced takes the name that n's path goes by away from it.
func (t *tree) replaced(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !n.gone && !n.claimed && n.parent != nil {
		t.unname(n, spot{n.parent, n.name})
	}
}
