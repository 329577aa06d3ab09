package sync

import (
	"errors"
	"path"
	"strings"
)

// A link that a server sends is followed by every program here, so one that leads out
// of the local folder could make a program read or write a file of this machine. With
// LinksSafe no such link is made. It is judged by its text alone, against the place
// where it would lie: what the text names may be anything by the time it is followed.

var errUnsafe = errors.New("the link leads out of the folder")

// unsafe reports a link that is not to be made here.
func (p *pass) unsafe(a Action, target string) bool {
	return p.Links == LinksSafe && a.From == Remote && !contained(a.Path, target, p.rootPath[Local])
}

// contained reports whether the target of a link at a path leads to somewhere below the
// root, whatever lies there. A relative one may go up at its beginning, and no further
// than the link lies deep: a ".." behind a name leads up from wherever that name leads. An
// absolute one must begin with the root and not go up at all.
func contained(at, target, root string) bool {
	if target == "" {
		return false
	}
	depth := strings.Count(at, "/")
	if path.IsAbs(target) {
		rest, ok := strings.CutPrefix(squeeze(target)+"/", strings.TrimSuffix(root, "/")+"/")
		if !ok {
			return false
		}
		target, depth = rest, 0
	}
	named := false
	for _, part := range strings.Split(target, "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			named = true
		case named || depth == 0:
			return false
		default:
			depth--
		}
	}
	return true
}

// squeeze takes out of a path what counts for nothing.
func squeeze(target string) string {
	var b strings.Builder
	for _, part := range strings.Split(target, "/") {
		if part != "" && part != "." {
			b.WriteByte('/')
			b.WriteString(part)
		}
	}
	return b.String()
}
