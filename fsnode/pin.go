package fsnode

import (
	"context"
	"slices"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// pin holds the paths of nodes until unpin, and gives the first one's. They are taken
// together, for a pin must not be held while waiting for another. ESTALE means that one
// has none, which makes the kernel look the name up again.
func (t *tree) pin(ctx context.Context, nodes ...*node) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for slices.ContainsFunc(nodes, (*node).blocked) {
		if err := t.wait(ctx); err != nil {
			return "", err
		}
	}
	if slices.ContainsFunc(nodes, (*node).detached) {
		return "", syscall.ESTALE
	}
	for _, n := range nodes {
		n.hold(1)
	}
	return nodes[0].path(), nil
}

func (t *tree) unpin(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(n)
}

// release ends a pin. The caller holds t.mu.
func (t *tree) release(n *node) {
	n.hold(-1)
	t.wake()
	t.reap(n)
}

// hold counts a pin on n and everything above it. The caller holds t.mu.
func (n *node) hold(count int32) {
	for p := n; p != nil; p = p.parent {
		p.pins += count
	}
}

// blocked reports whether n's path is about to change. The caller holds t.mu.
func (n *node) blocked() bool {
	for p := n; p != nil; p = p.parent {
		if p.claimed {
			return true
		}
	}
	return false
}

// wait lets go of t.mu until some pin or claim has ended.
func (t *tree) wait(ctx context.Context) error {
	if t.freed == nil {
		t.freed = make(chan struct{})
	}
	freed := t.freed
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-freed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wake lets those who wait look again. The caller holds t.mu.
func (t *tree) wake() {
	if t.freed != nil {
		close(t.freed)
		t.freed = nil
	}
}

// A spot is a name in a folder, whether there is a file or not.
type spot struct {
	dir  *node
	name string
}

// A claim holds names exclusively, and the paths of their folders.
type claim struct {
	tree  *tree
	spots []spot
	dirs  []string // the paths of the folders
	paths []string // the paths of the spots
	nodes []*node  // who has these names, or nil
}

// claim takes the spots. A folder that has no path any more is ENOENT; a spot
// above another one is EINVAL, as for rename(2) into itself.
func (t *tree) claim(ctx context.Context, spots ...spot) (*claim, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.contended(spots) {
		if err := t.wait(ctx); err != nil {
			return nil, err
		}
	}
	c := &claim{tree: t, spots: spots}
	for _, s := range spots {
		if s.dir.detached() {
			return nil, syscall.ENOENT
		}
		n := s.dir.children[s.name]
		for _, other := range spots {
			if n != nil && other.dir.under(n) {
				return nil, syscall.EINVAL
			}
		}
		c.dirs = append(c.dirs, s.dir.path())
		c.paths = append(c.paths, remote.Join(s.dir.path(), s.name))
		c.nodes = append(c.nodes, n)
	}
	c.take()
	for c.busy() {
		if err := t.wait(ctx); err != nil {
			c.drop()
			return nil, err
		}
	}
	return c, nil
}

// contended: another claim holds one of the spots or a folder above it. The
// caller holds t.mu.
func (t *tree) contended(spots []spot) bool {
	for _, s := range spots {
		if n := s.dir.children[s.name]; s.dir.blocked() || n != nil && n.claimed {
			return true
		}
	}
	return false
}

func (c *claim) take() {
	for i, s := range c.spots {
		s.dir.hold(1)
		if c.nodes[i] != nil {
			c.nodes[i].claimed = true
		}
	}
}

func (c *claim) busy() bool {
	for _, n := range c.nodes {
		if n != nil && n.pins > 0 {
			return true
		}
	}
	return false
}

// drop ends the claim. The caller holds t.mu.
func (c *claim) drop() {
	for _, n := range c.nodes {
		if n != nil {
			n.claimed = false
		}
	}
	for _, s := range c.spots {
		c.tree.release(s.dir)
	}
	for _, n := range c.nodes {
		c.tree.reap(n)
	}
	c.tree.wake()
}

// release ends the claim.
func (c *claim) release() {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	c.drop()
}
