package remotetest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

func orderContracts() []contract {
	return []contract{
		{name: "an idle File's write does not come after another's", test: orderIdle},
		{name: "overlapping writes of two Files", test: orderTwoFiles},
		{name: "a patch across what was sent", test: orderPatch},
		{name: "patches behind a large file's end", test: orderPatches},
		{name: "patches by two Files in turn", test: orderTurns},
		{name: "a hole reads as zeros", test: orderHole},
		{name: "a file made longer with a gap reads whole", test: orderGap},
		{name: "a hole under several readers", test: orderHoleReaders},
		{name: "a truncation between writes", test: orderTruncate},
		{name: "a truncation by path between writes", test: orderTruncatePath},
		{name: "copying inside one file is EXDEV", test: orderCopyInside},
		{name: "copying between two files opened by one name", test: orderCopyOneName},
		{name: "times that wait are told to who opens the file", test: orderTimesThenOpen},
		{name: "times that wait are not those of the file cut after them", test: orderTimesThenCut},
		{name: "reads see the data of every File", test: orderReads},
	}
}

// settles is more than the time for which a write may wait for others to be sent
// with.
const settles = 700 * time.Millisecond

// A program writes and goes idle; what another one writes over that later stays.
func orderIdle(t *testing.T, f Fixture) {
	one, _ := mustOpen(t, f.Remote, "file", flagsNew)
	two, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	mustWrite(t, one, "v1", 0)
	mustWrite(t, two, "v2", 0)
	if err := two.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.holds(t, "file", "v2")
	time.Sleep(settles)
	f.holds(t, "file", "v2")
	if err := one.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.holds(t, "file", "v2")
}

func orderTwoFiles(t *testing.T, f Fixture) {
	for _, size := range []int{2, 64, 4096, 100_000, 261_120, 300_000} {
		name := fmt.Sprint("file", size)
		a, _ := mustOpen(t, f.Remote, name, flagsNew)
		b, _ := mustOpen(t, f.Remote, name, flagsWrite)
		mustWrite(t, a, strings.Repeat("A", 2*size), 0)
		mustWrite(t, b, strings.Repeat("B", 2*size), int64(size))
		for _, file := range []remote.File{b, a} {
			if err := file.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		f.holds(t, name, strings.Repeat("A", size)+strings.Repeat("B", 2*size))
	}
}

// The second write at 4096 grows over a packet that has been sent.
func orderPatch(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, strings.Repeat("o", 4096), 4096)
	mustWrite(t, file, "x", 1<<20)
	mustWrite(t, file, strings.Repeat("n", 4096), 0)
	mustWrite(t, file, strings.Repeat("n", 4096), 4096)
	mustFlush(t, file)
	want := bytes.Repeat([]byte{'n'}, 8192)
	want = append(want, make([]byte, 1<<20-8192)...)
	f.holds(t, "file", string(append(want, 'x')))
}

// orderPatches writes as programs of archives, films and databases do.
func orderPatches(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	want := patching(t, 12<<20, file)
	mustFlush(t, file)
	f.holds(t, "file", string(want))
}

func orderTurns(t *testing.T, f Fixture) {
	one, _ := mustOpen(t, f.Remote, "file", flagsNew)
	two, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	want := patching(t, 6<<20, one, two)
	mustFlush(t, two)
	mustFlush(t, one)
	f.holds(t, "file", string(want))
}

// patching writes a file of that size in pieces, each followed by a patch some way
// back, through the Files in turn, and gives what it must hold.
func patching(t *testing.T, size int, files ...remote.File) []byte {
	const piece, patch = 256 << 10, 9000
	want := make([]byte, 0, size)
	for i := 0; len(want) < size; i++ {
		data := bytes.Repeat([]byte{byte('a' + i%26)}, piece)
		mustWrite(t, files[i%len(files)], string(data), int64(len(want)))
		want = append(want, data...)
		at := max(0, len(want)-piece-(i*77_777)%(2*piece))
		over := bytes.Repeat([]byte{byte('A' + i%26)}, patch)
		mustWrite(t, files[(i+1)%len(files)], string(over), int64(at))
		copy(want[at:], over)
	}
	return want
}

func orderHole(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, strings.Repeat("x", 1000), 100_000)
	mustRead(t, file, 0, strings.Repeat("\x00", 100))
	mustRead(t, file, 100_000, strings.Repeat("x", 1000))
	mustRead(t, file, 99_999, "\x00x")
	mustEnd(t, file, 100_990, strings.Repeat("x", 10))
	mustWrite(t, file, "y", 300_000)
	mustRead(t, file, 100_999, "x"+strings.Repeat("\x00", 199_000))
	mustEnd(t, file, 299_999, "\x00y")
	mustFlush(t, file)
	f.holds(t, "file", strings.Repeat("\x00", 100_000)+strings.Repeat("x", 1000)+strings.Repeat("\x00", 199_000)+"y")
}

func orderGap(t *testing.T, f Fixture) {
	f.put(t, "file", "0123456789")
	file, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	mustEnd(t, file, 0, "0123456789")
	mustWrite(t, file, "end", 500_007)
	want := append([]byte("0123456789"), make([]byte, 499_997)...)
	want = append(want, "end"...)
	got := make([]byte, len(want)+1000)
	if n, err := file.ReadAt(t.Context(), got, 0); err != io.EOF || !bytes.Equal(got[:n], want) {
		t.Errorf("the whole: %d of %d bytes, %v, identical %v", n, len(want), err, bytes.Equal(got[:n], want))
	}
}

func orderHoleReaders(t *testing.T, f Fixture) {
	writer, _ := mustOpen(t, f.Remote, "file", flagsNew)
	readers := make([]remote.File, 4)
	for i := range readers {
		readers[i], _ = mustOpen(t, f.Remote, "file", flagsRead)
	}
	for round := range 20 {
		end := int64(round+1) * 50_000
		mustWrite(t, writer, "mark", end-4)
		each(t, len(readers), func(i int) error {
			got := make([]byte, 50_000)
			n, err := readers[i].ReadAt(t.Context(), got, end-50_000)
			if n != len(got) || string(got[n-4:n]) != "mark" || got[0] != 0 {
				return fmt.Errorf("round %d: %d bytes, %w", round, n, err)
			}
			return nil
		})
	}
}

func orderTruncate(t *testing.T, f Fixture) {
	one, _ := mustOpen(t, f.Remote, "file", flagsNew)
	two, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	for _, size := range []int64{50_000, 0, 400_000, 100_001} {
		mustWrite(t, one, strings.Repeat("1", 300_000), 0)
		if a, err := two.SetAttr(t.Context(), newSize(size)); err != nil || a.Size != size {
			t.Errorf("SetAttr: size %d, %v; want %d", a.Size, err, size)
		}
		mustWrite(t, two, "tail", size)
		want := strings.Repeat("1", int(min(size, 300_000))) + strings.Repeat("\x00", int(max(size-300_000, 0))) + "tail"
		mustEnd(t, one, 0, want)
		mustFlush(t, one)
		f.holds(t, "file", want)
		if a, err := one.SetAttr(t.Context(), newSize(0)); err != nil || a.Size != 0 {
			t.Errorf("SetAttr: size %d, %v; want 0", a.Size, err)
		}
	}
}

func orderTruncatePath(t *testing.T, f Fixture) {
	one, _ := mustOpen(t, f.Remote, "file", flagsNew)
	for _, size := range []int64{7, 0, 400_000} {
		mustWrite(t, one, strings.Repeat("1", 300_000), 0)
		if a, err := f.Remote.SetAttr(t.Context(), "file", newSize(size)); err != nil || a.Size != size {
			t.Errorf("SetAttr: size %d, %v; want %d", a.Size, err, size)
		}
		mustWrite(t, one, "tail", size+3)
		want := strings.Repeat("1", int(min(size, 300_000))) + strings.Repeat("\x00", int(max(size-300_000, 0)+3)) + "tail"
		mustEnd(t, one, 0, want)
		mustFlush(t, one)
		f.holds(t, "file", want)
	}
}

// The server refuses to copy a file to itself, and who asks can do it otherwise.
func orderCopyInside(t *testing.T, f Fixture) {
	if !f.Copy {
		return
	}
	f.put(t, "file", "0123456789")
	one, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	two, _ := mustOpen(t, f.Remote, "file", flagsRead)
	for _, src := range []remote.File{one, two} {
		n, err := f.Remote.Copy(t.Context(), one, 20, src, 0, 5)
		if err == nil && n == 5 {
			continue // this one can
		}
		wantErrno(t, "Copy", err, syscall.EXDEV)
		f.holds(t, "file", "0123456789")
	}
}

func orderReads(t *testing.T, f Fixture) {
	const size = 1 << 20
	want := pattern(size)
	f.put(t, "file", string(want))
	files := make([]remote.File, 3)
	for i := range files {
		files[i], _ = mustOpen(t, f.Remote, "file", flagsWrite)
	}
	for i := range 60 {
		off := (i * 131_071) % (size - 70_000)
		data := bytes.Repeat([]byte{byte(i)}, 1+(i*997)%60_000)
		mustWrite(t, files[i%3], string(data), int64(off))
		copy(want[off:], data)
		from := max(0, off-1000)
		mustRead(t, files[(i+1)%3], int64(from), string(want[from:min(off+70_000, size)]))
	}
	mustFlush(t, files[0])
	f.holds(t, "file", string(want))
}

// OpenSSH takes two files for one that were opened by one name.
func orderCopyOneName(t *testing.T, f Fixture) {
	if !f.Copy {
		return
	}
	f.put(t, "file", "..........")
	old, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	if err := f.Remote.Rename(t.Context(), "file", "moved", false); err != nil {
		t.Fatal(err)
	}
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, "0123456789", 0)
	if n, err := f.Remote.Copy(t.Context(), old, 2, file, 5, 3); n != 3 || err != nil {
		wantErrno(t, "Copy", err, syscall.EXDEV)
		return
	}
	f.holds(t, "moved", "..567.....")
}

// timed is a file just made, of which times wait for the next flush.
func timed(t *testing.T, f Fixture) {
	t.Helper()
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	if _, err := file.SetAttr(t.Context(), remote.Change{Fields: remote.SetMtime, Mtime: 1_000_000_000}); err != nil {
		t.Fatal(err)
	}
}

func orderTimesThenOpen(t *testing.T, f Fixture) {
	timed(t, f)
	if _, a := mustOpen(t, f.Remote, "file", flagsRead); a.Mtime != 1_000_000_000 {
		t.Errorf("opened: changed at %d", a.Mtime)
	}
	if a, err := f.Remote.Lstat(t.Context(), "file"); err != nil || a.Mtime != 1_000_000_000 {
		t.Errorf("looked at: changed at %d, %v", a.Mtime, err)
	}
}

func orderTimesThenCut(t *testing.T, f Fixture) {
	timed(t, f)
	file, a := mustOpen(t, f.Remote, "file", flagsWrite|remote.FlagTruncate)
	if a.Mtime == 1_000_000_000 {
		t.Error("opened: the times of before")
	}
	if a, err := file.Flush(t.Context()); err != nil || a.Mtime == 1_000_000_000 {
		t.Errorf("flushed: changed at %d, %v", a.Mtime, err)
	}
	if a, err := f.Remote.Lstat(t.Context(), "file"); err != nil || a.Mtime == 1_000_000_000 {
		t.Errorf("looked at: changed at %d, %v", a.Mtime, err)
	}
}
