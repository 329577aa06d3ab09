package cache

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// An order is a sequence in which programs go through a folder. Which one it is is
// learned from what they do.
type order uint8

const (
	asListed order = iota // find, du, tar
	byName                // ls -R, git, a shell's glob
	byInode               // cp -r, and fts in large folders
	orders
)

// A guess tells how far to look ahead of a program, by how often that paid lately.
// There is one for folders and one for small files. Guarded by tree.mu.
type guess struct {
	wants   func(record) bool // what in a folder it is about
	credit  int               // how many to get ahead
	ceiling int               // up to which the credit doubles
	score   [orders]int
	steps   int // made in order while there was little credit
}

const (
	firstCredit = 8
	mostCredit  = 64
	stride      = 3 // how many a program may leave out and still be in order
	mostSorted  = 20_000
)

func newGuess(wants func(record) bool) guess {
	return guess{wants: wants, credit: firstCredit, ceiling: mostCredit}
}

// paid notes that something got ahead was asked for: the credit doubles, and goes
// up by one where more was too much before.
func (g *guess) paid() {
	if g.credit < g.ceiling {
		g.credit = min(max(2*g.credit, 1), g.ceiling)
		return
	}
	g.ceiling = min(g.ceiling+1, mostCredit)
	g.credit = g.ceiling
}

// failed notes that it was not: a slow program needs less, one that jumps nothing.
func (g *guess) failed() {
	g.credit = max(0, g.credit-1-g.credit/8)
	g.ceiling = max(1, g.credit)
}

// step notes that a program went on in order. One that does so for long is worth
// another try.
func (g *guess) step() {
	if g.credit >= firstCredit {
		return
	}
	if g.steps++; g.steps%4 == 0 {
		g.credit++
	}
}

func (g *guess) best() order {
	best := asListed
	for o := range orders {
		if g.score[o] > g.score[best] {
			best = o
		}
	}
	return best
}

// A step is a name with what it is ordered by.
type step struct {
	name string
	key  uint64
}

func compareSteps(a, b step) int {
	return cmp.Or(cmp.Compare(a.key, b.key), strings.Compare(a.name, b.name))
}

// sequences holds what is in a folder for one guess, in each order once it was
// needed.
type sequences struct {
	last   string // where the program is
	sorted [orders][]step
}

// sequence gives the steps of a folder in an order.
func (t *tree) sequence(g *guess, dir string, f *folder, o order) []step {
	s := f.walk(g)
	if s.sorted[o] != nil {
		return s.sorted[o]
	}
	steps := make([]step, 0, len(f.order))
	for _, name := range f.order {
		if r := f.names[name]; r.state == present && g.wants(r) {
			steps = append(steps, t.step(dir, f, o, name))
		}
	}
	if o != asListed {
		slices.SortFunc(steps, compareSteps)
	}
	s.sorted[o] = steps
	return steps
}

func (t *tree) step(dir string, f *folder, o order, name string) step {
	switch o {
	case asListed:
		return step{name, uint64(f.names[name].pos)}
	case byInode:
		return step{name, t.inode(join(dir, name))}
	}
	return step{name, 0}
}

// place is where name is, or would be, in a sequence.
func place(steps []step, at step) int {
	return sort.Search(len(steps), func(i int) bool { return compareSteps(steps[i], at) >= 0 })
}

func (f *folder) walk(g *guess) *sequences {
	if f.walks == nil {
		f.walks = make(map[*guess]*sequences)
	}
	s := f.walks[g]
	if s == nil {
		s = &sequences{}
		f.walks[g] = s
	}
	return s
}

// visit learns from a program's going to name, and reports whether that was in
// order. A folder entered for the first time is judged by the best order alone, so
// that nothing is sorted for one visit.
func (t *tree) visit(g *guess, dir string, f *folder, name string) bool {
	s := f.walk(g)
	last := s.last
	if last == name || f.listed <= t.clock() {
		return false
	}
	s.last = name
	if last == "" {
		o := g.best()
		return place(t.sequence(g, dir, f, o), t.step(dir, f, o, name)) < stride
	}
	inOrder := false
	for o := range orders {
		if o == byInode && t.inode == nil || o != asListed && len(f.order) > mostSorted {
			continue
		}
		steps := t.sequence(g, dir, f, o)
		d := place(steps, t.step(dir, f, o, name)) - place(steps, t.step(dir, f, o, last))
		if d >= 1 && d <= stride {
			g.score[o] = min(g.score[o]+1, 8)
			inOrder = true
		} else {
			g.score[o] /= 2
		}
	}
	return inOrder
}

// A route is what a program that goes through a tree, each folder before what is in
// it, comes to next.
type route struct {
	t       *tree
	now     instant
	folders []string
	most    int
}

// after gives up to n folders that come after path.
func (t *tree) after(path string, n int) []string {
	r := &route{t: t, now: t.clock(), most: n}
	r.below(path)
	for p := path; p != "." && len(r.folders) < n; p, _ = split(p) {
		dir, name := split(p)
		f, ok := t.folders.Peek(dir)
		if !ok || f.listed <= r.now {
			continue
		}
		o := t.walks.best()
		steps := t.sequence(&t.walks, dir, f, o)
		i := place(steps, t.step(dir, f, o, name))
		if i < len(steps) && steps[i].name == name {
			i++
		}
		r.along(dir, f, steps[i:])
	}
	return r.folders
}

func (r *route) below(dir string) {
	if f, ok := r.t.folders.Peek(dir); ok && f.listed > r.now {
		r.along(dir, f, r.t.sequence(&r.t.walks, dir, f, r.t.walks.best()))
	}
}

func (r *route) along(dir string, f *folder, steps []step) {
	for _, s := range steps {
		if len(r.folders) >= r.most {
			return
		}
		if f.names[s.name].state != present {
			continue
		}
		p := join(dir, s.name)
		r.folders = append(r.folders, p)
		r.below(p)
	}
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
