package sync

import (
	"context"

	"github.com/remotemount/remotemount/pool/remote"
)

// Going on with a part. Its name says that it is of this version of the source (size
// and mtime). The last bytes before its end may be a hole, as long as what can have
// been under way at once, here or in the pool (semantics: 16 MiB); they are written
// again. The rest is read and compared: all of it where a source is to be removed,
// where the part lies here and reading it costs little, and where contents are what is
// compared anyway; else the beginning, the end and some places between.

const (
	unsure  = pieces * piece // bytes before the end that may not be what they should
	samples = 8
	sample  = 64 << 10
)

// resume takes over the part that an earlier run has left, under a name of this run,
// and tells from where it is to be written. Anything unexpected is an error, and it is
// made anew.
func (t *transfer) resume(ctx context.Context, part string) (from int64, err error) {
	if err := t.dst.Rename(ctx, part, t.tmp, true); err != nil {
		return 0, err
	}
	out, attr, err := t.dst.Open(ctx, t.tmp, remote.FlagRead|remote.FlagWrite|remote.FlagInOrder, 0)
	if err != nil {
		return 0, err
	}
	from = max(0, attr.Size-unsure) / piece * piece
	good := false
	if attr.IsRegular() && from > 0 && attr.Size <= t.attr.Size {
		good, err = t.checkPart(ctx, out, from)
	}
	if err != nil || !good {
		return 0, firstError(err, out.Close(ctx), errDiffer)
	}
	t.out, t.held = out, attr.Size
	t.journal.count(func(r *Result) *int64 { return &r.Resumed }, from)
	return from, nil
}

func (t *transfer) checkPart(ctx context.Context, out remote.File, upTo int64) (bool, error) {
	in, part := end{t.in, t.a.From}, end{out, t.a.From.Other()}
	if t.a.Delete || t.a.From == Remote || t.Options.compare() == CompareHash {
		return t.stream.same(ctx, in, part, 0, upTo)
	}
	same, err := t.stream.same(ctx, in, part, upTo-piece, upTo)
	for i := int64(0); i < samples && same && err == nil; i++ {
		off := (upTo - piece) / samples * i
		same, err = t.stream.same(ctx, in, part, off, min(off+sample, upTo))
	}
	return same, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
