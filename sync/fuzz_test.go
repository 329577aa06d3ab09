package sync

import (
	"strings"
	"testing"
	"time"
)

// FuzzFilter: a pattern is refused or chooses, and choosing ends.
func FuzzFilter(f *testing.F) {
	f.Add("*.o\n!keep.o\n/build/\n# x\n\\#y\n**/a/**\n[a-z]?\n{a,b}", "a/b/c.o")
	f.Add("a\\", "a")
	f.Add("**/**/**/**/**/*a*a*a*a*b", strings.Repeat("a/", 30))
	f.Fuzz(func(t *testing.T, patterns, path string) {
		if len(patterns) > 200 || len(path) > 200 {
			return // the time for one may grow with the product
		}
		var filter Filter
		if filter.ExcludeFrom(strings.NewReader(patterns)) != nil {
			return
		}
		if first := filter.Keeps(path, true); filter.Keeps(path, true) != first {
			t.Fatal("it depends on chance")
		}
		filter.Keeps(path, false)
	})
}

// FuzzPlan: whatever the two sides have, a push leaves the local side alone, a pull
// the remote one, two-way removes nothing, and a folder is never replaced.
func FuzzPlan(f *testing.F) {
	f.Add(uint8(0), uint8(1), int64(10), int64(100), "x", uint8(2), int64(20), int64(200), "y", uint8(0), true)
	f.Add(uint8(2), uint8(3), int64(-1), int64(1<<62), "../..", uint8(1), int64(1<<62), int64(-1<<62), "", uint8(2), false)
	f.Fuzz(func(t *testing.T, mode, kindL uint8, sizeL, timeL int64, linkL string, kindR uint8, sizeR, timeR int64, linkR string, content uint8, del bool) {
		const kinds = uint8(Special) + 1
		local := Item{Kind: Kind(kindL % kinds), Size: sizeL, Mtime: timeL, Link: linkL}
		remote := Item{Kind: Kind(kindR % kinds), Size: sizeR, Mtime: timeR, Link: linkR}
		p := Planner{Now: time.Unix(1_000_000, 0), Options: Options{Mode: Mode(mode % 3), Compare: Compare(mode / 3 % 4), Delete: del && mode%3 != uint8(TwoWay)}}
		a := p.Decide("a", local, remote, Content(content%3))
		changes := a.Op == OpCopy || a.Op == OpLink || a.Op == OpFolder || a.Op == OpAttr
		switch {
		case p.Mode == Push && changes && a.From != Local, p.Mode == Pull && changes && a.From != Remote:
			t.Fatalf("%v from %v in mode %v", a.Op, a.From, p.Mode)
		case p.Mode == TwoWay && (a.Delete || a.Op == OpDelete):
			t.Fatalf("two-way removes: %+v", a)
		case (a.Op == OpCopy || a.Op == OpLink) && a.Target.Kind == Folder:
			t.Fatalf("a folder is replaced: %+v", a)
		case changes && a.Source.Kind == Absent:
			t.Fatalf("nothing is copied: %+v", a)
		}
	})
}
