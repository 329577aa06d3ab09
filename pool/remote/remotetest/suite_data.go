package remotetest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

func dataContracts() []contract {
	return []contract{
		{name: "reads in the middle, at and past the end", test: readEnds},
		{name: "an empty file", test: readEmpty},
		{name: "a large read is whole", test: readLarge},
		{name: "a sparse file beyond 4 GiB", test: readSparse},
		{name: "reads at the same time", test: readTogether},
		{name: "Flush brings the data", test: flushBrings},
		{name: "Sync brings the data", test: syncBrings},
		{name: "Close brings the data", test: closeBrings},
		{name: "the writer's buffer is free after WriteAt", test: writeTakes},
		{name: "many small writes are one file", test: writeSmall},
		{name: "writes in any order, and over each other", test: writeOrder},
		{name: "appends at an offset it knows", test: writeAppends},
		{name: "a gap is zeros", test: writeGap},
		{name: "another File sees what was written", test: writeSeen},
		{name: "data under way counts in the size", test: writeCounts},
		{name: "a failed write is told once", test: writeFails},
	}
}

// pattern is n bytes that are not the same at any two places a packet may end.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16*7)
	}
	return p
}

func readEnds(t *testing.T, f Fixture) {
	f.put(t, "file", "0123456789")
	file, _ := mustOpen(t, f.Remote, "file", flagsRead)
	mustRead(t, file, 0, "0123456789")
	mustRead(t, file, 3, "34")
	mustRead(t, file, 9, "9")
	mustRead(t, file, 5, "")
	mustEnd(t, file, 0, "0123456789")
	mustEnd(t, file, 7, "789")
	mustEnd(t, file, 10, "")
	mustEnd(t, file, 11, "")
	mustEnd(t, file, 1<<40, "")
}

func readEmpty(t *testing.T, f Fixture) {
	f.put(t, "file", "")
	file, a := mustOpen(t, f.Remote, "file", flagsRead)
	if a.Size != 0 {
		t.Errorf("size %d", a.Size)
	}
	mustEnd(t, file, 0, "")
	mustEnd(t, file, 5, "")
}

func readLarge(t *testing.T, f Fixture) {
	want := pattern(9<<20 + 12345)
	f.put(t, "file", string(want))
	file, _ := mustOpen(t, f.Remote, "file", flagsRead)
	got := make([]byte, len(want))
	if n, err := file.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the whole: %d bytes, %v, identical: %v", n, err, bytes.Equal(got, want))
	}
	got = make([]byte, 5<<20)
	if n, err := file.ReadAt(t.Context(), got, 7<<20+1); err != io.EOF || !bytes.Equal(got[:n], want[7<<20+1:]) {
		t.Errorf("across the end: %d bytes, %v", n, err)
	}
	for _, size := range []int{1, 4096, 32768, 261120, 261121, 1 << 20} {
		got := make([]byte, size)
		off := 1<<20 - 1
		if n, err := file.ReadAt(t.Context(), got, int64(off)); err != nil || !bytes.Equal(got, want[off:off+size]) {
			t.Errorf("%d bytes: got %d, %v", size, n, err)
		}
	}
}

func readSparse(t *testing.T, f Fixture) {
	f.put(t, "file", "")
	disk, err := os.OpenFile(f.disk("file"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = disk.WriteAt([]byte("mark"), 5<<30)
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		return // this filesystem has no such files
	}
	file, a := mustOpen(t, f.Remote, "file", flagsWrite)
	if a.Size != 5<<30+4 {
		t.Errorf("size %d, want 5 GiB and 4", a.Size)
	}
	mustRead(t, file, 4<<30-8, strings.Repeat("\x00", 16))
	mustEnd(t, file, 5<<30-4, "\x00\x00\x00\x00mark")
	mustWrite(t, file, "across", 4<<30-3)
	mustFlush(t, file)
	mustRead(t, file, 4<<30-4, "\x00across\x00")
}

func readTogether(t *testing.T, f Fixture) {
	want := pattern(3 << 20)
	f.put(t, "file", string(want))
	file, _ := mustOpen(t, f.Remote, "file", flagsRead)
	each(t, 8, func(i int) error {
		got := make([]byte, 100_000)
		for off := i * 1000; off+len(got) <= len(want); off += 300_000 {
			if _, err := file.ReadAt(t.Context(), got, int64(off)); err != nil {
				return err
			}
			if !bytes.Equal(got, want[off:off+len(got)]) {
				return fmt.Errorf("other bytes at %d", off)
			}
		}
		return nil
	})
}

func flushBrings(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, "data", 0)
	a := mustFlush(t, file)
	f.holds(t, "file", "data")
	if st := f.stat(t, "file"); a.Size != 4 || a.Mtime != st.Mtim.Sec || a.Mode != st.Mode {
		t.Errorf("Flush: %+v, want %+v", a, st)
	}
	if a := mustFlush(t, file); a.Size != 4 {
		t.Errorf("Flush of nothing: size %d, want 4", a.Size)
	}
}

func syncBrings(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, "data", 0)
	if a, err := file.Sync(t.Context()); err != nil || a.Size != 4 {
		t.Errorf("Sync: size %d, %v", a.Size, err)
	}
	f.holds(t, "file", "data")
}

func closeBrings(t *testing.T, f Fixture) {
	want := string(pattern(2<<20 + 1))
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, want, 0)
	if err := file.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.holds(t, "file", want)
	if a := f.mustAttr(t, "file"); a.Size != int64(len(want)) {
		t.Errorf("Lstat afterwards: size %d, want %d", a.Size, len(want))
	}
}

func writeTakes(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	want := pattern(1 << 20)
	buf := bytes.Clone(want)
	if _, err := file.WriteAt(t.Context(), buf, 0); err != nil {
		t.Fatal(err)
	}
	clear(buf)
	mustFlush(t, file)
	f.holds(t, "file", string(want))
}

func writeSmall(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	want := pattern(300_000)
	for off := 0; off < len(want); off += 777 {
		mustWrite(t, file, string(want[off:min(off+777, len(want))]), int64(off))
	}
	mustFlush(t, file)
	f.holds(t, "file", string(want))
}

func writeOrder(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	want := pattern(10 * 4096)
	for _, i := range []int{9, 0, 5, 1, 4, 2, 8, 3, 7, 6} {
		mustWrite(t, file, strings.Repeat("?", 4096), int64(i*4096))
		mustWrite(t, file, string(want[i*4096:(i+1)*4096]), int64(i*4096))
	}
	for i := range 100 {
		mustWrite(t, file, fmt.Sprintf("%03d", i), 5)
	}
	copy(want[5:], "099")
	mustRead(t, file, 0, string(want))
	mustFlush(t, file)
	f.holds(t, "file", string(want))
}

func writeAppends(t *testing.T, f Fixture) {
	f.put(t, "file", "one ")
	file, a := mustOpen(t, f.Remote, "file", remote.FlagWrite)
	mustWrite(t, file, "two ", a.Size)
	mustWrite(t, file, "three", a.Size+4)
	mustFlush(t, file)
	f.holds(t, "file", "one two three")
}

func writeGap(t *testing.T, f Fixture) {
	file, _ := mustOpen(t, f.Remote, "file", flagsNew)
	mustWrite(t, file, "end", 100_000)
	mustRead(t, file, 99_990, strings.Repeat("\x00", 10)+"end")
	mustFlush(t, file)
	f.holds(t, "file", strings.Repeat("\x00", 100_000)+"end")
}

func writeSeen(t *testing.T, f Fixture) {
	f.put(t, "file", "0123456789")
	writer, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	reader, _ := mustOpen(t, f.Remote, "file", flagsRead)
	mustRead(t, reader, 0, "0123456789")
	for i := range 20 {
		data := fmt.Sprintf("<%04d>", i)
		mustWrite(t, writer, data, int64(i*3))
		mustRead(t, reader, int64(i*3), data)
		mustEnd(t, reader, int64(i*3+1), data[1:]+"0123456789"[min(i*3+6, 10):])
	}
	late, _ := mustOpen(t, f.Remote, "file", flagsRead)
	mustRead(t, late, 57, "<0019>")
	other, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	mustWrite(t, other, "XX", 57)
	mustRead(t, writer, 57, "XX019>")
}

func writeCounts(t *testing.T, f Fixture) {
	f.put(t, "file", "0123456789")
	file, _ := mustOpen(t, f.Remote, "file", flagsWrite)
	mustWrite(t, file, "abc", 20)
	if a := f.mustAttr(t, "file"); a.Size != 23 || a.Mtime == longAgo {
		t.Errorf("Lstat: size %d mtime %d, want 23 and now", a.Size, a.Mtime)
	}
	if a, err := f.Remote.Stat(t.Context(), "file"); err != nil || a.Size != 23 {
		t.Errorf("Stat: size %d, %v, want 23", a.Size, err)
	}
	if a, err := file.Stat(t.Context()); err != nil || a.Size != 23 || a.Mtime == longAgo {
		t.Errorf("File.Stat: size %d mtime %d, %v, want 23 and now", a.Size, a.Mtime, err)
	}
	if _, a := mustOpen(t, f.Remote, "file", flagsRead); a.Size != 23 {
		t.Errorf("Open: size %d, want 23", a.Size)
	}
	mustWrite(t, file, "abc", 0)
	if a := f.mustAttr(t, "file"); a.Size != 23 {
		t.Errorf("Lstat after a write inside: size %d, want 23", a.Size)
	}
}

// /dev/full takes no byte, as a full disk.
func writeFails(t *testing.T, f Fixture) {
	if _, err := os.Stat("/dev/full"); err != nil || !f.FollowsOut {
		return
	}
	f.symlink(t, "/dev/full", "full")
	file, _, err := f.Remote.Open(t.Context(), "full", remote.FlagWrite, 0)
	if err != nil {
		return // told early enough
	}
	_, err = file.WriteAt(t.Context(), []byte("data"), 0)
	if err == nil {
		_, err = file.Flush(t.Context())
	}
	if err == nil {
		t.Error("neither WriteAt nor Flush told of the error")
	}
	if err := file.Close(t.Context()); err != nil {
		t.Errorf("Close tells it again: %v", err)
	}
}
