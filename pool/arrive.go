package pool

import (
	"cmp"
	"context"
	"path"
	"strings"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// An arrival is what is asked in the first flight of the first session: where the remote
// folder is and what is there, and who the remote user is. Each of the calls may be nil.
type arrival struct {
	root   *sftp3.Call // the path of the remote folder
	folder *sftp3.Call // what is there
	told   string      // by which path
	home   *sftp3.Call // the path of the user's home
	owner  *sftp3.Call // and its attributes
}

// arrive asks what is not known yet. mu is held.
func (p *Pool) arrive(s *session) arrival {
	var a arrival
	if !p.rooted {
		a.told = cmp.Or(strings.TrimPrefix(strings.TrimPrefix(p.cfg.Dir, "~/"), "./"), ".")
		_, expands := s.client.Extension("expand-path@openssh.com")
		if strings.HasPrefix(p.cfg.Dir, "~") && expands {
			a.root, a.told = s.client.StartExpandPath(p.cfg.Dir), ""
		} else {
			a.root, a.folder = s.client.StartRealPath(a.told), s.client.StartStat(a.told)
		}
	}
	if p.cfg.User != "" && !p.info.KnownOwner {
		a.home, a.owner = s.client.StartRealPath("."), s.client.StartStat(".")
	}
	return a
}

// forget is for calls whose answers are not waited for any more.
func (a arrival) forget() {
	for _, call := range []*sftp3.Call{a.root, a.folder, a.home, a.owner} {
		if call != nil {
			call.Forget()
		}
	}
}

// arrived takes the answers.
func (p *Pool) arrived(ctx context.Context, s *session, a arrival) error {
	if err := p.findRoot(ctx, a.root); err != nil {
		return err
	}
	if a.folder == nil && (a.root != nil || a.home != nil) {
		a.told = p.abs(".")
		a.folder = s.client.StartStat(a.told)
		defer a.folder.Forget()
	}
	if a.folder == nil {
		return nil
	}
	w, err := a.folder.WaitAttrs(ctx)
	if a.home != nil {
		p.findOwner(ctx, s, a, w)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.folder = &glance{attr: s.attr(w), err: err, told: a.told}
	return nil
}

// A glance is what the first flight told of the remote folder. That there is none is
// believed of an absolute path alone: a server may not know any other.
type glance struct {
	attr remote.Attr
	err  error
	told string
}

// statFolder tells what the remote folder is, as the first flight did.
func (p *Pool) statFolder(ctx context.Context) (remote.Attr, error) {
	p.mu.Lock()
	g := p.folder
	p.folder = nil
	p.mu.Unlock()
	switch {
	case g == nil:
	case g.err == nil:
		return g.attr, nil
	case path.IsAbs(g.told) && isErrno(errnoOf(g.err), syscall.ENOENT):
		return remote.Attr{}, remote.PathError("stat", ".", syscall.ENOENT)
	}
	return p.Stat(ctx, ".")
}

func (p *Pool) findRoot(ctx context.Context, asked *sftp3.Call) error {
	if asked == nil {
		return nil
	}
	names, err := asked.WaitNames(ctx)
	if err != nil {
		return remote.PathError("realpath", p.cfg.Dir, errnoOf(err))
	}
	if len(names) != 1 || !path.IsAbs(names[0].Filename) {
		return remote.PathError("realpath", p.cfg.Dir, syscall.EIO)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.info.Root, p.rooted = path.Clean(names[0].Filename), true
	return nil
}

// findOwner finds who the remote user is before anything was made here, for whoever
// wants to see that user's files as their own. The server's own table of users tells,
// where it is told of (users-groups-by-id@openssh.com). Else it is the owner of the
// home folder, unless that is root's or the server's top: there many servers put
// everybody. A file that we make tells better, later. Nothing here is an error: then
// it is not known yet.
func (p *Pool) findOwner(ctx context.Context, s *session, a arrival, folder sftp3.Attrs) {
	names, err := a.home.WaitNames(ctx)
	if err != nil || len(names) != 1 {
		return
	}
	uids, gids := []uint32{0}, []uint32{0}
	home, _ := a.owner.WaitAttrs(ctx) // of what is not told there are no flags
	for _, w := range []sftp3.Attrs{home, folder} {
		if w.Flags&sftp3.AttrUIDGID != 0 {
			uids, gids = append(uids, w.UID), append(gids, w.GID)
		}
	}
	if i := p.named(ctx, s, uids); i >= 0 {
		p.guessOwner(uids[i], gids[i])
	} else if len(uids) > 1 && path.Clean(names[0].Filename) != "/" && uids[1] != 0 {
		p.guessOwner(uids[1], gids[1])
	}
}

// named is which of the numbers is the user's who has logged in, or -1.
func (p *Pool) named(ctx context.Context, s *session, uids []uint32) int {
	if _, ok := s.client.Extension(sftp3.ExtUsersGroups); !ok {
		return -1
	}
	users, _, err := s.client.StartUsersGroups(uids, nil).WaitUsersGroups(ctx)
	if err != nil {
		return -1
	}
	for i := range min(len(users), len(uids)) {
		if users[i] == p.cfg.User {
			return i
		}
	}
	return -1
}

func (p *Pool) guessOwner(uid, gid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.info.KnownOwner {
		p.info.UID, p.info.GID, p.info.KnownOwner = uid, gid, true
	}
}
