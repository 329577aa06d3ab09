package fsnode

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A Containment says which symbolic links are shown.
//
// A link on the server is text that the kernel follows on this machine: one that
// reads ../../etc/passwd makes a program here open a file of this machine, to read
// it or to write it. So the text is judged each time the kernel asks for it.
type Containment uint8

const (
	// ContainTree shows a link that stays below the mountpoint: a relative one
	// whose ".." all stand at the front and are no more than the folders above
	// the link, and an absolute one that begins with the mountpoint. It holds
	// for programs that reach the mount at its mountpoint.
	ContainTree Containment = iota

	// ContainStrict shows a link only if it is relative and has no "..". It holds
	// wherever a part of the mount is entered: by a bind mount, in a container.
	ContainStrict

	// ContainNothing shows every link as it is.
	ContainNothing
)

// pathMax is the longest text of a link that the kernel takes, and the longest path
// that is asked for: SFTP gives each path whole, and that of a tree without a bottom
// would take ever more memory.
const pathMax = 4095

// linkRules judge the text of a link. They never change.
type linkRules struct {
	contain   Containment
	transform bool       // absolute links below root become relative
	points    [][]string // what an absolute link may begin with
}

// elements are the names in a path. Those that count for nothing are left out.
func elements(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" || s == "." })
}

// show gives the text of a link for the kernel: what the server says, or what
// stands for it. depth is how many folders of the mount are above the link, root
// is the mounted folder on the server. EPERM refuses the link, EIO means that no
// link has such a text.
//
// Each name in the text is a node of the mount, and a link there is judged in its
// turn. But after a name nothing can be said of "..", for the name may be a link
// to the top, now or a moment later: with x -> . the text x/x/../.. leads out of
// the mount, however often x was looked at.
func (r *linkRules) show(text string, depth int, root string) (string, error) {
	if text == "" || len(text) > pathMax || strings.IndexByte(text, 0) >= 0 {
		return "", syscall.EIO
	}
	if r.transform {
		text = relativeTo(root, text, depth)
	}
	if r.contain == ContainNothing || r.inside(text, depth) {
		return text, nil
	}
	return "", syscall.EPERM
}

func (r *linkRules) inside(text string, depth int) bool {
	names := elements(text)
	if text[0] == '/' {
		return r.contain != ContainStrict && !slices.Contains(names, "..") && r.below(names)
	}
	up := 0
	for up < len(names) && names[up] == ".." {
		up++
	}
	if slices.Contains(names[up:], "..") {
		return false
	}
	return up == 0 || up <= depth && r.contain != ContainStrict
}

func (r *linkRules) below(names []string) bool {
	return slices.ContainsFunc(r.points, func(point []string) bool {
		return len(names) >= len(point) && slices.Equal(names[:len(point)], point)
	})
}

// relativeTo makes an absolute text that begins with root relative. Other texts
// stay as they are.
func relativeTo(root, text string, depth int) string {
	top, names := elements(root), elements(text)
	if text[0] != '/' || len(names) < len(top) || !slices.Equal(names[:len(top)], top) || slices.Contains(names, "..") {
		return text
	}
	out := append(slices.Repeat([]string{".."}, depth), names[len(top):]...)
	if len(out) == 0 {
		return "."
	}
	return strings.Join(out, "/")
}

// mountPoints are the names of the mountpoint that an absolute link may begin
// with: where it is, and as the user wrote it if that leads there.
func mountPoints(resolved, given string) [][]string {
	points := [][]string{elements(resolved)}
	if given == "" {
		return points
	}
	given, err := filepath.Abs(given)
	if err != nil || given == resolved {
		return points
	}
	if at, err := filepath.EvalSymlinks(given); err == nil && at == resolved {
		points = append(points, elements(given))
	}
	return points
}

// depth is how many folders of the mount are above n, by the name of it that has
// the fewest.
func (t *tree) depth(n *node) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	least := n.parent.above()
	for _, s := range n.others() {
		least = min(least, s.dir.above())
	}
	return least
}

// above is how many folders are above a name in n. The caller holds tree.mu.
func (n *node) above() int {
	count := 0
	for p := n; p != nil && p.parent != nil; p = p.parent {
		count++
	}
	return count
}

// showLink is the text of the link n for the kernel. n's path is pinned.
func (f *filesystem) showLink(n *node, path, text string) (string, error) {
	if f.links.gave(path, text) {
		return text, nil
	}
	shown, err := f.links.rules.show(text, f.tree.depth(n), f.remote.Info().Root)
	if err == syscall.EPERM {
		f.tellRefused(path, text)
	}
	return shown, err
}

func (f *filesystem) tellRefused(path, text string) {
	switch f.links.refuse(path) {
	case 0:
	case tellAtMost:
		f.cfg.Log.Warn("further symbolic links that lead out of the mount are refused without a line each")
	default:
		f.cfg.Log.Warn("a symbolic link that leads out of the mount is refused; transform_symlinks or --follow-symlinks may help",
			"path", path, "target", text[:min(len(text), 200)])
	}
}

const (
	// tellAtMost bounds the lines in the log, and countAtMost the links counted.
	tellAtMost  = 1000
	countAtMost = 10000
)

// links is what a mount knows of symbolic links besides the tree.
type links struct {
	rules linkRules
	given given

	mu      sync.Mutex
	refused map[string]struct{} // guarded by mu: their paths
}

// refuse counts a link that was refused: the how manieth it is, 0 for one that
// was counted before or is one too many.
func (l *links) refuse(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.refused[path]; known || len(l.refused) >= countAtMost {
		return 0
	}
	if l.refused == nil {
		l.refused = map[string]struct{}{}
	}
	l.refused[path] = struct{}{}
	if n := len(l.refused); n <= tellAtMost {
		return n
	}
	return 0
}

func (l *links) refusedCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.refused)
}
