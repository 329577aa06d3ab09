package remote

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// What the index finds below a path is what a look at all of them finds, whatever was
// put in and taken out before.
func TestIndexBelow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() string {
		parts := make([]string, 1+rng.IntN(3))
		for i := range parts {
			parts[i] = string(rune('a' + rng.IntN(3)))
		}
		return strings.Join(parts, "/")
	}
	x, o := NewIndex[*int](), new(int)
	for range 5000 {
		if path := random(); rng.IntN(2) == 0 {
			x.Put(path, o)
		} else {
			x.Remove(path)
		}
		path := random()
		var want []string
		for at := range x.At {
			if at == path || strings.HasPrefix(at, path+"/") {
				want = append(want, at)
			}
		}
		got := x.Below(path)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("below %s are %v, want %v", path, got, want)
		}
		if all := x.Below("."); len(all) != len(x.At) {
			t.Fatalf("below the root are %d of %d", len(all), len(x.At))
		}
	}
	for path := range x.At {
		x.Remove(path)
	}
	if len(x.Inside) > 0 {
		t.Errorf("nothing is there, and folders have %v", x.Inside)
	}
}
