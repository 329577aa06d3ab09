package remotetest

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

func attrContracts() []contract {
	return []contract{
		{name: "modes are exact", test: setModes},
		{name: "an owner set together with set-id bits keeps them", test: setOwnerKeepsMode},
		{name: "one of owner and group leaves the other", test: setOneOwner},
		{name: "one of the times leaves the other", test: setOneTime},
		{name: "times are seconds from 1970 to 2038", test: setTimes},
		{name: "everything at once", test: setAll},
		{name: "nothing gives the attributes", test: setNothing},
		{name: "links have times and owners of their own", test: setLink},
		{name: "times outlive data under way", test: setTimesUnderWay},
		{name: "times by path outlive data under way", test: setTimesUnderWayPath},
		{name: "data after times counts", test: setTimesThenWrite},
		{name: "what is not there is ENOENT", test: setNowhere},
		{name: "what is not ours is EPERM", test: setRefused},
	}
}

// setBoth runs a test on SetAttr by path and by File.
func setBoth(t *testing.T, f Fixture, test func(t *testing.T, set func(remote.Change) (remote.Attr, error))) {
	t.Helper()
	f.put(t, "file", "data")
	t.Run("by path", func(t *testing.T) {
		test(t, func(c remote.Change) (remote.Attr, error) { return f.Remote.SetAttr(t.Context(), "file", c) })
	})
	file, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	t.Run("by File", func(t *testing.T) {
		test(t, func(c remote.Change) (remote.Attr, error) { return file.SetAttr(t.Context(), c) })
	})
}

func setModes(t *testing.T, f Fixture) {
	setBoth(t, f, func(t *testing.T, set func(remote.Change) (remote.Attr, error)) {
		for _, perm := range []uint32{0, 0o777, 0o640, 0o4755, 0o2755, 0o6711, 0o1644, 0o600} {
			a, err := set(remote.Change{Fields: remote.SetMode, Mode: perm})
			if err != nil || a.Mode != syscall.S_IFREG|perm {
				t.Errorf("%o: told %o, %v", perm, a.Mode, err)
			}
			if got := f.stat(t, "file").Mode; got != syscall.S_IFREG|perm {
				t.Errorf("%o: made %o", perm, got)
			}
		}
	})
	f.mkdir(t, "dir")
	a, err := f.Remote.SetAttr(t.Context(), "dir", remote.Change{Fields: remote.SetMode, Mode: 0o1770})
	if got := f.stat(t, "dir").Mode; err != nil || a.Mode != got || got != syscall.S_IFDIR|0o1770 {
		t.Errorf("folder: made %o, told %o, %v", got, a.Mode, err)
	}
}

// chown(2) takes set-id bits away, so the mode must come after it.
func setOwnerKeepsMode(t *testing.T, f Fixture) {
	setBoth(t, f, func(t *testing.T, set func(remote.Change) (remote.Attr, error)) {
		st := f.stat(t, "file")
		a, err := set(remote.Change{
			Fields: remote.SetMode | remote.SetUID | remote.SetGID,
			Mode:   0o6755, UID: st.Uid, GID: st.Gid,
		})
		if got := f.stat(t, "file").Mode; err != nil || got != syscall.S_IFREG|0o6755 || a.Mode != got {
			t.Errorf("made %o, told %o, %v; want 6755", got, a.Mode, err)
		}
	})
}

func setOneOwner(t *testing.T, f Fixture) {
	if !f.allPowerful() {
		return
	}
	setBoth(t, f, func(t *testing.T, set func(remote.Change) (remote.Attr, error)) {
		for _, c := range []remote.Change{
			{Fields: remote.SetUID, UID: 1111},
			{Fields: remote.SetGID, GID: 2222},
			{Fields: remote.SetUID | remote.SetGID, UID: 0xfffffffe, GID: 0xfffffffe},
			{Fields: remote.SetUID | remote.SetGID},
		} {
			uid, gid := f.stat(t, "file").Uid, f.stat(t, "file").Gid
			if c.Fields&remote.SetUID != 0 {
				uid = c.UID
			}
			if c.Fields&remote.SetGID != 0 {
				gid = c.GID
			}
			a, err := set(c)
			if st := f.stat(t, "file"); err != nil || st.Uid != uid || st.Gid != gid || a.UID != uid || a.GID != gid {
				t.Errorf("%+v: made %d:%d, told %d:%d, %v; want %d:%d", c, st.Uid, st.Gid, a.UID, a.GID, err, uid, gid)
			}
		}
	})
}

func setOneTime(t *testing.T, f Fixture) {
	setBoth(t, f, func(t *testing.T, set func(remote.Change) (remote.Attr, error)) {
		f.age(t, "file")
		a, err := set(remote.Change{Fields: remote.SetMtime, Mtime: 1_500_000_000})
		wantTimes(t, f, "file", a, err, longAgo, 1_500_000_000)
		a, err = set(remote.Change{Fields: remote.SetAtime, Atime: 1_600_000_000})
		wantTimes(t, f, "file", a, err, 1_600_000_000, 1_500_000_000)
	})
}

func wantTimes(t *testing.T, f Fixture, path string, a remote.Attr, err error, atime, mtime int64) {
	t.Helper()
	st := f.stat(t, path)
	if f.NoAtime {
		a.Atime = atime
	}
	if err != nil || st.Atim.Sec != atime || st.Mtim.Sec != mtime || a.Atime != atime || a.Mtime != mtime {
		t.Errorf("%s: atime and mtime made %d %d, told %d %d, %v; want %d %d",
			path, st.Atim.Sec, st.Mtim.Sec, a.Atime, a.Mtime, err, atime, mtime)
	}
}

func setTimes(t *testing.T, f Fixture) {
	setBoth(t, f, func(t *testing.T, set func(remote.Change) (remote.Attr, error)) {
		for _, sec := range []int64{0, 1, 1<<31 - 1} {
			a, err := set(remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: sec, Mtime: sec})
			wantTimes(t, f, "file", a, err, sec, sec)
		}
	})
	f.mkdir(t, "dir")
	a, err := f.Remote.SetAttr(t.Context(), "dir", remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: 5, Mtime: 6})
	wantTimes(t, f, "dir", a, err, 5, 6)
}

// A new size changes the mtime, so the times must come after it.
func setAll(t *testing.T, f Fixture) {
	setBoth(t, f, func(t *testing.T, set func(remote.Change) (remote.Attr, error)) {
		st := f.stat(t, "file")
		size := st.Size + 10
		a, err := set(remote.Change{
			Fields: remote.SetMode | remote.SetUID | remote.SetGID | remote.SetSize | remote.SetAtime | remote.SetMtime,
			Mode:   0o4711, UID: st.Uid, GID: st.Gid, Size: size, Atime: 5, Mtime: 6,
		})
		wantTimes(t, f, "file", a, err, 5, 6)
		if st := f.stat(t, "file"); st.Size != size || a.Size != size || st.Mode&0o7777 != 0o4711 || a.Perm() != 0o4711 {
			t.Errorf("size made %d told %d, mode made %o told %o; want %d and 4711", st.Size, a.Size, st.Mode, a.Mode, size)
		}
	})
}

func setNothing(t *testing.T, f Fixture) {
	setBoth(t, f, func(t *testing.T, set func(remote.Change) (remote.Attr, error)) {
		a, err := set(remote.Change{})
		wantTimes(t, f, "file", a, err, longAgo, longAgo)
		if a.Size != 4 {
			t.Errorf("size %d, want 4", a.Size)
		}
	})
}

func setLink(t *testing.T, f Fixture) {
	f.put(t, "file", "data")
	f.symlink(t, "file", "link")
	f.symlink(t, "nowhere", "dangling")
	f.chmod(t, "file", 0o640)
	for _, path := range []string{"link", "dangling"} {
		a, err := f.Remote.SetAttr(t.Context(), path, remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: 5, Mtime: 6})
		if f.SymlinkTimes {
			wantTimes(t, f, path, a, err, 5, 6)
		} else {
			wantErrno(t, "times of "+path, err, syscall.EOPNOTSUPP)
		}
		if f.SymlinkTimes && f.allPowerful() {
			a, err := f.Remote.SetAttr(t.Context(), path, remote.Change{Fields: remote.SetUID, UID: 1111})
			if err != nil || a.UID != 1111 || f.stat(t, path).Uid != 1111 {
				t.Errorf("owner of %s: made %d, told %d, %v", path, f.stat(t, path).Uid, a.UID, err)
			}
		}
		// Linux has no mode for links: whatever this gives, it is not the target's.
		if _, err := f.Remote.SetAttr(t.Context(), path, remote.Change{Fields: remote.SetMode, Mode: 0o777}); err != nil {
			wantErrno(t, "mode of "+path, err, syscall.EOPNOTSUPP)
		}
		if _, err := f.Remote.SetAttr(t.Context(), path, newSize(0)); err == nil {
			t.Errorf("%s has a new size", path)
		}
	}
	if st := f.stat(t, "file"); st.Mtim.Sec != longAgo || st.Mode&0o777 != 0o640 || st.Size != 4 || int(st.Uid) != os.Getuid() {
		t.Errorf("the target was changed: %+v", st)
	}
	f.absent(t, "nowhere")
}

func setTimesUnderWay(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	for range 3 {
		mustWrite(t, file, string(pattern(100_000)), 0)
		a, err := file.SetAttr(t.Context(), remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: 5, Mtime: 6})
		if err != nil || a.Mtime != 6 || a.Atime != 5 || a.Size != 100_000 {
			t.Errorf("SetAttr: atime %d mtime %d size %d, %v", a.Atime, a.Mtime, a.Size, err)
		}
		if a, err := file.Stat(t.Context()); err != nil || a.Mtime != 6 {
			t.Errorf("File.Stat: mtime %d, %v, want 6", a.Mtime, err)
		}
		if a := f.mustAttr(t, "file"); a.Mtime != 6 {
			t.Errorf("Lstat: mtime %d, want 6", a.Mtime)
		}
		a, err = file.Flush(t.Context())
		wantTimes(t, f, "file", a, err, 5, 6)
	}
	mustWrite(t, file, "x", 0)
	if _, err := file.SetAttr(t.Context(), remote.Change{Fields: remote.SetMtime, Mtime: 7}); err != nil {
		t.Error(err)
	}
	if err := file.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := f.stat(t, "file").Mtim.Sec; got != 7 {
		t.Errorf("mtime after Close %d, want 7", got)
	}
}

func setTimesUnderWayPath(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, string(pattern(100_000)), 0)
	a, err := f.Remote.SetAttr(t.Context(), "file", remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: 5, Mtime: 6})
	if err != nil || a.Mtime != 6 {
		t.Errorf("SetAttr: mtime %d, %v, want 6", a.Mtime, err)
	}
	a, err = file.Flush(t.Context())
	wantTimes(t, f, "file", a, err, 5, 6)
}

func setTimesThenWrite(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, "one", 0)
	if _, err := file.SetAttr(t.Context(), remote.Change{Fields: remote.SetMtime, Mtime: 6}); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, file, "two", 3)
	if a := mustFlush(t, file); a.Mtime == 6 || f.stat(t, "file").Mtim.Sec == 6 {
		t.Error("a write after utimens did not change the mtime")
	}
	mustWrite(t, file, "three", 6)
	if _, err := file.SetAttr(t.Context(), remote.Change{Fields: remote.SetMtime, Mtime: 6}); err != nil {
		t.Fatal(err)
	}
	a, err := file.SetAttr(t.Context(), newSize(3))
	if err != nil || a.Mtime == 6 || f.stat(t, "file").Mtim.Sec == 6 {
		t.Errorf("a truncation after utimens did not change the mtime: %v", err)
	}
}

func setNowhere(t *testing.T, f Fixture) {
	for _, c := range []remote.Change{
		{Fields: remote.SetMode, Mode: 0o600}, {Fields: remote.SetMtime}, {Fields: remote.SetUID}, newSize(0), {},
	} {
		_, err := f.Remote.SetAttr(t.Context(), "none", c)
		wantErrno(t, "SetAttr", err, syscall.ENOENT)
	}
}

func setRefused(t *testing.T, f Fixture) {
	if f.allPowerful() {
		return
	}
	f.put(t, "file", "")
	_, err := f.Remote.SetAttr(t.Context(), "file", remote.Change{Fields: remote.SetUID, UID: 0})
	wantRefused(t, "to give a file away", err)
	f.symlink(t, "/etc/passwd", "link")
	if _, err = f.Remote.Stat(t.Context(), "link"); errors.Is(err, syscall.ENOENT) || !f.FollowsOut {
		return
	}
	_, _, err = f.Remote.Open(t.Context(), "link", flagsWrite, 0)
	wantRefused(t, "to write what is root's", err)
}
