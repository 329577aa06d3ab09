package remotetest

import (
	"bytes"
	"context"

	"github.com/remotemount/remotemount/pool/remote"
)

func dataRows() []cutRow {
	return []cutRow{
		{name: "ReadAt", kind: "READ", path: "file", prepare: cutRead(100)},
		{name: "ReadAt of much", kind: "READ", path: "file", prepare: cutRead(3 << 20)},
		{name: "Flush", kind: "WRITE", path: "file", prepare: cutWrite(100, remote.File.Flush)},
		{name: "Flush of much", kind: "WRITE", path: "file", prepare: cutWrite(3<<20, remote.File.Flush)},
		{name: "Sync, writing", kind: "WRITE", path: "file", prepare: cutWrite(100, remote.File.Sync)},
		{name: "Sync, syncing", kind: "fsync@openssh.com", path: "file", prepare: cutWrite(100, remote.File.Sync)},
		{name: "Close", kind: "WRITE", path: "file", prepare: cutClose},
		{name: "File.Stat", kind: "FSTAT|STAT|LSTAT", path: "file", prepare: cutFileStat},
		{name: "Copy", kind: "copy-data", path: "src", prepare: cutCopy},
	}
}

func cutRead(size int) func(c *cut) (func() error, func()) {
	return func(c *cut) (func() error, func()) {
		want := pattern(size)
		c.put(c.T, "file", string(want))
		f := c.file("file", flagsRead)
		got := make([]byte, size)
		return func() error {
				_, err := f.ReadAt(c.Context(), got, 0)
				return err
			}, func() {
				if !bytes.Equal(got, want) {
					c.Error("other bytes")
				}
				mustEnd(c.T, f, int64(size), "")
			}
	}
}

// cutWrite writes and brings it to the server by Flush or Sync.
func cutWrite(size int, bring func(remote.File, context.Context) (remote.Attr, error)) func(c *cut) (func() error, func()) {
	return func(c *cut) (func() error, func()) {
		want := string(pattern(size))
		f := c.file("file", flagsNew)
		return func() error {
				if _, err := f.WriteAt(c.Context(), []byte(want), 0); err != nil {
					return err
				}
				a, err := bring(f, c.Context())
				if err == nil && a.Size != int64(size) {
					c.Errorf("size told %d, want %d", a.Size, size)
				}
				return err
			}, func() {
				c.holds(c.T, "file", want)
				mustWrite(c.T, f, "more", int64(size))
				mustFlush(c.T, f)
				c.holds(c.T, "file", want+"more")
			}
	}
}

func cutClose(c *cut) (func() error, func()) {
	f := c.file("file", flagsNew)
	return func() error {
			if _, err := f.WriteAt(c.Context(), []byte("data"), 0); err != nil {
				return err
			}
			return f.Close(c.Context())
		}, func() {
			c.holds(c.T, "file", "data")
		}
}

func cutFileStat(c *cut) (func() error, func()) {
	c.put(c.T, "file", "data")
	f := c.file("file", flagsRead)
	var a remote.Attr
	return func() (err error) {
			a, err = f.Stat(c.Context())
			return err
		}, func() {
			if a.Size != 4 || a.Mtime != longAgo {
				c.Errorf("size %d mtime %d", a.Size, a.Mtime)
			}
		}
}

func cutCopy(c *cut) (func() error, func()) {
	want := string(pattern(300_000))
	c.put(c.T, "src", want)
	src, dst := c.file("src", flagsRead), c.file("dst", flagsNew)
	return func() error {
			n, err := c.Remote.Copy(c.Context(), dst, 0, src, 0, 300_000)
			if err == nil && n != 300_000 {
				c.Errorf("copied %d", n)
			}
			return err
		}, func() {
			c.holds(c.T, "dst", want)
		}
}

func attrRows() []cutRow {
	both := remote.SetAtime | remote.SetMtime
	rows := []struct {
		name   string
		change remote.Change
		noLate bool
	}{
		{"mode", remote.Change{Fields: remote.SetMode, Mode: 0o604}, false},
		{"times", remote.Change{Fields: both, Atime: 5, Mtime: 6}, false},
		{"size", newSize(3), false},
		// A late truncation changes the mtime, and nothing can fence it.
		{"everything", remote.Change{Fields: remote.SetMode | remote.SetSize | both, Mode: 0o604, Size: 3, Atime: 5, Mtime: 6}, true},
	}
	var list []cutRow
	for _, r := range rows {
		list = append(list,
			cutRow{name: "SetAttr of " + r.name, kind: anySetstat, path: "file", noLate: r.noLate, prepare: cutSetAttr(r.change)},
			cutRow{name: "File.SetAttr of " + r.name, kind: anySetstat, path: "file", noLate: r.noLate, prepare: cutFileSetAttr(r.change)})
	}
	return append(list, cutRow{name: "Flush with times", kind: "FSETSTAT", path: "file", prepare: cutFlushTimes})
}

func cutSetAttr(change remote.Change) func(c *cut) (func() error, func()) {
	return func(c *cut) (func() error, func()) {
		c.put(c.T, "file", "data")
		return func() error {
			_, err := c.Remote.SetAttr(c.Context(), "file", change)
			return err
		}, func() { c.wantChanged(change) }
	}
}

func cutFileSetAttr(change remote.Change) func(c *cut) (func() error, func()) {
	return func(c *cut) (func() error, func()) {
		c.put(c.T, "file", "data")
		f := c.file("file", flagsWrite)
		return func() error {
				_, err := f.SetAttr(c.Context(), change)
				if err == nil {
					_, err = f.Flush(c.Context())
				}
				return err
			}, func() {
				c.wantChanged(change)
				if change.Fields == remote.SetSize {
					mustRead(c.T, f, 0, "dat")
				}
			}
	}
}

func (c *cut) wantChanged(change remote.Change) {
	c.Helper()
	st := c.stat(c.T, "file")
	if change.Fields&remote.SetMode != 0 && st.Mode&0o7777 != change.Mode {
		c.Errorf("mode %o, want %o", st.Mode, change.Mode)
	}
	if change.Fields&remote.SetSize != 0 && st.Size != change.Size {
		c.Errorf("size %d, want %d", st.Size, change.Size)
	}
	if change.Fields&remote.SetMtime != 0 && (st.Mtim.Sec != change.Mtime || st.Atim.Sec != change.Atime) {
		c.Errorf("atime and mtime %d %d, want %d %d", st.Atim.Sec, st.Mtim.Sec, change.Atime, change.Mtime)
	}
}

func cutFlushTimes(c *cut) (func() error, func()) {
	f := c.file("file", flagsNew)
	return func() error {
			if _, err := f.WriteAt(c.Context(), []byte("data"), 0); err != nil {
				return err
			}
			if _, err := f.SetAttr(c.Context(), remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: 5, Mtime: 6}); err != nil {
				return err
			}
			_, err := f.Flush(c.Context())
			return err
		}, func() {
			c.holds(c.T, "file", "data")
			if got := c.stat(c.T, "file").Mtim.Sec; got != 6 {
				c.Errorf("mtime %d, want 6", got)
			}
		}
}
