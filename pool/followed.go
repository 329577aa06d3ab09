package pool

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// ProFTPD's LSTAT follows symbolic links that lead somewhere, and its RENAME does at both
// ends: to rename a link renames the file that it leads to, and to rename over one
// replaces that. Its listings tell links, and so does its READLINK, with absolute
// targets. Where that may be so READLINK is asked as well.

// What is known of a server's LSTAT.
const (
	linksTrusted int32 = iota // nothing: no listing has told a link that it did not
	linksSuspect              // its name says that it may follow links
	linksTold                 // it has told a link that leads somewhere
	linksFollowed
)

// lstatOn is LSTAT on a session.
func (p *Pool) lstatOn(ctx context.Context, s *session, path string) (remote.Attr, error) {
	if k := p.quirks.links.Load(); k == linksSuspect || k == linksFollowed {
		return p.lstatTwice(ctx, s, path)
	}
	w, err := s.client.StartLstat(p.abs(path)).WaitAttrs(ctx)
	return s.attr(w), err
}

// lstatTwice is LSTAT with READLINK beside it, and learns from them.
func (p *Pool) lstatTwice(ctx context.Context, s *session, path string) (remote.Attr, error) {
	look := s.client.StartLstat(p.abs(path))
	link := s.client.StartReadLink(p.abs(path))
	w, err := look.WaitAttrs(ctx)
	a := s.attr(w)
	if lostRequest(err) || ctx.Err() != nil || err == nil && a.IsSymlink() {
		link.Forget()
		if err == nil {
			err = p.learnLinks(ctx, s, path)
		}
		return a, err
	}
	names, lerr := link.WaitNames(ctx)
	switch {
	case lostRequest(lerr) || ctx.Err() != nil:
		return remote.Attr{}, lerr
	case lerr != nil || len(names) != 1 || names[0].Filename == "":
		return a, err
	}
	p.quirks.links.Store(linksFollowed)
	p.learned(FollowsLinks)
	a.Mode, a.Size = syscall.S_IFLNK|0o777, int64(len(p.targetOf(path, names[0].Filename)))
	return a, nil
}

// learnLinks finds out whether the link at path, which LSTAT has told, leads somewhere.
func (p *Pool) learnLinks(ctx context.Context, s *session, path string) error {
	if p.quirks.links.Load() == linksFollowed {
		return nil
	}
	_, err := s.client.StartStat(p.abs(path)).WaitAttrs(ctx)
	if err == nil {
		p.quirks.links.Store(linksTold)
	}
	if lostRequest(err) {
		return err
	}
	return nil
}

// targetOf is what a link that READLINK has told contains. There are servers that tell
// all targets as absolute ones: those inside of the remote are taken to be relative.
func (p *Pool) targetOf(link, target string) string {
	if !p.quirks.has(FollowsLinks) && !p.quirks.has(AbsoluteLinks) {
		return target
	}
	return p.relative(link, target)
}

// relative is a target inside of the remote as seen from its link; any other as it is.
func (p *Pool) relative(link, target string) string {
	if inside, ok := strings.CutPrefix(target, strings.TrimSuffix(p.abs("."), "/")+"/"); ok {
		dir, _ := remote.Split(link)
		if rel, err := filepath.Rel(dir, inside); err == nil {
			return rel
		}
	}
	return target
}

// readTarget asks what a link contains, and learns whether the server tells that: an
// absolute target that is longer than the link is not what it contains.
func (p *Pool) readTarget(ctx context.Context, s *session, link string) (string, error) {
	names, err := s.client.StartReadLink(p.abs(link)).WaitNames(ctx)
	if err != nil || len(names) != 1 {
		return "", err
	}
	target := names[0].Filename
	if !s.ordered && !p.quirks.has(AbsoluteLinks) && p.relative(link, target) != target {
		a, err := p.lstatOn(ctx, s, link)
		if lostRequest(err) || ctx.Err() != nil {
			return "", err
		}
		if err == nil && a.IsSymlink() && a.Size > 0 && a.Size < int64(len(target)) {
			p.learned(AbsoluteLinks)
		}
	}
	return p.targetOf(link, target), nil
}

// mostTried is how many links of one answer are tried: those that lead nowhere tell
// nothing.
const mostTried = 3

// listedLink learns from the links that a listing tells.
func (p *Pool) listedLink(ctx context.Context, s *session, dir string, names []sftp3.Name) error {
	tried := 0
	for _, n := range names {
		if k := p.quirks.links.Load(); tried == mostTried || s.ordered || k == linksTold || k == linksFollowed {
			return nil
		}
		if n.Attrs.Permissions&syscall.S_IFMT == syscall.S_IFLNK && isName(n.Filename) {
			tried++
			_, err := p.lstatTwice(ctx, s, remote.Join(dir, n.Filename))
			if lostRequest(err) || ctx.Err() != nil {
				return err
			}
		}
	}
	return nil
}

// renamesLink reports which of two names is a link that RENAME would follow.
func (p *Pool) renamesLink(ctx context.Context, oldPath, newPath string) (from, to bool, err error) {
	if k := p.quirks.links.Load(); k == linksTrusted || k == linksTold {
		return false, false, nil
	}
	err = p.repeat(ctx, laneLook, looks, func(ctx context.Context, s *session, _ bool) error {
		for path, is := range map[string]*bool{oldPath: &from, newPath: &to} {
			a, err := p.lstatOn(ctx, s, path)
			if lostRequest(err) || ctx.Err() != nil {
				return err
			}
			*is = err == nil && a.IsSymlink() && p.quirks.links.Load() == linksFollowed
		}
		return nil
	})
	return from, to, err
}

// moveLink renames a link: another like it is made, and then it is removed.
func (p *Pool) moveLink(ctx context.Context, oldPath, newPath string) error {
	target, err := p.ReadLink(ctx, oldPath)
	if err != nil {
		return err
	}
	if _, err = p.Symlink(ctx, target, newPath); err != nil {
		return err
	}
	return p.Remove(ctx, oldPath)
}
