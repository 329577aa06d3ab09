package sync

import (
	"context"
	"io"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

type shortFile struct{ remote.File }

func (shortFile) ReadAt(context.Context, []byte, int64) (int, error) { return 0, io.EOF }

// lateFile is a File as the pool's: it returns when ctx ends, and its data still comes.
type lateFile struct {
	remote.File
	p []byte
}

func (l *lateFile) ReadAt(ctx context.Context, p []byte, _ int64) (int, error) {
	l.p = p
	<-ctx.Done()
	return 0, ctx.Err()
}

// A buffer into which data may still come is nobody else's.
func TestBuffersOfReadsThatWereGivenUp(t *testing.T) {
	for range 20 {
		s := &stream{buffers: &buffers{}, limit: &limiter{}}
		late := &lateFile{}
		if same, err := s.same(t.Context(), end{shortFile{}, Local}, end{late, Remote}, 0, piece); same || err == nil {
			t.Fatal(same, err)
		}
		for range 4 {
			if b := s.buffers.get(piece); &b[0] == &late.p[0] {
				t.Fatal("a buffer that a read may still write to was given out")
			}
		}
	}
}
