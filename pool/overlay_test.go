package pool

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
)

// A READ that is not answered takes its own length once more, however often what it asks
// for is written meanwhile, and gets what was written last.
func TestOverlayIsBounded(t *testing.T) {
	f := openFile(unreachable(t, Config{}))
	const size = 1000
	f.gate.RLock()
	r := f.newReading(context.Background(), make([]byte, size), 500, func(int, error) {})
	rng := rand.New(rand.NewPCG(1, 2))
	want, file := make([]byte, size), make([]byte, 2000)
	for range 10_000 {
		off := rng.IntN(len(file))
		data := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(min(9, len(file)-off)))
		copy(file[off:], data)
		r.cover(data, int64(off))
		if len(r.over) > size || len(r.covered) > size/2 {
			t.Fatalf("%d bytes, %d stretches", len(r.over), len(r.covered))
		}
		last := -1
		for _, c := range r.covered {
			if c.from <= last || c.to <= c.from {
				t.Fatalf("not in order and apart: %v", r.covered)
			}
			last = c.to
		}
	}
	copy(want, file[500:])
	if !r.isCovered() {
		t.Error("all was written, and is not covered")
	}
	for _, pt := range r.parts {
		pt.got, pt.err = len(pt.p), nil
	}
	if n, err := r.result(); n != size || err != nil || !slices.Equal(r.p, want) {
		t.Errorf("%d bytes, %v, as written last: %v", n, err, slices.Equal(r.p, want))
	}
	r.end(0, nil)
}
