package sync

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/pool/remote"
)

// Replace changes the two names' places in one step, looks at what has come out, and
// changes them back if that is not what the plan saw. So even a version that was
// written in the last moment is not lost.
func (l *localTree) Replace(ctx context.Context, tmp, path string, want Item) error {
	st, err := l.lstat(path)
	if err != nil {
		return err
	}
	ours, err := l.Stamp(ctx, tmp, false)
	if err != nil {
		return err
	}
	if changed(exactItem(&st), want) {
		return errTargetChanged
	}
	err = l.exchange(tmp, path)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return l.Rename(ctx, tmp, path, false) // a filesystem that cannot: FAT, NFS
	}
	if err != nil {
		return err
	}
	if err := l.removeReplaced(ctx, tmp, exactStamp(&st)); err != nil {
		return errors.Join(err, l.undo(ctx, tmp, path, ours))
	}
	return nil
}

// removeReplaced removes the old file, unless it has changed or a program that has it
// open may still write to it: a read lease is only granted where none has.
func (l *localTree) removeReplaced(ctx context.Context, tmp string, was stamp) error {
	if f, err := l.openFile(tmp, unix.O_RDONLY|unix.O_NONBLOCK, 0); err == nil { // a link, or not ours to read
		defer func() { _ = f.Close() }() // ends the lease, too
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); errors.Is(err, unix.EAGAIN) {
			return errTargetChanged
		}
	}
	now, err := l.Stamp(ctx, tmp, false)
	if now.ctime = was.ctime; err == nil && now != was { // the renaming set ctime
		err = errTargetChanged
	}
	if err != nil {
		return err
	}
	return l.Remove(ctx, tmp)
}

// undo changes the names back. If somebody has put yet another file in the place
// meanwhile, that is now under the temporary name, and must not be taken for ours; nor
// must what was there, when the names cannot be changed back.
func (l *localTree) undo(ctx context.Context, tmp, path string, ours stamp) error {
	err := l.exchange(tmp, path)
	if errors.Is(err, unix.ENOENT) { // somebody has removed our file at once
		if err = l.Rename(ctx, tmp, path, true); err == nil {
			return nil
		}
	} else if err == nil {
		var now stamp
		now, err = l.Stamp(ctx, tmp, false)
		if err == nil && now.dev == ours.dev && now.ino == ours.ino {
			return nil
		}
	}
	return l.keep(ctx, tmp, path, err)
}

// errNotOurs says of a temporary name that what has it now is somebody's version.
var errNotOurs = errors.New("another version is now called")

// keep gives somebody's version that has a temporary name one that no run removes.
func (l *localTree) keep(ctx context.Context, tmp, path string, cause error) error {
	dir, name := remote.Split(path)
	_, partName := remote.Split(tmp)
	part, _ := parseTemp(Named{Name: partName})
	run := runName{owner: part.owner, run: part.run}
	aside := remote.Join(dir, run.aside(name))
	err := l.Rename(ctx, tmp, aside, true)
	if errors.Is(err, unix.ENAMETOOLONG) {
		aside = remote.Join(dir, run.asideShort(name))
		err = l.Rename(ctx, tmp, aside, true)
	}
	if err != nil {
		return errors.Join(cause, fmt.Errorf("%w %s: %w", errNotOurs, tmp, err))
	}
	return errors.Join(cause, fmt.Errorf("another version was set aside as %s", aside))
}

// dropTemp removes what did not get its place, unless it is somebody's by now.
func dropTemp(ctx context.Context, t tree, tmp string, cause error) error {
	if errors.Is(cause, errNotOurs) {
		return cause
	}
	return errors.Join(cause, ignoreAbsent(t.Remove(context.WithoutCancel(ctx), tmp)))
}

// changed reports that a name is no longer what was listed. Where the version is known
// nothing else counts: a time may have been read otherwise (readTime).
func changed(now, listed Item) bool {
	if listed.version != 0 && now.version != 0 {
		return listed.version != now.version
	}
	return now.Kind != listed.Kind || now.Size != listed.Size || now.Mtime != listed.Mtime
}

func (l *localTree) exchange(one, other string) error {
	return l.at("rename", one, func(from int, oldName string) error {
		err := l.at("rename", other, func(to int, newName string) error {
			return l.renameat2(from, oldName, to, newName, unix.RENAME_EXCHANGE)
		})
		return errnoOf(err)
	})
}
