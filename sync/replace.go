package sync

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Replace changes the two names' places in one step, looks at what has come out, and
// changes them back if that is not what the plan saw. So even a version that was
// written in the last moment is not lost.
func (l *localTree) Replace(ctx context.Context, tmp, path string, want Item) error {
	st, err := l.lstat(path)
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
	was := exactStamp(&st)
	now, err := l.Stamp(ctx, tmp, false)
	if now.ctime = was.ctime; err == nil && now != was { // the renaming set ctime
		err = errTargetChanged
	}
	if err != nil {
		return errors.Join(err, l.exchange(tmp, path))
	}
	return l.Remove(ctx, tmp)
}

// changed reports that a name is no longer what was listed.
func changed(now, listed Item) bool {
	if listed.version != 0 && now.version != 0 && listed.version != now.version {
		return true
	}
	return now.Kind != listed.Kind || now.Size != listed.Size || now.Mtime != listed.Mtime
}

func (l *localTree) exchange(one, other string) error {
	return l.at("rename", one, func(from int, oldName string) error {
		err := l.at("rename", other, func(to int, newName string) error {
			return unix.Renameat2(from, oldName, to, newName, unix.RENAME_EXCHANGE)
		})
		return errnoOf(err)
	})
}
