package sync

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/remotemount/remotemount/pool/remote"
)

// Folder plans everything about one folder from its two listings, in the order
// of names. The plan is made name by name as it is gone through: for a large folder
// all of it would take twice what the listings do.
func (p Planner) Folder(dir string, here, there []Named) iter.Seq[Action] {
	pairs := merge(here, there)
	clash := map[string]bool(nil)
	if p.Mode == TwoWay {
		clash = caseClashes(pairs)
	}
	return func(yield func(Action) bool) {
		for q := range pairs {
			a := p.Decide(remote.Join(dir, q.name), q.here, q.there, Unread)
			if clash[q.name] {
				a.Op, a.Why = OpConflict, WhyCase
			}
			if !yield(a) {
				return
			}
		}
	}
}

type pair struct {
	name        string
	here, there Item
}

func (q pair) oneSided() bool { return q.here.Kind == Absent || q.there.Kind == Absent }

// merge joins two listings by name. A name that a hostile listing gives twice
// counts once.
func merge(here, there []Named) iter.Seq[pair] {
	byName := func(a, b Named) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortStableFunc(here, byName)
	slices.SortStableFunc(there, byName)
	return func(yield func(pair) bool) {
		here, there := here, there
		for len(here) > 0 || len(there) > 0 {
			q := pair{name: least(here, there)}
			q.here, here = take(here, q.name)
			q.there, there = take(there, q.name)
			if !yield(q) {
				return
			}
		}
	}
}

func least(a, b []Named) string {
	if len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name {
		return a[0].Name
	}
	return b[0].Name
}

func take(list []Named, name string) (Item, []Named) {
	var i Item
	for len(list) > 0 && list[0].Name == name {
		i, list = list[0].Item, list[1:]
	}
	return i, list
}

// caseClashes finds the names on one side only that differ from another name in
// case alone: copied to a filesystem that folds case, one would go over the
// other. Names that both sides have already are no danger.
func caseClashes(pairs iter.Seq[pair]) map[string]bool {
	names, oneSided := 0, false
	for q := range pairs {
		names++
		oneSided = oneSided || q.oneSided()
	}
	if !oneSided {
		return nil
	}
	folded := make(map[string]int, names)
	for q := range pairs {
		folded[foldCase(q.name)]++
	}
	clash := map[string]bool{}
	for q := range pairs {
		if q.oneSided() && folded[foldCase(q.name)] > 1 {
			clash[q.name] = true
		}
	}
	return clash
}

func foldCase(s string) string { return strings.ToLower(strings.ToUpper(s)) }
