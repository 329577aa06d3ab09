package fsnode

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/remotemount/remotemount/pool/remote"
)

// Who may enter, where the kernel does not decide that: with AllowRoot it lets
// everybody in, and we all but root and the user who mounted out again, as libfuse
// does. What is done through an open handle was allowed when it was opened.
type entrance struct {
	*filesystem
	owner uint32
}

func (e entrance) refuses(in *fuse.InHeader) bool { return in.Uid != 0 && in.Uid != e.owner }

// Lookup and the rest implement fuse.RawFileSystem.
func (e entrance) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if e.refuses(in) {
		return fuse.EACCES
	}
	return e.filesystem.Lookup(cancel, in, name, out)
}

func (e entrance) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.GetAttr(cancel, in, out)
}

func (e entrance) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.SetAttr(cancel, in, out)
}

func (e entrance) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.Access(cancel, in)
}

func (e entrance) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	if e.refuses(in) {
		return nil, fuse.EACCES
	}
	return e.filesystem.Readlink(cancel, in)
}

func (e entrance) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.Mknod(cancel, in, name, out)
}

func (e entrance) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.Mkdir(cancel, in, name, out)
}

func (e entrance) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if e.refuses(in) {
		return fuse.EACCES
	}
	return e.filesystem.Unlink(cancel, in, name)
}

func (e entrance) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if e.refuses(in) {
		return fuse.EACCES
	}
	return e.filesystem.Rmdir(cancel, in, name)
}

func (e entrance) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.Rename(cancel, in, from, to)
}

func (e entrance) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.Link(cancel, in, name, out)
}

func (e entrance) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if e.refuses(in) {
		return fuse.EACCES
	}
	return e.filesystem.Symlink(cancel, in, target, name, out)
}

func (e entrance) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.Create(cancel, in, name, out)
}

func (e entrance) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.Open(cancel, in, out)
}

func (e entrance) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if e.refuses(&in.InHeader) {
		return fuse.EACCES
	}
	return e.filesystem.OpenDir(cancel, in, out)
}

func (e entrance) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	if e.refuses(in) {
		return fuse.EACCES
	}
	return e.filesystem.StatFs(cancel, in, out)
}

// unmapped: with StrictIDs a file whose owner or group no table has is refused.
func (f *filesystem) unmapped(a remote.Attr) bool {
	return f.cfg.StrictIDs && f.cfg.IDMap == IDMapFile && (lacks(f.cfg.UIDs, a.UID) || lacks(f.cfg.GIDs, a.GID))
}

func lacks(table map[uint32]uint32, id uint32) bool {
	_, ok := table[id]
	return table != nil && !ok
}

// unmappedBack is the other way round, for chown.
func (f *filesystem) unmappedBack(in *fuse.SetAttrIn) bool {
	if !f.cfg.StrictIDs || f.cfg.IDMap != IDMapFile {
		return false
	}
	uid, setUID := in.GetUID()
	gid, setGID := in.GetGID()
	return setUID && lacksBack(f.cfg.UIDs, uid) || setGID && lacksBack(f.cfg.GIDs, gid)
}

func lacksBack(table map[uint32]uint32, id uint32) bool {
	for _, ours := range table {
		if ours == id {
			return false
		}
	}
	return table != nil
}
