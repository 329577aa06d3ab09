package fsnode

import (
	"context"
	"path"
	"strings"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// maxLinks is how many symbolic links a path may lead through, as in the kernel.
const maxLinks = 40

// resolve gives the path of the file that p, perhaps a link, leads to. A Remote
// changes attributes of the link itself; with FollowSymlinks the file is meant.
// A link out of the mounted folder has no path here: EACCES.
func (f *filesystem) resolve(ctx context.Context, p string) (string, error) {
	for range maxLinks {
		a, err := f.remote.Lstat(ctx, p)
		if err != nil || !a.IsSymlink() {
			return p, err
		}
		target, err := f.remote.ReadLink(ctx, p)
		if err != nil {
			return "", err
		}
		next, ok := inside(f.remote.Info().Root, p, target)
		if !ok {
			return "", syscall.EACCES
		}
		p = next
	}
	return "", syscall.ELOOP
}

// inside is the path that the link at p with that target leads to, if it stays
// below root. Links on the way, before the last element, are the server's.
func inside(root, p, target string) (string, bool) {
	if path.IsAbs(target) {
		rel, ok := strings.CutPrefix(path.Clean(target), strings.TrimSuffix(path.Clean(root), "/"))
		if !ok || rel != "" && rel[0] != '/' {
			return "", false
		}
		return path.Clean("./" + rel), true
	}
	dir, _ := remote.Split(p)
	next := path.Join(dir, target)
	return next, next != ".." && !strings.HasPrefix(next, "../")
}
