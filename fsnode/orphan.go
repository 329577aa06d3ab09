package fsnode

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A mount that umount(8) or fusermount3 took away lives on in the copies that other
// mount namespaces have of it: a container, a sandbox, `unshare -m`. Nobody here sees
// that mount any more, and its process would hold connections for as long as the
// namespace is there. So it ends as after Unmount, when nothing uses it. One that was
// detached while in use (umount -l) is not in the mount table either; who is in it is
// not disturbed.

// watch ends what is left of the mount when others have taken it away from here. One
// that never was in this mount table, as fusermount3 may be a sandbox's way to have
// its host mount, is none of its business.
func (m *FS) watch() {
	if m.device == "" {
		return
	}
	if err := m.awaitAway(); err != nil {
		if m.fs.base.Err() == nil {
			m.fs.cfg.Log.Debug("the mount table cannot be watched", "error", err)
		}
		return
	}
	m.linger(func() bool {
		return m.fs.inUse() == 0 && !m.device.shows() && !m.device.entered()
	})
}

// awaitAway returns when the mount table has the mount nowhere. The kernel tells of
// each change of the table as it tells of data to read, in proc(5)'s words as an
// exceptional condition.
func (m *FS) awaitAway() error {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	closing := context.AfterFunc(m.fs.base, func() { _ = table.Close() }) // read only
	defer func() {
		if closing() {
			_ = table.Close()
		}
	}()
	changes, err := table.SyscallConn()
	if err != nil {
		return err
	}
	return changes.Read(func(uintptr) bool { return !m.device.shows() })
}

// shows reports whether the mount table has the device, at whatever place. When that
// cannot be read it is taken to.
func (d device) shows() bool {
	mounted, err := devicesAt("")
	return err != nil || slices.Contains(mounted, d)
}

// entered reports whether a process that we may look at has its working folder or its
// root in the device. Nothing is asked of filesystems: what they hold will do, as we
// may be the one to answer.
func (d device) entered() bool {
	folders, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is good
	roots, _ := filepath.Glob("/proc/[0-9]*/root")
	for _, folder := range append(folders, roots...) {
		var st unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, folder, unix.AT_STATX_DONT_SYNC, 0, &st) == nil &&
			device(fmt.Sprintf("%d:%d", st.Dev_major, st.Dev_minor)) == d {
			return true
		}
	}
	return false
}

// A mount that is kept looks so often whether it still has to be. Looking through all
// processes costs, so the pauses grow.
const (
	lingerPoll = 200 * time.Millisecond
	lingerMax  = 3 * time.Second
)

// linger ends the mount when it is free.
func (m *FS) linger(free func() bool) {
	if m.fs.cfg.Orphaned != nil {
		m.fs.cfg.Orphaned()
	}
	for pause := lingerPoll; !m.gone(); pause = min(pause*5/4, lingerMax) {
		select {
		case <-m.fs.base.Done():
			return
		case <-time.After(pause):
		}
		if !m.gone() && free() {
			m.endRest()
			return
		}
	}
}

// endRest cuts a mount that shows nowhere here.
func (m *FS) endRest() {
	ctx, cancel := context.WithTimeout(m.fs.base, forceTimeout)
	defer cancel()
	if err := m.abort(ctx); err != nil {
		m.fs.cfg.Log.Warn("ending what is left of the mount", "mountpoint", m.point, "error", err)
	}
}
