package fsnode

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// fill makes an inode's attributes of what SFTP tells. There is no ctime and no
// link count of folders: mtime stands for the one, and 1 for the other, which
// tells find not to count on it.
func (f *filesystem) fill(out *fuse.Attr, n *node, a remote.Attr) {
	out.Ino = n.id
	out.Mode = n.typ | f.showMode(a.Perm())
	out.Uid, out.Gid = f.showOwner(a.UID, a.GID)
	out.Nlink = f.showLinks(n, a)
	out.Size = uint64(max(a.Size, 0))
	out.Blocks = (out.Size + 511) / 512
	out.Blksize = blockSize
	out.Atime, out.Mtime, out.Ctime = uint64(a.Atime), uint64(a.Mtime), uint64(a.Mtime)
}

func (f *filesystem) showMode(perm uint32) uint32 {
	if f.cfg.Umask != nil {
		return 0o777 &^ *f.cfg.Umask
	}
	return perm
}

func (f *filesystem) showLinks(n *node, a remote.Attr) uint32 {
	if n.typ == syscall.S_IFDIR {
		return 1
	}
	known := f.tree.links(n)
	if known == 0 {
		return 0
	}
	return max(a.Nlink, uint32(known))
}

func (f *filesystem) showOwner(uid, gid uint32) (uint32, uint32) {
	if info := f.mapped(); info.KnownOwner {
		uid, gid = swap(uid, info.UID, f.ownUID), swap(gid, info.GID, f.ownGID)
	}
	if f.cfg.IDMap == IDMapFile {
		uid, _ = numbered(uid, f.cfg.UIDs)
		gid, _ = numbered(gid, f.cfg.GIDs)
	}
	if f.cfg.UID != nil {
		uid = *f.cfg.UID
	}
	if f.cfg.GID != nil {
		gid = *f.cfg.GID
	}
	return uid, gid
}

// mapped is the remote user whose numbers are shown as ours; not KnownOwner when
// none are.
func (f *filesystem) mapped() remote.Info {
	if f.cfg.IDMap != IDMapUser {
		return remote.Info{}
	}
	return f.remote.Info()
}

// numbered is what a table has for a number, or the number; false if there is a table
// and it has none.
func numbered(id uint32, table map[uint32]uint32) (uint32, bool) {
	if to, ok := table[id]; ok {
		return to, true
	}
	return id, table == nil
}

// numberedBack is the other way round.
func numberedBack(id uint32, table map[uint32]uint32) (uint32, bool) {
	for from, to := range table {
		if to == id {
			return from, true
		}
	}
	return id, table == nil
}

// strict: a file whose owner or group no table has is refused.
func (f *filesystem) strict() bool { return f.cfg.StrictIDs && f.cfg.IDMap == IDMapFile }

// unmapped reports whether a file is refused for that.
func (f *filesystem) unmapped(a remote.Attr) bool {
	_, hasUID := numbered(a.UID, f.cfg.UIDs)
	_, hasGID := numbered(a.GID, f.cfg.GIDs)
	return f.strict() && !(hasUID && hasGID)
}

// unmappedBack is the other way round, for chown.
func (f *filesystem) unmappedBack(in *fuse.SetAttrIn) bool {
	uid, setUID := in.GetUID()
	gid, setGID := in.GetGID()
	_, hasUID := numberedBack(uid, f.cfg.UIDs)
	_, hasGID := numberedBack(gid, f.cfg.GIDs)
	return f.strict() && (setUID && !hasUID || setGID && !hasGID)
}

func swap(id, from, to uint32) uint32 {
	if id == from {
		return to
	}
	return id
}

func (f *filesystem) fillAttr(out *fuse.AttrOut, n *node, a remote.Attr, life time.Duration) {
	f.fill(&out.Attr, n, a)
	out.SetTimeout(life)
}

// fillEntry answers with n, whose attributes were asked for at epoch since. When
// it was changed here meanwhile the kernel has to ask again.
func (f *filesystem) fillEntry(out *fuse.EntryOut, n *node, a remote.Attr, since uint64, life time.Duration) {
	out.NodeId = n.id
	f.fill(&out.Attr, n, a)
	out.SetEntryTimeout(life)
	if f.tree.changedSince(n, since) {
		f.tree.saw(n, a, since)
		return
	}
	out.SetAttrTimeout(life)
}

// unknownSpace is what is said of a server that does not tell: enough for
// programs that look before they write.
var unknownSpace = remote.StatFS{
	Bsize: 4096, Frsize: 4096,
	Blocks: 1 << 40 / 4096, Bfree: 1 << 40 / 4096, Bavail: 1 << 40 / 4096,
	Files: 1 << 30, Ffree: 1 << 30, NameMax: nameMax,
}

func fillStatfs(out *fuse.StatfsOut, s remote.StatFS) {
	frsize := s.Frsize
	if frsize == 0 {
		frsize = s.Bsize
	}
	// The kernel has 32 bits for the sizes; servers with huge blocks exist.
	for frsize > 1<<31 {
		frsize, s.Blocks, s.Bfree, s.Bavail = frsize/2, s.Blocks*2, s.Bfree*2, s.Bavail*2
	}
	out.Blocks, out.Bfree, out.Bavail = s.Blocks, s.Bfree, s.Bavail
	out.Files, out.Ffree = s.Files, s.Ffree
	out.Bsize, out.Frsize = uint32(min(s.Bsize, 1<<31)), uint32(frsize)
	out.NameLen = uint32(min(s.NameMax, 1<<16))
	if out.NameLen == 0 {
		out.NameLen = nameMax
	}
}

// awayLife is for how long the kernel may remember what may be old.
const awayLife = time.Second

// isAway: no connection can be had.
func (f *filesystem) isAway() bool { return !f.remote.Info().Away.IsZero() }

// life is for how long the kernel may remember an answer of that age.
func (f *filesystem) life(age time.Duration) time.Duration {
	if f.cfg.AttrTimeout > awayLife && f.isAway() {
		return awayLife
	}
	return max(0, f.cfg.AttrTimeout-age)
}
