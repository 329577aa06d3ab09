package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// Removing a source. It is removed only by what was seen in this run: all its bytes
// were read through one handle, and were acknowledged, closed and found to be whole
// on the other side; or both sides were compared in full. And only as long as it
// still is what was read. So it is first set aside under a name of ours, which
// nobody else writes to, then looked at again, and only then removed. What turns
// out to be something else gets its name back.

// A proof says which version of a source was read.
type proof struct {
	in      remote.File // as it was read, still open; nil for a link
	version stamp
	link    string // where a link leads
}

func (p *pass) removeSource(ctx context.Context, f *folder, a Action, proved proof) error {
	if err := f.apart(ctx, p); err != nil {
		if errors.Is(err, ErrOverlap) {
			p.journal.abort(fmt.Errorf("%w: %s: %w", ErrUsage, a.Path, ErrOverlap))
		}
		return err
	}
	if err := p.nameOnDisk(ctx, f, a); err != nil {
		return err
	}
	dir, name := remote.Split(a.Path)
	// What is begun is ended: a source must not stay aside because of Ctrl-C.
	ctx, cancel := outlasting(ctx)
	defer cancel()
	discard := func(aside string) error {
		return p.tree[a.From].Discard(ctx, a.Path, remote.Join(dir, aside), proved)
	}
	err := discard(p.temp.aside(name))
	if errors.Is(err, unix.EACCES) && f.unlock(ctx, p, a.From, err) == nil {
		err = discard(p.temp.aside(name))
	}
	if errors.Is(err, unix.ENAMETOOLONG) {
		err = discard(p.temp.asideShort(name))
	}
	return onSide(a.From, err)
}

// setAside gives a file a name of ours. Somebody may put another version to its own at any
// moment, which must stay there: a link and an unlink would remove it.
func setAside(ctx context.Context, t tree, path, aside string) error {
	return t.Rename(remote.InOneStep(ctx), path, aside, true)
}

// putBack gives a file that was set aside its name back, unless another has it by
// now. It has a time of its own: the run may be over because the cause took so long.
func putBack(ctx context.Context, t tree, aside, path string, cause error) error {
	ctx, cancel := outlasting(ctx)
	defer cancel()
	if err := t.Rename(ctx, aside, path, true); err != nil {
		// In other words than a run's that was ended, of which single names are not told.
		return fmt.Errorf("%v; it is now called %s: %v", cause, aside, err)
	}
	return cause
}

// still makes an error of what was set aside if that is not what was read.
func (p proof) still(ctx context.Context, t tree, aside string, now stamp, err error) error {
	switch {
	case err != nil:
		return err
	case now != p.version:
		return errSourceChanged
	case p.link == "":
		return nil
	}
	link, err := t.ReadLink(ctx, aside)
	if err != nil || link != p.link {
		return errors.Join(errSourceChanged, err)
	}
	return nil
}

// Discard removes a remote file that still is what was read. SFTP tells times in
// seconds: what is written within one of them, keeping the size, cannot be seen.
// So nothing was read before its second was over.
func (r remoteTree) Discard(ctx context.Context, path, aside string, proved proof) error {
	if err := setAside(ctx, r, path, aside); err != nil {
		return err
	}
	now, err := r.Stamp(ctx, aside, false)
	err = proved.still(ctx, r, aside, now, err)
	if err != nil {
		return putBack(ctx, r, aside, path, err)
	}
	return r.Remove(ctx, aside)
}

// Discard removes a local file that still is what was read, and that nobody has
// open: a write lease is only granted then, and as long as it is held nobody opens
// the file without our knowing.
func (l *localTree) Discard(ctx context.Context, path, aside string, proved proof) error {
	lease, err := l.lease(proved.in)
	if err != nil {
		return err
	}
	defer lease.end()
	if err := l.still(path, proved.version); err != nil {
		return err
	}
	if err := setAside(ctx, l, path, aside); err != nil {
		return err
	}
	// The renaming itself changes the time of the last change, and nothing else.
	now, err := l.Stamp(ctx, aside, false)
	now.ctime = proved.version.ctime
	err = proved.still(ctx, l, aside, now, err)
	if err == nil && lease.asked() {
		err = errInUse
	}
	if err != nil {
		return putBack(ctx, l, aside, path, err)
	}
	return l.Remove(ctx, aside)
}

func (l *localTree) still(path string, version stamp) error {
	st, err := l.lstat(path)
	if err == nil && exactStamp(&st) != version {
		err = errSourceChanged
	}
	return err
}

// A lease is held on an open file; -1 is on none, because there can be none: the
// file is another user's, or its filesystem knows no leases.
type lease struct{ fd int }

// leasePatience is how long a file may be in use, by a scanner for instance, before
// it is left for the next run.
const leasePatience = time.Second

func (l *localTree) lease(f remote.File) (lease, error) {
	file, ok := f.(*localFile)
	if !ok {
		return lease{-1}, nil
	}
	for waited := time.Duration(0); ; waited += 50 * time.Millisecond {
		_, err := unix.FcntlInt(uintptr(file.fd()), unix.F_SETLEASE, unix.F_WRLCK)
		switch {
		case err == nil:
			return lease{file.fd()}, nil
		case !errors.Is(err, unix.EAGAIN):
			return lease{-1}, nil
		case waited >= leasePatience:
			return lease{-1}, errInUse
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// asked reports that somebody waits to open the file.
func (l lease) asked() bool {
	if l.fd < 0 {
		return false
	}
	how, err := unix.FcntlInt(uintptr(l.fd), unix.F_GETLEASE, 0)
	return err != nil || how != unix.F_WRLCK
}

func (l lease) end() {
	if l.fd >= 0 {
		_, _ = unix.FcntlInt(uintptr(l.fd), unix.F_SETLEASE, unix.F_UNLCK) // it ends with the descriptor, too
	}
}
