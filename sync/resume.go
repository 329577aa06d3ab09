package sync

import (
	"context"

	"github.com/remotemount/remotemount/pool"
)

// Going on with a partial copy. Its name says that it is of this version of the
// source (size and mtime). The last bytes before its end may be a hole, as long
// as what can have been under way at once, here or in the pool (semantics: 16
// MiB); they are written again. Of the rest, the beginning, the end and some
// places between are read and compared, or all of it when contents are what is
// compared anyway.

const (
	unsure  = pieces * piece // bytes before the end that may not be what they should
	samples = 8
	sample  = 64 << 10
)

// resume opens the partial copy an earlier run has left and tells from where it
// is to be written. Anything unexpected is an error, and it is made anew.
func (t *transfer) resume(ctx context.Context) (from int64, err error) {
	out, attr, err := t.dst.Open(ctx, t.tmp, pool.FlagRead|pool.FlagWrite, 0)
	if err != nil {
		return 0, err
	}
	from = max(0, attr.Size-unsure) / piece * piece
	good := false
	if attr.IsRegular() && from > 0 && attr.Size <= t.attr.Size {
		good, err = t.checkPartial(ctx, out, from)
	}
	if err != nil || !good {
		return 0, firstError(err, out.Close(ctx), errDiffer)
	}
	t.out = out
	t.journal.count(func(r *Result) *int64 { return &r.Resumed }, from)
	return from, nil
}

func (t *transfer) checkPartial(ctx context.Context, out pool.File, upTo int64) (bool, error) {
	if t.Options.compare() == CompareHash {
		return t.stream.same(ctx, t.in, out, 0, upTo)
	}
	same, err := t.stream.same(ctx, t.in, out, upTo-piece, upTo)
	for i := int64(0); i < samples && same && err == nil; i++ {
		off := (upTo - piece) / samples * i
		same, err = t.stream.same(ctx, t.in, out, off, min(off+sample, upTo))
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
