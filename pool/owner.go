package pool

import (
	"context"
	"path"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// findOwner finds who the remote user is before anything was made here, for whoever
// wants to see that user's files as their own. The server's own table of users tells,
// where it is told of (users-groups-by-id@openssh.com). Else it is the owner of the
// home folder, unless that is root's or the server's top: there many servers put
// everybody. A file that we make tells better, later. Nothing here is an error: then
// it is not known yet.
func (p *Pool) findOwner(ctx context.Context, s *session) {
	p.mu.Lock()
	known, root := p.info.KnownOwner, p.info.Root
	p.mu.Unlock()
	if known || p.cfg.User == "" {
		return
	}
	names, err := s.client.StartRealPath(".").WaitNames(ctx)
	if err != nil || len(names) != 1 {
		return
	}
	home := path.Clean(names[0].Filename)
	uids, gids := []uint32{0}, []uint32{0}
	for _, dir := range []string{home, root} {
		w, err := s.client.StartStat(dir).WaitAttrs(ctx)
		if err != nil || w.Flags&sftp3.AttrUIDGID == 0 {
			continue
		}
		uids, gids = append(uids, w.UID), append(gids, w.GID)
	}
	if i := p.named(ctx, s, uids); i >= 0 {
		p.guessOwner(uids[i], gids[i])
	} else if len(uids) > 1 && home != "/" && uids[1] != 0 {
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
