package cache

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// zeroes is a remote of one file that costs nothing to read.
type zeroes struct {
	remote.Remote
	size int64
}

func (z *zeroes) Open(context.Context, string, remote.OpenFlag, uint32) (remote.File, remote.Attr, error) {
	attr, _ := z.Lstat(context.Background(), "")
	return &zeroFile{size: z.size}, attr, nil
}

func (z *zeroes) Lstat(context.Context, string) (remote.Attr, error) {
	return remote.Attr{Mode: syscall.S_IFREG | 0o644, Size: z.size, Nlink: 1}, nil
}

type zeroFile struct {
	remote.File
	size int64
}

func (z *zeroFile) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := z.size - off; n < int64(len(p)) {
		return int(max(n, 0)), io.EOF
	}
	return len(p), nil
}

func (z *zeroFile) StartReadAt(ctx context.Context, p []byte, off int64, _ bool, told func(n int, err error)) bool {
	told(z.ReadAt(ctx, p, off))
	return true
}

func (z *zeroFile) Close(context.Context) error { return nil }

func openZeroes(b *testing.B, size int64) (*Cache, *File) {
	b.Helper()
	c := New(&zeroes{size: size}, Config{AttrTimeout: time.Hour})
	f, _, err := c.Open(b.Context(), "f", remote.FlagRead, 0)
	check(b, err)
	b.Cleanup(func() {
		check(b, f.Close(context.Background()))
		check(b, c.Close())
	})
	return c, f.(*File)
}

// A read of what is held, as fsnode makes it.
func BenchmarkBorrowHit(b *testing.B) {
	_, f := openZeroes(b, 256<<10)
	b.ReportAllocs()
	for b.Loop() {
		_, release, err := f.Borrow(b.Context(), 64<<10, 128<<10)
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}

func BenchmarkReadAtHit(b *testing.B) {
	_, f := openZeroes(b, 256<<10)
	p := make([]byte, 128<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.ReadAt(b.Context(), p, 64<<10); err != nil {
			b.Fatal(err)
		}
	}
}

// What the window costs, fetches included.
func BenchmarkSequential(b *testing.B) {
	for name, chunk := range map[string]int{"128KiB": 128 << 10, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			const size = 1 << 50
			_, f := openZeroes(b, size)
			b.SetBytes(int64(chunk))
			b.ReportAllocs()
			off := int64(0)
			for b.Loop() {
				_, release, err := f.Borrow(b.Context(), off, chunk)
				if err != nil {
					b.Fatal(err)
				}
				release()
				off += int64(chunk)
			}
		})
	}
}

func BenchmarkRandom4KiB(b *testing.B) {
	_, f := openZeroes(b, 1<<40)
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		off = (off*7 + 7919*4096) & (1<<40 - 4096)
		_, release, err := f.Borrow(b.Context(), off, 4096)
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}

func BenchmarkLstatHit(b *testing.B) {
	c, _ := openZeroes(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Lstat(b.Context(), "f"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteAt(b *testing.B) {
	c := New(&sink{}, Config{AttrTimeout: time.Hour})
	f, _, err := c.Open(b.Context(), "f", flagNew, 0o644)
	check(b, err)
	p := make([]byte, 128<<10)
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		if _, err := f.WriteAt(b.Context(), p, off); err != nil {
			b.Fatal(err)
		}
		off += int64(len(p))
	}
	check(b, f.Close(context.Background()))
	check(b, c.Close())
}

// A sink is a remote of one file that swallows what is written.
type sink struct{ remote.Remote }

func (s *sink) Open(context.Context, string, remote.OpenFlag, uint32) (remote.File, remote.Attr, error) {
	return &sinkFile{}, remote.Attr{Mode: syscall.S_IFREG | 0o644, Nlink: 1}, nil
}

type sinkFile struct{ remote.File }

func (*sinkFile) WriteAt(_ context.Context, p []byte, _ int64) (int, error) { return len(p), nil }
func (*sinkFile) Close(context.Context) error                               { return nil }
