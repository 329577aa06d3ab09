package fsnode

// SFTP tells neither inode numbers nor link counts, so that two names are one file
// is known only of links made through the mount, by their node. If it went when the
// kernel forgets it, which memory pressure may bring about at any time, the names
// would be two files with two numbers: rsync -H would take them for changed, tar and
// du count them twice. So such a node stays, with the folders above it, for the
// mount's life.

// maxKept bounds the files kept; beyond it the ones that were forgotten first go.
// Each takes some 500 bytes.
const maxKept = 64 << 10

// keepLinked reports whether n, which nobody needs, stays because it has several
// names. Of what was known of its content nothing does: others may change it now.
// The caller holds t.mu.
func (t *tree) keepLinked(n *node) bool {
	if n.file == nil {
		return false
	}
	if len(n.file.more) == 0 || n.detached() {
		t.unkeep(n)
		return false
	}
	n.file.size, n.file.pages = -1, kept{stamp: unknown}
	if n.file.kept != nil {
		t.kept.MoveToBack(n.file.kept)
		return true
	}
	n.file.kept = t.kept.PushBack(n)
	for t.kept.Len() > maxKept {
		first := t.kept.Front().Value.(*node)
		t.unkeep(first)
		if first.idle() { // else it comes back when nobody needs it
			t.reap(t.dropNode(first))
		}
	}
	return true
}

// unkeep takes n off the list. The caller holds t.mu.
func (t *tree) unkeep(n *node) {
	if n.file.kept != nil {
		t.kept.Remove(n.file.kept)
		n.file.kept = nil
	}
}
