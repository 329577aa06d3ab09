package fsnode

import (
	"context"
	"slices"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// besides is a Remote for work beside the mount: the filesystem's own, and the
// kernel is told what changes through it. Names are moved and removed as for the
// kernel, so that nodes keep their paths and open files stay usable.
//
// Nothing is pinned while the kernel is told: it may have to wait for a request
// in the same folder, which may wait for a pin.
type besides struct {
	remote.Remote
	fs *filesystem
}

var _ remote.Remote = (*besides)(nil)

// find is the node at path, nil when the kernel does not know it.
func (t *tree) find(path string) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.root
	for rest := path; rest != "." && n != nil; {
		var name string
		name, rest = cut(rest)
		n = n.children[name]
	}
	return n
}

// cut is the first element of a path and the rest, "." when there is none.
func cut(path string) (name, rest string) {
	for i := range len(path) {
		if path[i] == '/' {
			return path[:i], path[i+1:]
		}
	}
	return path, "."
}

// spotOf is the name at path; false when the kernel does not know its folder.
func (b *besides) spotOf(path string) (spot, bool) {
	dir, name := remote.Split(path)
	n := b.fs.tree.find(dir)
	return spot{n, name}, n != nil
}

// entry tells that a name has come, gone or changed.
func (b *besides) entry(path string) {
	s, known := b.spotOf(path)
	if !known {
		return
	}
	b.fs.tree.mu.Lock()
	b.fs.tree.touch(s.dir)
	if s.dir.file != nil {
		s.dir.file.listed = time.Time{}
	}
	b.fs.tree.mu.Unlock()
	b.fs.kernel.EntryNotify(s.dir.id, s.name)
	b.fs.kernel.InodeNotify(s.dir.id, 0, 0)
}

// content tells that data or attributes of a file have changed.
func (b *besides) content(path string) {
	n := b.fs.tree.find(path)
	if n == nil {
		return
	}
	b.fs.tree.mu.Lock()
	n.outdate()
	b.fs.tree.touch(n)
	if n.file != nil {
		n.file.pages = kept{stamp: unknown}
	}
	b.fs.tree.mu.Unlock()
	b.fs.kernel.InodeNotify(n.id, 0, 0)
}

// ReadDir implements remote.Remote. To the work beside it too a removed file is
// gone.
func (b *besides) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return b.Remote.ReadDir(ctx, path, func(entries []remote.Entry) error {
		return emit(slices.DeleteFunc(slices.Clone(entries), func(e remote.Entry) bool {
			return b.fs.tree.isHidden(e.Name)
		}))
	})
}

// Mkdir implements remote.Remote.
func (b *besides) Mkdir(ctx context.Context, path string, perm uint32) (remote.Attr, error) {
	a, err := b.Remote.Mkdir(ctx, path, perm)
	b.entry(path)
	return a, err
}

// Symlink implements remote.Remote.
func (b *besides) Symlink(ctx context.Context, target, path string) (remote.Attr, error) {
	a, err := b.Remote.Symlink(ctx, target, path)
	b.entry(path)
	return a, err
}

// Link implements remote.Remote.
func (b *besides) Link(ctx context.Context, oldPath, newPath string) (remote.Attr, error) {
	a, err := b.Remote.Link(ctx, oldPath, newPath)
	b.entry(newPath)
	return a, err
}

// Remove implements remote.Remote.
func (b *besides) Remove(ctx context.Context, path string) error {
	return b.without(path, func(s spot) error { return b.fs.unlink(ctx, s) },
		func() error { return b.Remote.Remove(ctx, path) })
}

// Rmdir implements remote.Remote.
func (b *besides) Rmdir(ctx context.Context, path string) error {
	return b.without(path, func(s spot) error { return b.fs.rmdir(ctx, s) },
		func() error { return b.Remote.Rmdir(ctx, path) })
}

// without removes path, in the tree if the kernel knows the folder. Programs
// that watch the folder are told.
func (b *besides) without(path string, known func(spot) error, unknown func() error) error {
	s, ok := b.spotOf(path)
	if !ok {
		err := unknown()
		if err == nil {
			b.fs.links.given.moved(path, "")
		}
		return err
	}
	n := b.fs.tree.find(path)
	err := known(s)
	if err == nil && n != nil {
		b.fs.kernel.DeleteNotify(s.dir.id, n.id, s.name)
	}
	b.entry(path)
	return err
}

// Rename implements remote.Remote.
func (b *besides) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	from, ok1 := b.spotOf(oldPath)
	to, ok2 := b.spotOf(newPath)
	var err error
	if ok1 && ok2 {
		err = b.fs.rename(ctx, from, to, noReplace)
	} else {
		if err = b.Remote.Rename(ctx, oldPath, newPath, noReplace); err == nil {
			b.fs.links.given.moved(oldPath, newPath)
		}
	}
	if err == nil && ok1 && !ok2 {
		b.lost(from)
	}
	b.entry(oldPath)
	b.entry(newPath)
	return err
}

// Replace implements remote.Remote. What is open in the mount is kept by Rename.
func (b *besides) Replace(ctx context.Context, oldPath, newPath, _ string) (kept bool, err error) {
	return false, b.Rename(ctx, oldPath, newPath, false)
}

// lost notes that a file went where the kernel knows no folder.
func (b *besides) lost(s spot) {
	t := b.fs.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := s.dir.children[s.name]; n != nil && n.pins == 0 {
		t.unname(n, s)
	}
}

// SetAttr implements remote.Remote.
func (b *besides) SetAttr(ctx context.Context, path string, c remote.Change) (remote.Attr, error) {
	a, err := b.Remote.SetAttr(ctx, path, c)
	b.content(path)
	return a, err
}

// Open implements remote.Remote.
func (b *besides) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	file, a, err := b.Remote.Open(ctx, path, flag, perm)
	if flag&remote.FlagWrite == 0 || err != nil {
		return file, a, err
	}
	if flag&remote.FlagCreate != 0 && b.fs.tree.find(path) == nil {
		b.entry(path)
	} else {
		b.content(path)
	}
	return &besidesFile{File: file, besides: b, path: path}, a, nil
}

// Copy implements remote.Remote.
func (b *besides) Copy(ctx context.Context, dst remote.File, dstOff int64, src remote.File, srcOff int64, n int64) (int64, error) {
	return b.Remote.Copy(ctx, own(dst), dstOff, own(src), srcOff, n)
}

// own is the File of the Remote below.
func own(file remote.File) remote.File {
	if b, ok := file.(*besidesFile); ok {
		return b.File
	}
	return file
}

// A besidesFile is open for writing. What it writes shows when it is flushed.
type besidesFile struct {
	remote.File
	besides *besides
	path    string
}

// Flush implements remote.File.
func (b *besidesFile) Flush(ctx context.Context) (remote.Attr, error) {
	a, err := b.File.Flush(ctx)
	b.besides.content(b.path)
	return a, err
}

// Sync implements remote.File.
func (b *besidesFile) Sync(ctx context.Context) (remote.Attr, error) {
	a, err := b.File.Sync(ctx)
	b.besides.content(b.path)
	return a, err
}

// SetAttr implements remote.File.
func (b *besidesFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	a, err := b.File.SetAttr(ctx, c)
	b.besides.content(b.path)
	return a, err
}

// Close implements remote.File.
func (b *besidesFile) Close(ctx context.Context) error {
	err := b.File.Close(ctx)
	b.besides.content(b.path)
	return err
}
