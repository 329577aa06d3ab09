package remotetest

import (
	"bytes"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

func closeRefused(c *cut) {
	for _, flushed := range []bool{true, false} {
		f := c.file("file", flagsMake|remote.FlagTruncate)
		mustWrite(c.T, f, "data", 0)
		if flushed {
			leftToClose(c, f)
		}
		c.s.Next("CLOSE", "file", Fail)
		wantErrno(c.T, "Close", c.within(func() error { return f.Close(c.Context()) }), syscall.EIO)
	}
	f := c.file("empty", flagsNew)
	c.s.Next("CLOSE", "empty", Fail)
	wantErrno(c.T, "Close of an empty file", c.within(func() error { return f.Close(c.Context()) }), syscall.EIO)
}

// leftToClose flushes a File twice: the first time takes CLOSE along, the second leaves
// it to Close.
func leftToClose(c *cut, f remote.File) {
	mustFlush(c.T, f)
	mustWrite(c.T, f, "data", 0)
	mustFlush(c.T, f)
}

func closeRefusedReading(c *cut) {
	c.put(c.T, "file", "data")
	f := c.file("file", flagsWrite)
	mustRead(c.T, f, 0, "data")
	trap := c.s.Next("CLOSE", "file", Fail)
	if err := f.Close(c.Context()); err != nil {
		c.Errorf("Close: %v", err)
	}
	c.met(trap, cutRow{kind: "CLOSE", path: "file"})
}

// What is found to be there still is gone when it is asked for again: the server has
// executed what it had received.
func lateRename(c *cut) {
	c.put(c.T, "old", "data")
	c.s.Next("LSTAT", "old", Zombie) // the rename has left together with it
	c.s.Next("LSTAT", "old", Answer)
	c.s.Ahead("LSTAT", "old", Answer, c.s.RunZombies)
	if err := c.within(func() error { return c.Remote.Rename(c.Context(), "old", "new", false) }); err != nil {
		c.Errorf("Rename: %v", err)
	}
	c.holds(c.T, "new", "data")
	c.absent(c.T, "old")
}

func closeLost(c *cut) {
	for _, fate := range []Fate{CutBefore, CutAfter} {
		f := c.file("file", flagsMake|remote.FlagTruncate)
		mustWrite(c.T, f, "data", 0)
		leftToClose(c, f)
		c.s.Next("CLOSE", "file", fate)
		if err := c.within(func() error { return f.Close(c.Context()) }); err != nil {
			c.Errorf("CLOSE %v: %v", fate, err)
		}
	}
	closes := func(left string) error {
		f := c.file("file", flagsMake|remote.FlagTruncate)
		mustWrite(c.T, f, "data", 0)
		leftToClose(c, f)
		c.s.Ahead("CLOSE", "file", CutBefore, func() { c.put(c.T, "file", left) })
		return c.within(func() error { return f.Close(c.Context()) })
	}
	wantErrno(c.T, "Close of a file that is empty then", closes(""), syscall.EIO)
	if err := closes("data, and another's"); err != nil {
		c.Errorf("Close of a file to which another has appended since: %v", err)
	}
}

// The server has the first write, and may execute it after the connection was given
// up. What goes over it waits until that is over.
func lateOverlap(c *cut) {
	f := c.file("file", flagsNew)
	trap := c.s.Next("WRITE", "file", Zombie)
	mustWrite(c.T, f, "old old", 0)
	c.met(trap, cutRow{kind: "WRITE", path: "file"})
	mustWrite(c.T, f, "new", 0)
	mustRead(c.T, f, 0, "new old")
	time.AfterFunc(time.Second, c.s.RunZombies)
	if err := c.within(func() error { _, err := f.Flush(c.Context()); return err }); err != nil {
		c.Errorf("Flush: %v", err)
	}
	c.s.RunZombies()
	c.holds(c.T, "file", "new old")
}

func lateTruncate(c *cut) {
	for _, byPath := range []bool{false, true} {
		f := c.file("file", flagsMake|remote.FlagTruncate)
		trap := c.s.Next("WRITE", "file", Zombie)
		mustWrite(c.T, f, "old old", 0)
		c.met(trap, cutRow{kind: "WRITE", path: "file"})
		time.AfterFunc(time.Second, c.s.RunZombies)
		err := c.within(func() (err error) {
			if byPath {
				_, err = c.Remote.SetAttr(c.Context(), "file", newSize(3))
			} else {
				_, err = f.SetAttr(c.Context(), newSize(3))
			}
			return err
		})
		if err != nil {
			c.Errorf("SetAttr: %v", err)
		}
		c.s.RunZombies()
		c.holds(c.T, "file", "old")
		if err := f.Close(c.Context()); err != nil {
			c.Errorf("Close: %v", err)
		}
	}
}

// A large file is patched while it is on its way, and the connection breaks in the
// middle of that, several times.
func againInOrder(c *cut) {
	one, two := c.file("file", flagsNew), c.file("file", flagsWrite)
	want := make([]byte, 0, 6<<20)
	for i := range 24 {
		data := bytes.Repeat([]byte{byte('a' + i)}, 256<<10)
		mustWrite(c.T, one, string(data), int64(len(want)))
		want = append(want, data...)
		if i%8 == 3 {
			c.s.CutAll()
		}
		if i == 12 {
			over := bytes.Repeat([]byte{'!'}, 9000)
			mustWrite(c.T, two, string(over), int64(len(want)-300_000))
			copy(want[len(want)-300_000:], over)
		}
	}
	got := make([]byte, len(want))
	if _, err := one.ReadAt(c.Context(), got, 0); err != nil || !bytes.Equal(got, want) {
		c.Errorf("read back: %v, identical %v", err, bytes.Equal(got, want))
	}
	mustFlush(c.T, one)
	mustFlush(c.T, two)
	c.holds(c.T, "file", string(want))
}

// The server has moved the file, and nobody was told. What was written to it is not
// lost, whether it is sent again before or after the rename is known to be done.
func renameDirty(c *cut) {
	for _, fate := range []Fate{CutBefore, CutAfter} {
		f := c.file("old", flagsNew)
		mustWrite(c.T, f, "before ", 0)
		mustFlush(c.T, f)
		c.s.Next(anyRename, "old", fate)
		c.s.Next("WRITE", "old", Zombie)
		mustWrite(c.T, f, "after", 7)
		if err := c.within(func() error { return c.Remote.Rename(c.Context(), "old", "new", false) }); err != nil {
			c.Errorf("Rename %v: %v", fate, err)
		}
		c.s.Disarm()
		if err := c.within(func() error { return f.Close(c.Context()) }); err != nil {
			c.Errorf("Close after %v: %v", fate, err)
		}
		c.holds(c.T, "new", "before after")
		c.remove("new")
	}
}

func renameFolderDirty(c *cut) {
	c.mkdir(c.T, "old")
	f := c.file("old/file", flagsNew)
	mustWrite(c.T, f, "before ", 0)
	mustFlush(c.T, f)
	c.s.Next(anyRename, "old", CutAfter)
	c.s.Next("WRITE", "old/file", CutBefore)
	mustWrite(c.T, f, "after", 7)
	if err := c.within(func() error { return c.Remote.Rename(c.Context(), "old", "new", false) }); err != nil {
		c.Errorf("Rename: %v", err)
	}
	c.s.Disarm()
	if err := c.within(func() error { return f.Close(c.Context()) }); err != nil {
		c.Errorf("Close: %v", err)
	}
	c.holds(c.T, "new/file", "before after")
}

// The server describes the file before it executes a write that is on its way on
// another session, and both answers arrive together.
func openBesideWrite(c *cut) {
	w := c.file("file", flagsNew)
	look := c.s.Next("STAT|FSTAT", "file", Hold)
	came := make(chan struct{})
	wrote := c.s.Ahead("WRITE", "file", Answer, func() {
		close(came)
		select {
		case <-look.Sprung():
		case <-time.After(500 * time.Millisecond): // both are on one session
		}
	})
	mustWrite(c.T, w, "data", 0)
	<-came
	go func() {
		<-wrote.Sprung()
		time.Sleep(50 * time.Millisecond)
		look.Release()
	}()
	f, a := mustOpen(c.T, c.Remote, "file", flagsRead)
	if a.Size != 4 {
		c.Errorf("Open: size %d, want 4", a.Size)
	}
	if a, err := f.Stat(c.Context()); err != nil || a.Size != 4 {
		c.Errorf("Stat: size %d, %v; want 4", a.Size, err)
	}
	mustEnd(c.T, f, 0, "data")
}

// A file has two names, and loses the one that it was opened by.
func linkedGoesOn(c *cut) {
	t, f := c.T, c.Fixture
	f.mkdir(t, "dir")
	file, _ := mustOpen(t, f.Remote, "one", flagsNew)
	mustWrite(t, file, "before ", 0)
	if a, err := f.Remote.Link(t.Context(), "one", "dir/two"); err != nil || a.Size != 7 {
		t.Fatalf("Link: size %d, want 7, %v", a.Size, err)
	}
	mustWrite(t, file, "and ", 7)
	for _, name := range []string{"one", "dir/two"} {
		if a := f.mustAttr(t, name); a.Size != 11 {
			t.Errorf("Lstat of %s: size %d, want 11", name, a.Size)
		}
	}
	other, _ := mustOpen(t, f.Remote, "dir/two", flagsWrite)
	mustRead(t, other, 0, "before and ")
	if err := f.Remote.Rename(t.Context(), "one", "three", false); err != nil {
		t.Fatalf("Rename: %v", err)
	}
	if err := f.Remote.Remove(t.Context(), "three"); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	c.s.CutAll()
	mustWrite(t, file, "after", 11)
	mustRead(t, other, 0, "before and after")
	if a := f.mustAttr(t, "dir/two"); a.Size != 16 {
		t.Errorf("Lstat: size %d, want 16", a.Size)
	}
	mustWrite(t, other, "AFTER", 11)
	mustRead(t, file, 0, "before and AFTER")
	mustFlush(t, file)
	f.holds(t, "dir/two", "before and AFTER")
}

// As linkedGoesOn, and the second name was made before the file was opened.
func linkedBefore(c *cut) {
	t, f := c.T, c.Fixture
	file, _ := mustOpen(t, f.Remote, "one", flagsNew)
	mustWrite(t, file, "before ", 0)
	if err := file.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if _, err := f.Remote.Link(t.Context(), "one", "two"); err != nil {
		t.Fatalf("Link: %v", err)
	}
	if err := f.Remote.Rename(t.Context(), "two", "three", false); err != nil {
		t.Fatalf("Rename: %v", err)
	}
	file, _ = mustOpen(t, f.Remote, "one", flagsWrite)
	mustWrite(t, file, "and ", 7)
	if a := f.mustAttr(t, "three"); a.Size != 11 {
		t.Errorf("Lstat of the other name: size %d, want 11", a.Size)
	}
	if err := f.Remote.Rename(t.Context(), "one", "three", false); err != nil {
		t.Fatalf("Rename over another name of the file: %v", err)
	}
	if err := f.Remote.Remove(t.Context(), "one"); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	c.s.CutAll()
	mustWrite(t, file, "after", 11)
	mustRead(t, file, 0, "before and after")
	mustFlush(t, file)
	f.holds(t, "three", "before and after")
}
