package remotetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// storm cuts at every nth request, before and after it was executed in turn.
func (c *cut) storm(every int64) {
	var count atomic.Int64
	c.s.Script(func(Request) Fate {
		switch n := count.Add(1); {
		case n%(2*every) == every:
			return CutBefore
		case n%(2*every) == 0:
			return CutAfter
		}
		return Answer
	})
}

func (c *cut) calm() {
	c.Helper()
	c.s.Script(nil)
	if _, _, dials := c.s.Connections(); dials < 3 {
		c.Errorf("dialled %d times: there was no storm", dials)
	}
}

func stormWrites(c *cut) {
	want := pattern(4<<20 + 321)
	f := c.file("file", flagsNew)
	c.storm(13)
	err := c.within(func() error {
		for off := 0; off < len(want); off += 70_001 {
			part := want[off:min(off+70_001, len(want))]
			if _, err := f.WriteAt(c.Context(), part, int64(off)); err != nil {
				return err
			}
			if off/70_001%10 == 9 {
				if _, err := f.Flush(c.Context()); err != nil {
					return err
				}
			}
		}
		_, err := f.Sync(c.Context())
		return err
	})
	if err != nil {
		c.Errorf("a false error: %v", err)
	}
	c.calm()
	if got, err := os.ReadFile(c.disk("file")); err != nil || !bytes.Equal(got, want) {
		c.Errorf("%d bytes on the server, %v, identical: %v", len(got), err, bytes.Equal(got, want))
	}
}

func stormReads(c *cut) {
	want := pattern(4<<20 + 321)
	c.put(c.T, "file", string(want))
	f := c.file("file", flagsRead)
	c.storm(13)
	var got []byte
	err := c.within(func() error {
		buf := make([]byte, 200_000)
		for {
			n, err := f.ReadAt(c.Context(), buf, int64(len(got)))
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil || !bytes.Equal(got, want) {
		c.Errorf("%d bytes, identical: %v, %v", len(got), bytes.Equal(got, want), err)
	}
	c.calm()
}

func stormLists(c *cut) {
	var want []string
	for i := range 1500 {
		want = append(want, fmt.Sprintf("name %04d", i))
		c.put(c.T, want[i], "")
	}
	cuts := 0
	c.s.Script(func(r Request) Fate {
		if r.Type == "READDIR" {
			if cuts++; cuts%7 == 0 && cuts < 30 {
				return CutBefore
			}
		}
		return Answer
	})
	var got []string
	err := c.within(func() error {
		return c.Remote.ReadDir(c.Context(), ".", func(batch []remote.Entry) error {
			for _, e := range batch {
				got = append(got, e.Name)
			}
			return nil
		})
	})
	if slices.Sort(got); err != nil || !slices.Equal(got, want) {
		c.Errorf("%d names, %v; want 1500, each once", len(got), err)
	}
	c.calm()
}

// stormTree is make, write, rename, read, remove, as a build does.
func stormTree(c *cut) {
	c.storm(11)
	for i := range 20 {
		dir := fmt.Sprintf("dir%d", i)
		err := c.within(func() error {
			if _, err := c.Remote.Mkdir(c.Context(), dir, 0o755); err != nil {
				return err
			}
			if err := oneLife(c.Context(), c.Remote, dir+"/file"); err != nil {
				return err
			}
			return c.Remote.Rmdir(c.Context(), dir)
		})
		if err != nil {
			c.Errorf("%s: a false error: %v", dir, err)
		}
	}
	c.calm()
	if got := names(c.T, c.Fixture, "."); len(got) != 0 {
		c.Errorf("left: %q", got)
	}
}

// What waits for data that may come late goes when that can come no more, also when
// something else is lost all the time.
func stormLate(c *cut) {
	f := c.file("file", flagsNew)
	trap := c.s.Next("WRITE", "file", Zombie)
	mustWrite(c.T, f, "old old", 0)
	c.met(trap, cutRow{kind: "WRITE", path: "file"})
	mustWrite(c.T, f, "new", 0)
	time.AfterFunc(time.Second, c.s.RunZombies)
	for i := range int64(5) {
		time.Sleep(2 * time.Second)
		trap := c.s.Next("WRITE", "file", CutBefore)
		mustWrite(c.T, f, "x", 8+i)
		c.met(trap, cutRow{kind: "WRITE", path: "file"})
	}
	if got, err := os.ReadFile(c.disk("file")); err != nil || !bytes.HasPrefix(got, []byte("new old")) {
		c.Errorf("the server has %q after ten seconds, %v", got, err)
	}
	mustFlush(c.T, f)
	c.holds(c.T, "file", "new old\x00xxxxx")
}
