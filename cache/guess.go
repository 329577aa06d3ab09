package cache

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/remotemount/remotemount/pool/remote"
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

// A guess tells how far to look ahead of a program, by how much of it was used of
// late. There is one for folders and one for small files. Guarded by tree.mu.
type guess struct {
	wants   func(record) bool // what in a folder it is about
	score   [orders]int
	credit  int // how many to get ahead; doubles up to
	ceiling int

	steps, won, lost int     // made in order, and got ahead of use and in vain, since
	since            instant // then
}

const (
	firstCredit = 8
	mostCredit  = 64
	stride      = 3 // how far a program may go at once and still be in order
	jitter      = 8 // how far back it may go, in an order that is
	sure        = 4 // by its score, of the most:
	mostScore   = 8
	mostSorted  = 20_000
)

func newGuess(wants func(record) bool) guess {
	return guess{wants: wants, credit: firstCredit, ceiling: mostCredit}
}

// paid notes that something got ahead was asked for.
func (g *guess) paid() {
	g.won++
	g.credit = max(g.credit, min(2*g.credit, g.ceiling), 1)
}

// failed notes that it was not, until it was too old or of no use. One that fails so
// much more than it wins is lowered at once: a program that opens files here and there
// comes to as many in the time of one judgement.
func (g *guess) failed() {
	if g.lost++; g.lost >= 4*firstCredit && g.lost > 4*g.won {
		g.ceiling = min(g.credit, g.ceiling) / 2
		g.credit, g.won, g.lost = g.ceiling, 0, 1
	}
}

// judge sets the ceiling, once in the time for which what is got ahead lives: to
// less than what a program comes to in that time, when some of it was too old before
// it was used, or when the program has become faster. A slow one needs little, one
// that jumps nothing. After a rest everything begins anew.
func (g *guess) judge(now, life instant) {
	if now-g.since < life {
		return
	}
	fits := min(g.steps*3/4, mostCredit)
	switch {
	case g.lost > 0:
		g.ceiling = fits
	case g.steps == 0:
		g.credit, g.ceiling = firstCredit, mostCredit
	default:
		g.ceiling = max(g.ceiling, fits)
	}
	g.credit = min(g.credit, g.ceiling)
	g.steps, g.won, g.lost, g.since = 0, 0, 0, now
}

// step notes that a program went on in order. One that does so for long is worth
// another try.
func (g *guess) step() {
	g.steps++
	if g.credit == 0 && g.steps%4 == 0 {
		g.credit = 1
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
		return step{name, t.inode(remote.Join(dir, name))}
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

// A move is what a visit was to the one before.
type move uint8

const (
	away   move = iota
	onward      // in order
	around      // a little back: several threads share the way
)

// visit learns from a program's going to name. A folder entered for the first time
// is judged by the best order alone, so that nothing is sorted for one visit.
func (t *tree) visit(g *guess, dir string, f *folder, name string) move {
	s := f.walk(g)
	last := s.last
	if last == name || len(f.order) == 0 {
		return away
	}
	f.last, t.latest = max(f.last, t.clock()), max(t.latest, t.clock()) // it is of use
	best := g.best()
	if last == "" {
		s.last = name
		if place(t.sequence(g, dir, f, best), t.step(dir, f, best, name)) < stride {
			return onward
		}
		return away
	}
	if g.score[best] >= sure {
		if d := t.distance(g, dir, f, best, last, name); d < 0 && d >= -jitter {
			return around
		}
	}
	s.last = name
	return t.learn(g, dir, f, last, name)
}

// learn notes by which orders name comes after last.
func (t *tree) learn(g *guess, dir string, f *folder, last, name string) move {
	m := away
	for o := range orders {
		if o == byInode && t.inode == nil || o != asListed && len(f.order) > mostSorted {
			continue
		}
		if d := t.distance(g, dir, f, o, last, name); d >= 1 && d <= stride {
			g.score[o] = min(g.score[o]+1, mostScore)
			m = onward
		} else {
			g.score[o] /= 2
		}
	}
	return m
}

// distance is how many steps it is from one name to another.
func (t *tree) distance(g *guess, dir string, f *folder, o order, from, to string) int {
	steps := t.sequence(g, dir, f, o)
	return place(steps, t.step(dir, f, o, to)) - place(steps, t.step(dir, f, o, from))
}

// A route is what a program that goes through a tree, each folder before what is in
// it, comes to next. A listing that is over is still good for a guess.
type route struct {
	t       *tree
	folders []string
	most    int
}

// after gives up to n folders that come after path.
func (t *tree) after(path string, n int) []string {
	r := &route{t: t, most: n}
	r.below(path)
	for p := path; p != "." && len(r.folders) < n; p, _ = remote.Split(p) {
		dir, name := remote.Split(p)
		f, ok := t.folders.Get(dir) // and so it stays while the program is below it
		if !ok {
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
	if f, ok := r.t.folders.Peek(dir); ok {
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
		p := remote.Join(dir, s.name)
		r.folders = append(r.folders, p)
		r.below(p)
	}
}
