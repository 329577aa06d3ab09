package sync

import (
	"context"
	"sync"

	"golang.org/x/text/unicode/norm"

	"github.com/remotemount/remotemount/pool/remote"
)

// composed is a remote folder whose names are shown in Unicode's composed form (NFC).
// Macs tell names decomposed (NFD) whatever they were made with, so that a name with an
// accent never equals its own copy. What was listed is found under the name that it
// has; what is new gets the name that it is given. Names that are no Unicode stay.
type composed struct {
	remote.Remote

	others budget // names of another form, until all of their folder was listed

	mu   sync.Mutex
	real map[string]map[string]string // guarded by mu; by folder, and by a name as it is shown, that on the server, where it is another
}

func newComposed(r remote.Remote) *composed {
	return &composed{Remote: r, others: budget{most: mostHeld}, real: make(map[string]map[string]string)}
}

// at is a path as the server has it.
func (c *composed) at(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.locked(path)
}

func (c *composed) locked(path string) string {
	if path == "." {
		return path
	}
	dir, name := remote.Split(path)
	if real, ok := c.real[dir][name]; ok {
		name = real
	}
	return remote.Join(c.locked(dir), name)
}

// forget notes that what had a name is not there any more.
func (c *composed) forget(path string, err error) {
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		dir, name := remote.Split(path)
		delete(c.real[dir], name)
	}
}

// follow has the names of a folder that was listed found by the way of a link to it, too.
func (c *composed) follow(link, real string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.real[link] = c.real[real]
}

// done lets go of the names of a folder: nothing is asked about them any more.
func (c *composed) done(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.real, dir)
}

// ReadDir implements remote.Remote. Names that have another form come last. Of two that
// differ in their form alone, one keeps its own.
func (c *composed) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	taken := map[string]bool{}
	var others []remote.Entry
	var held int64
	defer func() { c.others.giveBack(held) }()
	err := c.Remote.ReadDir(ctx, c.at(path), func(entries []remote.Entry) error {
		kept := make([]remote.Entry, 0, len(entries))
		for _, e := range entries {
			if !norm.NFC.IsNormalString(e.Name) {
				cost := int64(nameCost + len(e.Name))
				if err := c.others.take(cost, held); err != nil {
					return err
				}
				held += cost
				others = append(others, e)
				continue
			}
			taken[e.Name] = true
			kept = append(kept, e)
		}
		return emit(kept)
	})
	if err != nil || len(others) == 0 {
		return err
	}
	c.mu.Lock()
	if c.real[path] == nil {
		c.real[path] = map[string]string{}
	}
	for i, e := range others {
		if as := norm.NFC.String(e.Name); !taken[as] {
			taken[as] = true
			c.real[path][as] = e.Name
			others[i].Name = as
		}
	}
	c.mu.Unlock()
	return emit(others)
}

func (c *composed) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	return c.Remote.Lstat(ctx, c.at(path))
}

func (c *composed) Stat(ctx context.Context, path string) (remote.Attr, error) {
	return c.Remote.Stat(ctx, c.at(path))
}

func (c *composed) ReadLink(ctx context.Context, path string) (string, error) {
	return c.Remote.ReadLink(ctx, c.at(path))
}

func (c *composed) StatFS(ctx context.Context, path string) (remote.StatFS, error) {
	return c.Remote.StatFS(ctx, c.at(path))
}

func (c *composed) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	return c.Remote.Open(ctx, c.at(path), flag, perm)
}

func (c *composed) Mkdir(ctx context.Context, path string, perm uint32) (remote.Attr, error) {
	return c.Remote.Mkdir(ctx, c.at(path), perm)
}

func (c *composed) Symlink(ctx context.Context, target, path string) (remote.Attr, error) {
	return c.Remote.Symlink(ctx, target, c.at(path))
}

func (c *composed) Link(ctx context.Context, oldPath, newPath string) (remote.Attr, error) {
	return c.Remote.Link(ctx, c.at(oldPath), c.at(newPath))
}

func (c *composed) SetAttr(ctx context.Context, path string, ch remote.Change) (remote.Attr, error) {
	return c.Remote.SetAttr(ctx, c.at(path), ch)
}

func (c *composed) Remove(ctx context.Context, path string) error {
	err := c.Remote.Remove(ctx, c.at(path))
	c.forget(path, err)
	return err
}

func (c *composed) Rmdir(ctx context.Context, path string) error {
	err := c.Remote.Rmdir(ctx, c.at(path))
	c.forget(path, err)
	return err
}

// Rename implements remote.Remote. What had another form keeps it in mind: it may get its
// name back.
func (c *composed) Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error {
	return c.Remote.Rename(ctx, c.at(oldPath), c.at(newPath), noReplace)
}

func (c *composed) Replace(ctx context.Context, oldPath, newPath, keep string) (kept bool, err error) {
	return c.Remote.Replace(ctx, c.at(oldPath), c.at(newPath), c.at(keep))
}
