package fsnode

import (
	"container/list"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// An inode is what is remembered of a node that was opened, listed or linked.
// tree.mu guards all of it.
type inode struct {
	more    []spot        // further names, of hard links made here
	kept    *list.Element // in tree.kept; nil while it is not there
	handles []*handle     // open files
	hidden  bool          // removed, and kept under a hidden name for its handles

	// size is the kernel's idea of the size while node.told is unknown: what it was last
	// told, moved by our writes and truncations; -1 when nothing is known of it. The
	// server's may be another.
	size int64

	pages  kept      // of a file: the pages in the kernel
	listed time.Time // of a folder: when the listing in the kernel was begun
}

// kept says of which content the kernel has pages.
type kept struct {
	stamp remote.Stamp
	safe  bool      // a later change shows in the stamp
	seen  time.Time // since when it is known
}

// inUse: a node with this inode may not be dropped.
func (i *inode) inUse() bool {
	return i != nil && (len(i.handles) > 0 || i.hidden)
}

// inode is n's inode, made when there is none. The caller holds t.mu.
func (n *node) inode() *inode {
	if n.file == nil {
		n.file = &inode{size: -1, pages: kept{stamp: unknown}}
	}
	return n.file
}

// others are n's names besides the one its path goes by. The caller holds t.mu.
func (n *node) others() []spot {
	if n.file == nil {
		return nil
	}
	return n.file.more
}

// writers reports whether a handle of n can have written. The caller holds t.mu.
func (n *node) writers() bool { return n.writer() != nil }

// writer is a handle of n that can have written, or nil. The caller holds t.mu.
func (n *node) writer() *handle {
	if n.file != nil {
		for _, h := range n.file.handles {
			if h.writes {
				return h
			}
		}
	}
	return nil
}

// writerOf is a handle to change n by, nil when none is open for writing.
func (t *tree) writerOf(n *node) *handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.writer()
}

// handleOf is a handle to ask about n, or nil.
func (t *tree) handleOf(n *node) *handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.file == nil || len(n.file.handles) == 0 {
		return nil
	}
	return n.file.handles[0]
}

// otherWriters are the further handles that can have written to h's file, if that has
// several names.
func (t *tree) otherWriters(h *handle) []*handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(h.node.others()) == 0 {
		return nil
	}
	var others []*handle
	for _, other := range h.node.file.handles {
		if other != h && other.writes {
			others = append(others, other)
		}
	}
	return others
}

// wrote notes that data was written, as the kernel has it up to end.
func (t *tree) wrote(n *node, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := n.inode()
	n.outdate()
	i.size = max(i.size, end)
	t.touch(n)
}

// outdate notes that n may not be as the kernel was told, which still takes that for its
// size. The caller holds t.mu.
func (n *node) outdate() {
	if n.file != nil && n.told != unknown {
		n.file.size = n.told.Size
	}
	n.told = unknown
}

// saw notes attributes that a request asked for at epoch since and is about to
// tell the kernel. What we wrote meanwhile is newer than they are.
func (t *tree) saw(n *node, a remote.Attr, since uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.changed > since {
		n.outdate()
		return
	}
	n.told = a.Stamp()
}

// set notes attributes that a change of ours made.
func (t *tree) set(n *node, a remote.Attr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touch(n)
	n.told = a.Stamp()
}

// links is how many names n has here, and none once it is removed.
func (t *tree) links(n *node) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.gone || n.file != nil && n.file.hidden {
		return 0
	}
	return 1 + len(n.others())
}

// changedSince reports whether n was changed here after that epoch.
func (t *tree) changedSince(n *node, since uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.changed > since
}
