package remote

import (
	"fmt"
	"maps"
	"testing"
)

func TestLinksAreBounded(t *testing.T) {
	l := make(Links)
	for i := range MostLinked {
		l.Add(fmt.Sprint(i), fmt.Sprint(i, "b"))
	}
	if len(l) > MostLinked {
		t.Errorf("%d names", len(l))
	}
	for p := range maps.Clone(l) {
		l.Remove(p)
	}
	if len(l) != 0 {
		t.Errorf("%d names are left", len(l))
	}
}
