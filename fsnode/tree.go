package fsnode

import (
	"container/list"
	"slices"
	"sync"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// A tree holds the nodes the kernel knows, and those on the way to them.
//
// # Pins and claims
//
// A pin holds a path for one operation. A claim is exclusive: it takes the
// names a rename or removal changes, pins the folders they are in, and waits
// until no other operation has a path through the nodes that have these names.
// New pins and claims that would run into it wait, and hold nothing meanwhile.
// So whoever waits inside a claim waits for operations that began before it,
// and there is no circle. Calls on open files need no path, and no pin.
type tree struct {
	mu    sync.Mutex
	nodes map[uint64]*node // guarded by mu: every node the kernel knows, by id
	peak  int              // guarded by mu: the most nodes since the map was made
	root  *node

	// epoch counts local changes; a node's changed is the epoch of its last.
	epoch uint64 // guarded by mu

	hiding hiddenNames

	kept list.List // guarded by mu: of *node, in the order of keepLinked

	most     int      // of nodes, see arrive
	crowded  func()   // called with mu held, when there are more
	thinning bool     // guarded by mu: crowded was called, and oldest not yet
	rest     int      // guarded by mu: nodes to come before crowded is called again
	arrivals []uint64 // guarded by mu: nodes in the order in which they came; some are gone

	// freed is closed when a pin or claim ends; nil while nobody waits.
	freed chan struct{} // guarded by mu
}

// A node is a file, folder or link. All fields but id and typ are guarded by
// tree.mu. There may be a million of them, so there is little in it.
type node struct {
	id  uint64 // number for the kernel and inode number for programs
	typ uint32 // S_IFMT part of the mode; another type is another node

	pins    int32 // operations whose path leads to or through it
	claimed bool  // its name is being changed
	gone    bool  // it has no name any more

	// The name its path goes by, or went by: a node that is gone keeps it, so
	// that pins taken before find their way back.
	parent *node
	name   string

	children map[string]*node // nil until there is one
	lookups  uint64           // references of the kernel
	changed  uint64           // epoch of the last local change, of a folder's names too
	told     remote.Stamp     // what the kernel was last told, or unknown
	file     *inode           // nil until more has to be known of it
}

// unknown is no file's stamp.
var unknown = remote.Stamp{Size: -1, Mtime: -1}

func newTree() *tree {
	root := &node{id: rootID, typ: syscall.S_IFDIR, lookups: 1, told: unknown}
	return &tree{root: root, nodes: map[uint64]*node{rootID: root}, peak: 1, most: mostNames, hiding: newHiddenNames(), crowded: func() {}}
}

// get is the node with that id. The kernel asks only for nodes it knows; nil
// means that it is mistaken.
func (t *tree) get(id uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nodes[id]
}

// path is where n is. The caller holds t.mu.
func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	size := -1
	for p := n; p.parent != nil; p = p.parent {
		size += 1 + len(p.name)
	}
	var stack [256]byte // for most paths the string is the only allocation
	buf := append(stack[:0], make([]byte, size)...)
	for p, end := n, size; p.parent != nil; p = p.parent {
		copy(buf[end-len(p.name):], p.name)
		if end -= len(p.name) + 1; end > 0 {
			buf[end] = '/'
		}
	}
	return string(buf)
}

// detached reports whether n or a folder above it has no name any more. The
// caller holds t.mu.
func (n *node) detached() bool {
	for p := n; p != nil; p = p.parent {
		if p.gone {
			return true
		}
	}
	return false
}

// under reports whether n is top or below it. The caller holds t.mu.
func (n *node) under(top *node) bool {
	for p := n; p != nil; p = p.parent {
		if p == top {
			return true
		}
	}
	return false
}

// enter gives the node called name in dir, whose path is dirPath: the one that
// is there if it is of that type, else a new one. The kernel has a reference to
// it more than before.
func (t *tree) enter(dir *node, dirPath, name string, a remote.Attr) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.put(dir, dirPath, name, a)
}

// enterNew is enter for a file just made: whatever had that name is gone.
func (t *tree) enterNew(dir *node, dirPath, name string, a remote.Attr) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := dir.children[name]; old != nil {
		t.unname(old, spot{dir, name})
	}
	return t.put(dir, dirPath, name, a)
}

// put is enter. The caller holds t.mu.
func (t *tree) put(dir *node, dirPath, name string, a remote.Attr) *node {
	n := dir.children[name]
	if n != nil && n.typ != a.Type() {
		t.unname(n, spot{dir, name})
		n = nil
	}
	if n == nil {
		n = &node{typ: a.Type()}
		n.id = t.freeID(remote.Join(dirPath, name))
		t.nodes[n.id] = n
		t.peak = max(t.peak, len(t.nodes))
		t.arrive(n)
		t.name(n, spot{dir, name})
	}
	n.lookups++
	n.told = a.Stamp()
	return n
}

// name gives n a name; another node that had it loses it. The caller holds t.mu.
func (t *tree) name(n *node, s spot) {
	if old := s.dir.children[s.name]; old != nil && old != n {
		t.unname(old, s)
	}
	if s.dir.children == nil {
		s.dir.children = map[string]*node{}
	}
	s.dir.children[s.name] = n
	if n.parent == nil || n.gone {
		n.parent, n.name, n.gone = s.dir, s.name, false
	} else {
		n.inode().more = append(n.inode().more, s)
	}
}

// unname takes one of n's names away. If its path went by that name it goes by
// another one then; but not while an operation holds the path: then n is gone,
// and whoever asks for it looks its names up again. The caller holds t.mu.
func (t *tree) unname(n *node, s spot) {
	if s.dir.children[s.name] != n {
		return
	}
	delete(s.dir.children, s.name)
	t.touch(n)
	t.touch(s.dir)
	switch primary := (spot{n.parent, n.name}); {
	case primary != s:
		n.file.more = slices.DeleteFunc(n.file.more, func(other spot) bool { return other == s })
	case len(n.others()) > 0 && n.pins == 0:
		n.parent, n.name = n.file.more[0].dir, n.file.more[0].name
		n.file.more = n.file.more[1:]
	default:
		t.vanish(n)
	}
	t.reap(n)
	t.reap(s.dir)
}

// vanish takes all names away. The caller holds t.mu.
func (t *tree) vanish(n *node) {
	if !n.gone && n.parent != nil && n.parent.children[n.name] == n {
		delete(n.parent.children, n.name)
	}
	n.gone = true
	for _, s := range n.others() {
		delete(s.dir.children, s.name)
		n.file.more = n.file.more[1:]
		t.reap(s.dir)
	}
}

// move gives n, whose name from was claimed, the name to instead. Another node
// that has it is gone. The caller holds t.mu.
func (t *tree) move(n *node, from, to spot) {
	if old := to.dir.children[to.name]; old != nil && old != n {
		t.unname(old, to)
	}
	if other := from.dir.children[from.name]; other != nil && other != n {
		t.unname(other, from) // a look has put it there meanwhile
	}
	delete(from.dir.children, from.name)
	if to.dir.children == nil {
		to.dir.children = map[string]*node{}
	}
	to.dir.children[to.name] = n
	switch i := slices.Index(n.others(), from); {
	case (spot{n.parent, n.name}) == from:
		n.parent, n.name = to.dir, to.name
	case i >= 0:
		n.file.more[i] = to
	default: // a look has taken that name away meanwhile
		n.inode().more = append(n.inode().more, to)
	}
	for _, changed := range []*node{n, from.dir, to.dir} {
		t.touch(changed)
	}
	t.reap(from.dir)
}

// touch notes a local change of n. The caller holds t.mu.
func (t *tree) touch(n *node) {
	t.epoch++
	n.changed = t.epoch
}

// forget takes references of the kernel back.
func (t *tree) forget(id, lookups uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[id]
	if n == nil {
		return
	}
	n.lookups -= min(n.lookups, lookups)
	t.reap(n)
	t.shrink()
}

// reap drops n, and then the folders above it, as far as nothing needs them any
// more. The caller holds t.mu.
func (t *tree) reap(n *node) {
	for n != nil && n.parent != nil && n.idle() && !t.keepLinked(n) {
		n = t.dropNode(n)
	}
}

// dropNode forgets n, and gives the folder it was in. The caller holds t.mu.
func (t *tree) dropNode(n *node) (parent *node) {
	if t.nodes[n.id] == n {
		delete(t.nodes, n.id)
	}
	t.vanish(n)
	return n.parent
}

// idle: neither the kernel nor an operation nor a handle nor a child needs n.
func (n *node) idle() bool {
	return n.lookups == 0 && n.pins == 0 && !n.claimed && len(n.children) == 0 && !n.file.inUse()
}

// shrink makes the map anew when most of its nodes are gone: a map keeps the
// memory it had at its largest, and one walk through a tree can fill it with
// millions. The caller holds t.mu.
func (t *tree) shrink() {
	const worthwhile = 64 << 10
	if t.peak < worthwhile || len(t.nodes) > t.peak/8 {
		return
	}
	nodes := make(map[uint64]*node, len(t.nodes))
	for id, n := range t.nodes {
		nodes[id] = n
	}
	t.nodes, t.peak = nodes, len(nodes)
}

// now is the epoch, to be compared with node.changed later.
func (t *tree) now() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch
}
