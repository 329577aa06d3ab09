package sync

import (
	"context"
	"sync"

	"golang.org/x/sys/unix"
)

// Hard links are names of one file. Who has it open by one name keeps it from being leased
// by another, and removing a name sets the time of the file's last change. So where
// sources are removed here, the names of a file are taken one after the other.

type inode struct{ dev, ino uint64 }

// gates are files at which one worker is at work.
type gates struct {
	mu   sync.Mutex
	held map[inode]chan struct{} // closed when the worker is done; guarded by mu
}

// alone waits until no other worker is at the file of an action by another name.
func (p *pass) alone(ctx context.Context, a Action) (leave func(), err error) {
	if !p.Delete || p.DryRun || a.From != Local || a.Source.Kind != File && a.Source.Kind != Symlink {
		return func() {}, nil
	}
	st, err := p.tree[Local].(*localTree).lstat(a.Path)
	if err != nil || st.Nlink < 2 || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return func() {}, nil // that it cannot be looked at will be found again
	}
	return p.gates.enter(ctx, inode{st.Dev, st.Ino})
}

func (g *gates) enter(ctx context.Context, i inode) (leave func(), err error) {
	for {
		g.mu.Lock()
		other, busy := g.held[i]
		if !busy {
			mine := make(chan struct{})
			if g.held == nil {
				g.held = map[inode]chan struct{}{}
			}
			g.held[i] = mine
			g.mu.Unlock()
			return func() {
				g.mu.Lock()
				delete(g.held, i)
				g.mu.Unlock()
				close(mine)
			}, nil
		}
		g.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
