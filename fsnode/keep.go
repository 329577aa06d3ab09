package fsnode

import (
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// keepPages reports whether the kernel's pages of n are still those of a file
// with these attributes, and notes under which they are read from now on.
func (f *filesystem) keepPages(n *node, a remote.Attr) bool {
	if f.cfg.AttrTimeout == 0 {
		return false
	}
	over, known := f.clock.settled(a.Mtime)
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	pages := &n.inode().pages
	if pages.safe && pages.stamp == a.Stamp() {
		return true
	}
	// While the server's clock is not known, an mtime is over that we have seen a while
	// ago: these pages are dropped, and those read from now on can be kept.
	now := f.clock.now()
	seen := now
	if pages.stamp == a.Stamp() && !pages.seen.IsZero() {
		seen = pages.seen
	}
	*pages = kept{stamp: a.Stamp(), safe: over || !known && now.Sub(seen) >= racy*time.Second, seen: seen}
	return false
}

// keepListing reports whether the kernel's listing of a folder is still good. It
// is not asked of the server: within the attribute timeout the entries that came
// with the listing are believed anyway, and after it a new listing costs less
// than a look at each name. The kernel itself drops it when the folder's mtime
// changes, or a name in it by a call of its own.
func (f *filesystem) keepListing(n *node) bool {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	return n.file != nil && !n.file.listed.IsZero() && time.Since(n.file.listed) < f.cfg.AttrTimeout
}

// listed notes that the kernel may have the whole listing of a folder, begun at
// that time and epoch.
func (f *filesystem) listed(n *node, at time.Time, since uint64) {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	if n.changed <= since {
		n.inode().listed = at
	}
}
