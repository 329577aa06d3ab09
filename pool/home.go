package pool

import (
	"context"
	"errors"
	"syscall"
)

// A server that was started anew may let us in before its disks are mounted. The remote
// folder is then missing, or it is the bare one that the disk will be mounted over: what
// is refused there says nothing of a file.

// learnHome asks which filesystem the remote folder is on, on a session where a file of
// ours was just opened.
func (p *Pool) learnHome(s *session) {
	if _, ok := s.client.Extension("statvfs@openssh.com"); !ok {
		return
	}
	p.spawn(func() {
		ctx, cancel := context.WithTimeout(p.life, p.cfg.Timeout)
		defer cancel()
		if st, err := s.client.StartStatVFS(p.abs(".")).WaitStatVFS(ctx); err == nil {
			p.home.Store(st.Fsid)
		}
	}, nil)
}

// isHome reports whether the remote folder is there, on the filesystem where our files
// were opened, as far as that is known.
func (p *Pool) isHome(ctx context.Context) bool {
	a, err := p.stat(ctx, ".")
	if err != nil || !a.IsDir() {
		return false
	}
	home := p.home.Load()
	if home == 0 {
		return true
	}
	st, err := p.StatFS(ctx, ".")
	return err == nil && st.Fsid == home || errors.Is(err, syscall.EOPNOTSUPP)
}
