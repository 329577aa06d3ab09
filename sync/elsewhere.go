package sync

import (
	"context"
	"errors"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
)

// Staying on one filesystem. Here each name tells its device; a server tells the id of
// a folder's filesystem when it is asked.

// elsewhere reports a remote source folder that lies on another filesystem than the
// root, and says so.
func (p *pass) elsewhere(ctx context.Context, f *folder) bool {
	if !p.OneFileSystem || f.item[Remote].Kind != Folder || p.Mode == Push {
		return false
	}
	st, err := p.Remote.StatFS(ctx, f.path)
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		p.failFolder(ctx, f, Remote, onSide(Remote, err)) // where it lies is not known
		return true
	}
	if f.parent == nil && (err != nil || st.Fsid == 0) {
		p.Log.Warn("the server does not tell filesystems apart; --one-file-system holds for the local folder alone")
	}
	if err != nil {
		return false
	}
	if f.parent == nil {
		p.fsid.Store(st.Fsid)
		return false
	}
	if root := p.fsid.Load(); root == 0 || root == st.Fsid {
		return false
	}
	p.journal.skip(Action{Op: OpSkip, Path: f.path, From: Remote, Source: f.item[Remote], Why: WhyElsewhere})
	return true
}

// dropElsewhere leaves out the names that lie on another filesystem here, on both
// sides.
func (p *pass) dropElsewhere(f *folder, l *[2]listing) {
	if !p.OneFileSystem {
		return
	}
	away := map[string]bool{}
	for _, n := range l[Local].names {
		if n.elsewhere {
			away[n.Name] = true
			p.journal.skip(Action{Op: OpSkip, Path: remote.Join(f.path, n.Name), From: Local, Source: n.Item, Why: WhyElsewhere})
		}
	}
	without(l, away)
}

// elsewhere reports that what a path leads to lies on another filesystem than the root.
func (l *localTree) elsewhere(ctx context.Context, path string) bool {
	now, err := l.Stamp(ctx, path, true)
	return l.device != 0 && err == nil && now.dev != l.device
}
