package fsnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Unmount flushes what is written and unmounts. EBUSY, in the error's chain,
// means that a program still uses the mount. What others unmounted before is
// brought to its end.
//
// A container, or `unshare -m`, may have a copy of the mount, which unmounting
// here does not touch and which would keep the connections for as long as it is
// there. It ends with the mount, unless files are open in it: inUse is their
// number, and the mount ends when they are closed.
func (m *FS) Unmount(ctx context.Context) (inUse int, err error) {
	if closed(m.done) {
		return 0, nil
	}
	flushed := m.fs.flushHandles(ctx)
	if err := m.unmount(ctx); err != nil {
		return 0, errors.Join(err, flushed)
	}
	if inUse, err := m.endCopies(ctx); inUse > 0 || err != nil {
		return inUse, errors.Join(err, flushed)
	}
	select {
	case <-m.done:
		return 0, flushed
	case <-ctx.Done():
		return 0, errors.Join(fmt.Errorf("unmount %s: %w", m.point, ctx.Err()), flushed)
	}
}

// busyTime is how long files may be open that were closed: a closed file is
// released a little after close(2) has returned.
const busyTime = 200 * time.Millisecond

// unmount takes the mount away from here unless it is in use.
func (m *FS) unmount(ctx context.Context) error {
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		err := m.detachIdle(ctx)
		if !errors.Is(err, syscall.EBUSY) || wait > busyTime/2 {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// detachIdle unmounts unless the mount is in use. Only our own mount: when
// somebody has unmounted it, another may be there.
func (m *FS) detachIdle(ctx context.Context) error {
	switch there, top := m.place(); {
	case !there:
		return nil
	case !top:
		return fmt.Errorf("unmount %s: something else is mounted over it: %w", m.point, syscall.EBUSY)
	case os.Geteuid() != 0:
		return runFusermount(ctx, []string{"-u", "--", m.point}, nil)
	}
	if err := unix.Unmount(m.point, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", m.point, err)
	}
	return nil
}

// place tells whether this mount is at its mountpoint, and whether it is the one
// that shows there. Where the mount table does not tell, it is taken to be. The number
// of one that has ended is soon another's: it is there only if it says that it is dead.
func (m *FS) place() (there, top bool) {
	mounted, err := devicesAt(m.point)
	if err != nil || m.device == "" {
		return true, true
	}
	there = slices.Contains(mounted, m.device)
	if there && m.gone() && !isDead(m.point) {
		return false, false
	}
	return there, there && mounted[len(mounted)-1] == m.device
}

// isDead reports whether a mount is there whose connection to the kernel is cut.
func isDead(point string) bool {
	var st unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, point, unix.AT_STATX_DONT_SYNC, 0, &st) == unix.ENOTCONN
}

// endCopies ends what is left of a mount that was taken away from here, or has
// it end when the last file is closed, and tells how many are open. The kernel
// has cut the connection by now if there was no copy.
func (m *FS) endCopies(ctx context.Context) (inUse int, err error) {
	for wait := time.Millisecond; wait < busyTime; wait *= 2 {
		if m.gone() {
			return 0, nil
		}
		if inUse = m.fs.inUse(); inUse == 0 {
			return 0, m.abort(ctx)
		}
		time.Sleep(wait)
	}
	m.lingering.Do(func() {
		m.fs.work.Go(func() { m.linger(func() bool { return m.fs.inUse() == 0 }) })
	})
	return inUse, nil
}

// inUse is how many files and folders programs have open.
func (f *filesystem) inUse() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.files) + len(f.dirs)
}

// detach takes the mount out of sight at once, whoever uses it.
func detach(ctx context.Context, point string) error {
	if os.Geteuid() != 0 {
		return runFusermount(ctx, []string{"-u", "-z", "--", point}, nil)
	}
	if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("detach %s: %w", point, err)
	}
	return nil
}

// ForceUnmount takes at most forceTimeout; files may take half of it to be given
// back properly.
const forceTimeout = 2 * time.Second

// ForceUnmount ends the mount whatever programs and the remote do: the mount is
// detached, then the connection aborted, which fails every call under way. It
// returns when all is given back, and after two seconds anyway. Data that is not
// on the server yet is the Remote's to keep or lose.
func (m *FS) ForceUnmount() error {
	ctx, cancel := context.WithTimeout(context.Background(), forceTimeout)
	defer cancel()
	if closed(m.done) {
		return nil
	}
	impatient := time.AfterFunc(forceTimeout/2, m.fs.stop)
	defer impatient.Stop()
	var detached error
	if there, _ := m.place(); there {
		detached = detach(ctx, m.point)
	}
	aborted := m.abort(ctx)
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("unmount %s: requests are still under way", m.point), detached, aborted)
	}
}

// abort cuts the connection to the kernel, which fails every call under way.
func (m *FS) abort(ctx context.Context) error {
	err := m.device.abort()
	m.fs.letGo()
	if err != nil && m.gone() {
		return nil // it was cut meanwhile, and its descriptor may be another's by now
	}
	if err != nil {
		m.fs.cfg.Log.Debug("cutting the connection to the kernel", "because", err)
		err = m.cut(ctx)
	}
	return err
}
