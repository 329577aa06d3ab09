package sync

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// A name is on the disk when its folder is: fsync of a file under its temporary name does
// not make its place durable. Before a source goes, the name of its copy must.

// commits are the fsyncs of one local folder. Those who come while one is under way share
// the next.
type commits struct {
	asked atomic.Uint64

	mu   sync.Mutex // the folder above is locked after this one
	done uint64     // all asked for up to here are on the disk; guarded by mu
}

// commit forces the names in a local folder to the disk, and the first time its own.
func (f *folder) commit(p *pass) error {
	mine := f.commits.asked.Add(1)
	f.commits.mu.Lock()
	defer f.commits.mu.Unlock()
	if mine <= f.commits.done {
		return nil
	}
	all := f.commits.asked.Load()
	if f.commits.done == 0 && f.parent != nil {
		if err := f.parent.commit(p); err != nil {
			return err
		}
	}
	err := p.tree[Local].(*localTree).syncFolder(f.path)
	if err == nil {
		f.commits.done = all
	}
	return err
}

func (l *localTree) syncFolder(path string) error {
	d, err := l.openDir(path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // what counts is the fsync
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a filesystem on which folders cannot be forced
	}
	return err
}

// nameOnDisk makes the name of a copy durable, before its source goes. SFTP forces no
// folder; fsync of a file commits its renaming, too, on ext4, XFS and Btrfs.
func (p *pass) nameOnDisk(ctx context.Context, f *folder, a Action) error {
	to := a.From.Other()
	if p.Fsync == FsyncNever {
		return nil
	}
	if to == Local {
		return onSide(to, f.commit(p))
	}
	if a.Op != OpCopy {
		return nil // a link cannot be opened; what was compared was forced under its name
	}
	if _, ok := p.Remote.Info().Extensions["fsync@openssh.com"]; !ok {
		return nil
	}
	file, _, err := p.tree[to].Open(ctx, a.Path, remote.FlagRead, 0)
	if err == nil {
		_, err = file.Sync(ctx)
		err = firstError(err, file.Close(ctx))
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil // somebody has fetched it already, or its mode lets nobody read it
	}
	return onSide(to, err)
}
