package remotetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// pendingBound is how much data WriteBehind holds for one file.
const pendingBound = 16 << 20

// nodeKey tells files apart whatever their names are.
type nodeKey struct{ dev, ino uint64 }

func keyOf(st *unix.Stat_t) nodeKey { return nodeKey{uint64(st.Dev), st.Ino} }

// A dirent is a file that is open, with the data written to it and not yet on
// the disk. All open Files of one file share it, so that each sees what another
// has written. The methods work on a nil one, which holds nothing.
type dirent struct {
	key nodeKey

	mu     sync.Mutex
	files  map[*dirFile]struct{} // guarded by mu, and by Dir.mu where one comes or goes
	writes []pendingWrite        // guarded by mu
	bytes  int                   // guarded by mu: the sum of writes
	end    int64                 // guarded by mu: the end of the furthest
	mtime  int64                 // guarded by mu: when the last was made
	times  remote.Change         // guarded by mu: times to set when they have left
}

type pendingWrite struct {
	file *dirFile
	off  int64
	data []byte
}

// open is the dirent of an open file, or nil.
func (d *Dir) open(key nodeKey) *dirent {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.nodes[key]
}

func (d *Dir) acquire(key nodeKey, f *dirFile) *dirent {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.nodes[key]
	if node == nil {
		node = &dirent{key: key, files: map[*dirFile]struct{}{}}
		d.nodes[key] = node
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	node.files[f] = struct{}{}
	return node
}

func (d *Dir) release(node *dirent, f *dirFile) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node.mu.Lock()
	defer node.mu.Unlock()
	if delete(node.files, f); len(node.files) == 0 {
		delete(d.nodes, node.key)
	}
}

// hold keeps a copy of p, and reports whether that is now too much.
func (n *dirent) hold(f *dirFile, p []byte, off int64) (full bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes = append(n.writes, pendingWrite{f, off, append([]byte(nil), p...)})
	n.bytes += len(p)
	n.end = max(n.end, off+int64(len(p)))
	n.mtime = time.Now().Unix()
	n.times.Fields &^= remote.SetMtime
	return n.bytes > pendingBound
}

// discard forgets what is left of a File that ends.
func (n *dirent) discard(f *dirFile) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes = slices.DeleteFunc(n.writes, func(w pendingWrite) bool { return w.file == f })
}

// remember keeps times for when the data has left, which would change them
// again. It reports false when there is no such data.
func (n *dirent) remember(c remote.Change) bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.writes) == 0 {
		return false
	}
	if c.Fields&remote.SetAtime != 0 {
		n.times.Atime = c.Atime
	}
	if c.Fields&remote.SetMtime != 0 {
		n.times.Mtime = c.Mtime
	}
	n.times.Fields |= c.Fields & (remote.SetAtime | remote.SetMtime)
	return true
}

// look describes the file as it will be when the data has left. None leaves while
// stat runs.
func (n *dirent) look(stat func(*unix.Stat_t) error) (remote.Attr, error) {
	if n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
	}
	var st unix.Stat_t
	if err := stat(&st); err != nil {
		return remote.Attr{}, err
	}
	attr := attrOf(&st)
	if n == nil || len(n.writes) == 0 {
		return attr, nil
	}
	attr.Size = max(attr.Size, n.end)
	attr.Mtime = n.mtime
	if n.times.Fields&remote.SetMtime != 0 {
		attr.Mtime = n.times.Mtime
	}
	if n.times.Fields&remote.SetAtime != 0 {
		attr.Atime = n.times.Atime
	}
	return attr, nil
}

// send brings the data to the disk. What cannot be written is lost: that is told once
// to every File that is open for writing.
func (d *Dir) send(ctx context.Context, n *dirent) error {
	if !n.dirty() {
		return nil
	}
	hook := d.begin(ctx, "send", n.path())
	if hook != nil && (errors.Is(hook, context.Canceled) || errors.Is(hook, context.DeadlineExceeded)) {
		return hook
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.writes {
		err := hook
		if err == nil {
			err = w.file.pwrite(w.data, w.off)
		}
		n.lose(err)
	}
	if fields := n.times.Fields; fields != 0 && len(n.writes) > 0 && hook == nil {
		f := n.writes[len(n.writes)-1].file
		n.lose(f.utimens(timespecs(n.times)))
	}
	n.writes, n.bytes, n.end, n.times = nil, 0, 0, remote.Change{}
	return nil
}

// lose keeps an error for every File; n.mu is held.
func (n *dirent) lose(err error) {
	for f := range n.files {
		if f.flag&remote.FlagWrite != 0 {
			f.lose(err)
		}
	}
}

func (n *dirent) dirty() bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.writes) > 0
}

// path is a name of the file, for the hook.
func (n *dirent) path() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.writes) == 0 {
		return ""
	}
	return n.writes[0].file.path
}
