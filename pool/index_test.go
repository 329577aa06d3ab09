package pool

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
	x, o := newIndex[*object](), &object{}
	for range 5000 {
		if path := random(); rng.IntN(2) == 0 {
			x.put(path, o)
		} else {
			x.remove(path)
		}
		path := random()
		var want []string
		for at := range x.at {
			if at == path || strings.HasPrefix(at, path+"/") {
				want = append(want, at)
			}
		}
		got := x.below(path)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("below %s are %v, want %v", path, got, want)
		}
		if all := x.below("."); len(all) != len(x.at) {
			t.Fatalf("below the root are %d of %d", len(all), len(x.at))
		}
	}
	for path := range x.at {
		x.remove(path)
	}
	if len(x.inside) > 0 {
		t.Errorf("nothing is there, and folders have %v", x.inside)
	}
}
