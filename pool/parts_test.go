package pool

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

func TestChangeOnTheWire(t *testing.T) {
	have := remote.Attr{UID: 1, GID: 2, Atime: 3, Mtime: 4}
	const owner, times = sftp3.AttrUIDGID, sftp3.AttrACModTime
	for _, tt := range []struct {
		name   string
		change remote.Change
		want   sftp3.Attrs
		pair   bool
	}{
		{"size", remote.Change{Fields: remote.SetSize, Size: 9}, sftp3.Attrs{Flags: sftp3.AttrSize, Size: 9}, false},
		{"mode", remote.Change{Fields: remote.SetMode, Mode: 0o104755}, sftp3.Attrs{Flags: sftp3.AttrPermissions, Permissions: 0o4755}, false},
		{"uid alone takes the group along", remote.Change{Fields: remote.SetUID, UID: 7}, sftp3.Attrs{Flags: owner, UID: 7, GID: 2}, true},
		{"gid alone takes the user along", remote.Change{Fields: remote.SetGID, GID: 7}, sftp3.Attrs{Flags: owner, UID: 1, GID: 7}, true},
		{"both owners", remote.Change{Fields: remote.SetUID | remote.SetGID, UID: 7, GID: 8}, sftp3.Attrs{Flags: owner, UID: 7, GID: 8}, false},
		{"mtime alone keeps atime", remote.Change{Fields: remote.SetMtime, Mtime: 7}, sftp3.Attrs{Flags: times, Atime: 3, Mtime: 7}, true},
		{"before 1970 is 1970", remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: -1, Mtime: 1 << 40}, sftp3.Attrs{Flags: times, Atime: 0, Mtime: 1<<32 - 1}, false},
	} {
		if got := toWire(tt.change, have); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if got := needsPair(tt.change); got != tt.pair {
			t.Errorf("%s: needs the other half %v, want %v", tt.name, got, tt.pair)
		}
	}
}

func TestChangePartsSetTheModeAfterTheOwner(t *testing.T) {
	parts := partsOf(remote.Change{Fields: remote.SetMode | remote.SetUID | remote.SetSize | remote.SetMtime, Mode: 0o4755})
	want := []remote.Fields{remote.SetSize, remote.SetUID, remote.SetMode | remote.SetMtime}
	if len(parts) != len(want) {
		t.Fatalf("%d parts, want %d", len(parts), len(want))
	}
	for i, part := range parts {
		if part.Fields != want[i] {
			t.Errorf("part %d sets %b, want %b", i, part.Fields, want[i])
		}
	}
}

func TestChangeMerge(t *testing.T) {
	got := remote.Change{Fields: remote.SetMtime | remote.SetAtime, Mtime: 1, Atime: 2}.Merge(remote.Change{Fields: remote.SetMtime, Mtime: 3})
	if want := (remote.Change{Fields: remote.SetMtime | remote.SetAtime, Mtime: 3, Atime: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestLinkCount(t *testing.T) {
	for long, want := range map[string]uint32{
		"-rw-r--r--    3 root     root         1234 Jan  1 00:00 a name": 3,
		"-rw-r--r-- x root root 1234 Jan 1 00:00 name":                   0,
		"drwxr-xr-x 4294967296 root root 1 Jan 1 00:00 name":             0,
		"name": 0,
		"":     0,
	} {
		if got := linkCount(long); got != want {
			t.Errorf("%q: %d links, want %d", long, got, want)
		}
	}
}

func TestErrnoOfStatus(t *testing.T) {
	for code, want := range map[uint32]syscall.Errno{
		sftp3.StatusNoSuchFile:       syscall.ENOENT,
		sftp3.StatusPermissionDenied: syscall.EACCES,
		sftp3.StatusOpUnsupported:    syscall.EOPNOTSUPP,
		sftp3.StatusFailure:          syscall.EIO,
		11:                           syscall.EEXIST,
		14:                           syscall.ENOSPC,
		18:                           syscall.ENOTEMPTY,
		4000:                         syscall.EIO,
	} {
		if got := errnoOf(&sftp3.StatusError{Code: code}); got != want {
			t.Errorf("status %d is %v, want %v", code, got, want)
		}
	}
	if got := errnoOf(context.Canceled); got != context.Canceled {
		t.Errorf("another error became %v", got)
	}
}

func TestPathErrorTellsTooLongFromInvalid(t *testing.T) {
	long := string(make([]byte, 256))
	if err := pathError("mkdir", "a/"+long, syscall.EINVAL); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a long name gives %v", err)
	}
	err := pathError("mkdir", "a", syscall.EINVAL)
	var pe *fs.PathError
	if !errors.As(err, &pe) || pe.Err != syscall.EINVAL || pe.Op != "mkdir" || pe.Path != "a" {
		t.Errorf("%#v is no PathError of EINVAL", err)
	}
}

func TestSlotsHoldOverProcesses(t *testing.T) {
	dir := t.TempDir()
	one, other := slots{dir: dir, max: 3}, slots{dir: dir, max: 3}
	take := func(s *slots) func() {
		t.Helper()
		release, err := s.take()
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	first, second, third := take(&one), take(&one), take(&other)
	if first == nil || second == nil || third == nil {
		t.Fatal("three slots do not give three connections")
	}
	if take(&other) != nil || take(&one) != nil {
		t.Error("a fourth connection got a slot")
	}
	first()
	first()
	again := take(&other)
	if again == nil {
		t.Fatal("a slot given back cannot be taken")
	}
	if take(&one) != nil {
		t.Error("giving back twice made two slots")
	}
	second()
	third()
	again()
}

func TestServerClock(t *testing.T) {
	var c serverClock
	now := time.Unix(1_000_000, 900_000_000)
	if c.before(0, now) || c.after(1<<40, now) {
		t.Error("an unknown clock is sure of something")
	}
	c.learn(1_000_100, now, now.Add(time.Minute))
	if c.after(1<<40, now) {
		t.Error("an answer that took a minute tells the time")
	}
	c.learn(1_000_100, now, now.Add(10*time.Millisecond)) // the server is 100 s ahead
	for _, tt := range []struct {
		mtime         int64
		before, after bool
	}{{1_000_096, true, false}, {1_000_099, false, false}, {1_000_102, false, false}, {1_000_105, false, true}} {
		if c.before(tt.mtime, now) != tt.before || c.after(tt.mtime, now) != tt.after {
			t.Errorf("mtime %d: before %v, after %v", tt.mtime, c.before(tt.mtime, now), c.after(tt.mtime, now))
		}
	}
}

func TestChunksGatherInPlace(t *testing.T) {
	c := &chunk{f: new(file), off: 100, buf: takeBuffer(4)}
	const packet = 16
	for _, tt := range []struct {
		off      int64
		data     string
		n, grown int
		takes    bool
	}{
		{100, "abcd", 4, 4, true},
		{104, "efgh", 4, 4, true},
		{102, "XY", 2, 0, true},
		{106, "0123456789ZZZ", 10, 8, true},
		{116, "full", 0, 0, false},
		{99, "before", 0, 0, false},
	} {
		if got := c.takes(tt.off, packet); got != tt.takes {
			t.Fatalf("data at %d taken: %v", tt.off, got)
		}
		if !tt.takes {
			continue
		}
		if n, grown := c.add([]byte(tt.data), tt.off, packet); n != tt.n || grown != tt.grown {
			t.Errorf("add at %d took %d and grew %d, want %d and %d", tt.off, n, grown, tt.n, tt.grown)
		}
	}
	if got := string(c.buf); got != "abXYef0123456789" {
		t.Errorf("gathered %q", got)
	}
}

func TestOutgoingKeepsOrder(t *testing.T) {
	var o outgoing
	var f file
	a, b, c := &chunk{f: &f, off: 0, buf: make([]byte, 10)}, &chunk{f: &f, off: 20, buf: make([]byte, 10)}, &chunk{f: &f, off: 5, buf: make([]byte, 10)}
	o.push(a)
	o.push(b)
	o.push(c)
	if !c.meets(14, 15) || c.meets(15, 20) || c.meets(0, 5) {
		t.Error("the ranges under way are wrong")
	}
	o.remove(b)
	if o.first != a || a.next != c || c.prev != a || o.last != c {
		t.Error("removing from the middle broke the order")
	}
	o.remove(a)
	o.remove(c)
	if o.first != nil || o.last != nil {
		t.Error("an empty list is not empty")
	}
}

// Data is sent from where it was gathered. Only what is cut moves, into memory that fits.
func TestSplitCopiesOnlyWhatItCuts(t *testing.T) {
	p := &Pool{chunks: sync.Pool{New: newChunk}}
	o := &object{p: p}
	c := p.chunks.Get().(*chunk)
	c.f, c.buf = &file{object: o}, append(takeBuffer(largestBuffer), make([]byte, 255<<10)...)
	o.out.push(c)
	gathered := &c.buf[0]
	o.split(c, 255<<10)
	if &c.buf[0] != gathered || c.next != nil {
		t.Error("a chunk that fits was copied")
	}
	o.split(c, 100<<10)
	var pieces []int
	for e := o.out.first; e != nil; e = e.next {
		pieces = append(pieces, len(e.buf)>>10)
		if &e.buf[0] == gathered || cap(e.buf) >= largestBuffer {
			t.Errorf("a piece of %d bytes has %d bytes of memory", len(e.buf), cap(e.buf))
		}
	}
	if want := []int{100, 100, 55}; !slices.Equal(pieces, want) {
		t.Errorf("pieces of %v KiB, want %v", pieces, want)
	}
}

// A listing without an end must not be kept, and one that was cut not come twice.
func TestListingRemembersNoMoreThanSoMuch(t *testing.T) {
	s := &session{conn: &conn{pool: new(Pool)}}
	names := func(from, n int) (batch []sftp3.Name) {
		for i := range n {
			batch = append(batch, sftp3.Name{Filename: fmt.Sprintf("name %d", from+i)})
		}
		return batch
	}
	l := &listing{seed: maphash.MakeSeed()}
	l.remember(l.entries(s, names(0, 1000)))
	l.noteEmitted() // a cut
	if again := l.entries(s, names(500, 1000)); len(again) != 500 || again[0].Name != "name 1000" {
		t.Errorf("%d names after a cut, want the 500 that are new", len(again))
	}
	for i := 0; i < 2*mostEmitted; i += 1000 {
		l.remember(l.entries(s, names(1000+i, 1000)))
	}
	if !l.beyond || len(l.last) > 0 || len(l.emitted) > mostEmitted {
		t.Errorf("of %d names %d and %d are kept", 2*mostEmitted, len(l.last), len(l.emitted))
	}
	if again := l.entries(s, names(0, 1000)); len(again) != 0 {
		t.Errorf("%d names came twice on one connection", len(again))
	}
	if err := l.run(t.Context(), nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("a cut after that: %v, want EIO", err)
	}
}
