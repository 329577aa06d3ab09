package remotetest

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

type cutCase struct {
	name string
	test func(c *cut)
}

// cutCases are what a row cannot say: somebody else's doing that must not be
// taken for ours, handles that outlive their connection, and cuts without end.
func cutCases() []cutCase {
	return []cutCase{
		{"exclusive creation does not take another's file", createTaken},
		{"Mkdir does not take another's file", mkdirTaken},
		{"Rename does not take another's removal", renameTaken},
		{"Rename does not take another's target", renameTargetTaken},
		{"Remove of what is not there is still ENOENT", removeNothing},
		{"reading goes on", handleReads},
		{"reading a file that grew is ESTALE", handleStale(func(c *cut) { c.put(c.T, "file", "more data") })},
		{"reading a file that was touched is ESTALE", handleStale(func(c *cut) { c.touch("file") })},
		{"reading a file that was replaced is ESTALE", handleStale(func(c *cut) {
			c.put(c.T, "new", "DATA")
			c.touch("new")
			c.move("new", "file")
		})},
		{"reading a file that was removed is ESTALE", handleStale(func(c *cut) { c.remove("file") })},
		{"writing goes on", handleWrites},
		{"writing a file that another wrote is ESTALE", writerStale(func(c *cut) {
			c.put(c.T, "file", "much more than was sent")
			c.touch("file")
		})},
		{"writing a file that another cut short is ESTALE", writerStale(func(c *cut) { c.put(c.T, "file", "x") })},
		{"writing a file that another changed since is ESTALE", writerStale(func(c *cut) {
			c.put(c.T, "file", "DATA")
			c.touch("file")
		})},
		{"writing a file that was removed is ESTALE", writerStale(func(c *cut) { c.remove("file") })},
		{"a renamed file is followed", handleRenamed},
		{"a file in a renamed folder is followed", handleFolderRenamed},
		{"a removed file is not taken for its successor", handleSuccessor},
		{"a read-only file is written on", handleReadOnly},
		{"a truncating open does not truncate our data", handleTruncated},
		{"data waits while nobody answers the dial", flushWaits},
		{"a call waits while nobody answers the dial", lookWaits},
		{"two Files of one path", handleTwo},
		{"a refused CLOSE of what was written is an error", closeRefused},
		{"a refused CLOSE of what was read is none", closeRefusedReading},
		{"a lost answer to CLOSE is looked after", closeLost},
		{"a rename that is executed between the look and the second try", lateRename},
		{"what overlaps data that may come late waits", lateOverlap},
		{"a truncation of data that may come late waits", lateTruncate},
		{"order holds when all is sent again", againInOrder},
		{"opening tells of what was written and is on its way", openBesideWrite},
		{"a file with two names goes on under the one that is left", linkedGoesOn},
		{"and when it had them before it was opened", linkedBefore},
		{"a rename without an answer takes its open file along", renameDirty},
		{"a rename of a folder without an answer takes open files along", renameFolderDirty},
		{"writing with cuts without end", stormWrites},
		{"reading with cuts without end", stormReads},
		{"listing with cuts without end", stormLists},
		{"a life of files with cuts without end", stormTree},
	}
}

// touch gives a file a time that no write of ours explains.
func (c *cut) touch(path string) {
	c.Helper()
	then := time.Now().Add(time.Hour)
	if err := os.Chtimes(c.disk(path), then, then); err != nil {
		c.Fatal(err)
	}
}

func (c *cut) move(from, to string) {
	c.Helper()
	if err := os.Rename(c.disk(from), c.disk(to)); err != nil {
		c.Fatal(err)
	}
}

func (c *cut) remove(path string) {
	c.Helper()
	if err := os.Remove(c.disk(path)); err != nil {
		c.Fatal(err)
	}
}

// taken loses a request, and lets somebody else act before the second try. What
// was answered before, such as a look at the source of a rename that left
// together with it, has time to arrive: a cut drops answers under way.
func (c *cut) taken(kind, path string, another func(), do func() error) error {
	c.Helper()
	trap := c.s.Ahead(kind, path, CutBefore, func() {
		time.Sleep(50 * time.Millisecond)
		another()
	})
	err := c.within(do)
	c.met(trap, cutRow{kind: kind, path: path})
	return err
}

func createTaken(c *cut) {
	err := c.taken("OPEN", "new", func() { c.put(c.T, "new", "theirs") }, func() error {
		_, _, err := c.Remote.Open(c.Context(), "new", flagsNew, 0o644)
		return err
	})
	wantErrno(c.T, "Open", err, syscall.EEXIST)
	c.holds(c.T, "new", "theirs")
}

func mkdirTaken(c *cut) {
	err := c.taken("MKDIR", "dir", func() { c.put(c.T, "dir", "theirs") }, func() error {
		_, err := c.Remote.Mkdir(c.Context(), "dir", 0o755)
		return err
	})
	wantErrno(c.T, "Mkdir", err, syscall.EEXIST)
	c.holds(c.T, "dir", "theirs")
}

func renameTaken(c *cut) {
	c.put(c.T, "old", "data")
	err := c.taken(anyRename, "old", func() { c.remove("old") }, func() error {
		return c.Remote.Rename(c.Context(), "old", "new", false)
	})
	wantErrno(c.T, "Rename", err, syscall.ENOENT)
	c.absent(c.T, "new")
}

func renameTargetTaken(c *cut) {
	c.put(c.T, "old", "data")
	c.put(c.T, "new", "their target")
	err := c.taken(anyRename, "old", func() { c.remove("old") }, func() error {
		return c.Remote.Rename(c.Context(), "old", "new", false)
	})
	wantErrno(c.T, "Rename", err, syscall.ENOENT)
	c.holds(c.T, "new", "their target")
}

// What was lost has not been uncertain for long: a second Remove is a new one.
func removeNothing(c *cut) {
	c.put(c.T, "file", "")
	c.s.Next("REMOVE", "file", CutAfter)
	if err := c.within(func() error { return c.Remote.Remove(c.Context(), "file") }); err != nil {
		c.Errorf("Remove: %v", err)
	}
	wantErrno(c.T, "Remove again", c.Remote.Remove(c.Context(), "file"), syscall.ENOENT)
}

func handleReads(c *cut) {
	c.put(c.T, "file", "data")
	f := c.file("file", flagsRead)
	for range 3 {
		mustRead(c.T, f, 0, "data")
		c.s.CutAll()
		mustEnd(c.T, f, 2, "ta")
	}
}

// handleStale changes a file under its reader. ESTALE stays.
func handleStale(change func(c *cut)) func(c *cut) {
	return func(c *cut) {
		c.put(c.T, "file", "data")
		f := c.file("file", flagsRead)
		mustRead(c.T, f, 0, "data")
		c.s.CutAll()
		change(c)
		for range 2 {
			n, err := f.ReadAt(c.Context(), make([]byte, 4), 0)
			if n != 0 {
				c.Errorf("ReadAt gave %d bytes of another file", n)
			}
			wantErrno(c.T, "ReadAt", err, syscall.ESTALE)
		}
		if err := f.Close(c.Context()); err != nil {
			wantErrno(c.T, "Close", err, syscall.ESTALE)
		}
	}
}

func handleWrites(c *cut) {
	f := c.file("file", flagsNew)
	want := ""
	for i := range 5 {
		data := fmt.Sprintf("part %d ", i)
		mustWrite(c.T, f, data, int64(len(want)))
		want += data
		if i%2 == 0 {
			mustFlush(c.T, f)
		}
		c.s.CutAll()
	}
	mustRead(c.T, f, 0, want)
	mustFlush(c.T, f)
	c.holds(c.T, "file", want)
}

// writerStale lets somebody else change a file under its writer: then nothing of
// ours goes over it, and the loss is told.
func writerStale(change func(c *cut)) func(c *cut) {
	return func(c *cut) {
		f := c.file("file", flagsNew)
		mustWrite(c.T, f, "data", 0)
		mustFlush(c.T, f)
		c.s.CutAll()
		change(c)
		theirs, readErr := os.ReadFile(c.disk("file"))
		_, err := f.WriteAt(c.Context(), []byte("ours"), 2)
		if err == nil {
			_, err = f.Flush(c.Context())
		}
		wantErrno(c.T, "WriteAt or Flush", err, syscall.ESTALE)
		_, err = f.WriteAt(c.Context(), []byte("ours"), 2)
		if err == nil {
			_, err = f.Flush(c.Context())
		}
		wantErrno(c.T, "WriteAt or Flush again", err, syscall.ESTALE)
		_ = f.Close(c.Context()) // may tell it again
		if readErr != nil {
			c.absent(c.T, "file")
			return
		}
		c.holds(c.T, "file", string(theirs))
	}
}

func handleRenamed(c *cut) {
	f := c.file("old", flagsNew)
	mustWrite(c.T, f, "before ", 0)
	mustFlush(c.T, f)
	if err := c.Remote.Rename(c.Context(), "old", "new", false); err != nil {
		c.Fatal(err)
	}
	c.s.CutAll()
	c.put(c.T, "old", "another")
	mustWrite(c.T, f, "after", 7)
	mustFlush(c.T, f)
	c.holds(c.T, "new", "before after")
	c.holds(c.T, "old", "another")
}

func handleFolderRenamed(c *cut) {
	c.mkdir(c.T, "old")
	f := c.file("old/file", flagsNew)
	mustWrite(c.T, f, "before ", 0)
	if err := c.Remote.Rename(c.Context(), "old", "new", false); err != nil {
		c.Fatal(err)
	}
	c.s.CutAll()
	mustWrite(c.T, f, "after", 7)
	mustFlush(c.T, f)
	c.holds(c.T, "new/file", "before after")
}

func handleSuccessor(c *cut) {
	f := c.file("file", flagsNew)
	mustWrite(c.T, f, "data", 0)
	mustFlush(c.T, f)
	if err := c.Remote.Remove(c.Context(), "file"); err != nil {
		c.Fatal(err)
	}
	other := c.file("file", flagsNew)
	mustWrite(c.T, other, "next", 0)
	mustFlush(c.T, other)
	c.s.CutAll()
	_, err := f.WriteAt(c.Context(), []byte("ours"), 0)
	if err == nil {
		_, err = f.Flush(c.Context())
	}
	wantErrno(c.T, "WriteAt or Flush", err, syscall.ESTALE)
	mustRead(c.T, other, 0, "next")
	c.holds(c.T, "file", "next")
}

// git writes its objects so.
func handleReadOnly(c *cut) {
	c.s.HonourModes(true)
	f, _, err := c.Remote.Open(c.Context(), "file", flagsNew, 0o444)
	if err != nil {
		c.Fatal(err)
	}
	mustWrite(c.T, f, "before ", 0)
	mustFlush(c.T, f)
	c.s.CutAll()
	mustWrite(c.T, f, "after", 7)
	if err := f.Close(c.Context()); err != nil {
		c.Errorf("Close: %v", err)
	}
	c.holds(c.T, "file", "before after")
	if got := c.stat(c.T, "file").Mode & 0o777; got != 0o444 {
		c.Errorf("mode %o, want 444", got)
	}
}

func handleTruncated(c *cut) {
	c.put(c.T, "file", "what was there before")
	f := c.file("file", flagsMake|remote.FlagTruncate)
	mustWrite(c.T, f, "data", 0)
	mustFlush(c.T, f)
	c.s.CutAll()
	mustRead(c.T, f, 0, "data")
	c.s.CutAll()
	mustWrite(c.T, f, " and more", 4)
	mustFlush(c.T, f)
	c.holds(c.T, "file", "data and more")
}

// away refuses dials for a moment.
func (c *cut) away() {
	c.s.Refuse(syscall.ECONNREFUSED)
	c.s.CutAll()
	time.AfterFunc(300*time.Millisecond, func() { c.s.Refuse(nil) })
}

func flushWaits(c *cut) {
	f := c.file("file", flagsNew)
	c.away()
	mustWrite(c.T, f, "data", 0)
	if err := c.within(func() error { _, err := f.Flush(c.Context()); return err }); err != nil {
		c.Errorf("Flush: %v", err)
	}
	c.holds(c.T, "file", "data")
}

func lookWaits(c *cut) {
	c.put(c.T, "file", "data")
	c.away()
	if err := c.within(func() error { _, err := c.Remote.Lstat(c.Context(), "file"); return err }); err != nil {
		c.Errorf("Lstat: %v", err)
	}
}

func handleTwo(c *cut) {
	one, two := c.file("file", flagsNew), c.file("file", flagsWrite)
	reader := c.file("file", flagsRead)
	mustWrite(c.T, one, "one ", 0)
	c.s.CutAll()
	mustWrite(c.T, two, "two", 4)
	mustRead(c.T, reader, 0, "one two")
	c.s.CutAll()
	mustRead(c.T, reader, 0, "one two")
	mustFlush(c.T, one)
	mustFlush(c.T, two)
	c.holds(c.T, "file", "one two")
}
