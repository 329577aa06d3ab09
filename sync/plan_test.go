package sync

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// states are what a side may have under a name. A letter in the tables below is
// a state; "file" and itself is the case of equal files.
var states = []struct {
	letter string
	item   Item
}{
	{"-", Item{}},
	{"f", Item{Kind: File, Size: 10, Mtime: 100, Perm: 0o644}}, // file
	{"n", Item{Kind: File, Size: 10, Mtime: 200, Perm: 0o644}}, // newer
	{"o", Item{Kind: File, Size: 10, Mtime: 50, Perm: 0o644}},  // older
	{"b", Item{Kind: File, Size: 20, Mtime: 100, Perm: 0o644}}, // other size, same time
	{"B", Item{Kind: File, Size: 20, Mtime: 200, Perm: 0o644}}, // other size, newer
	{"d", Item{Kind: Folder, Mtime: 100, Perm: 0o755}},
	{"l", Item{Kind: Symlink, Mtime: 100, Perm: 0o777, Link: "to"}},
	{"s", Item{Kind: Special, Mtime: 100, Perm: 0o644}},
}

// The expected plans, by hand. A row is what is there locally, a column what is
// there remotely.
//
//	.  nothing to do            >  local goes to the remote
//	=  left alone, counted      <  remote comes here
//	s  skipped                  !  conflict
const (
	pushTable = `
		  - f n o b B d l s
		- . . . . . . . . .
		f > . > > > > ! > !
		n > > . > > > ! > !
		o > > > . > > ! > !
		b > > > > . > ! > !
		B > > > > > . ! > !
		d > ! ! ! ! ! . ! !
		l > > > > > > ! . !
		s s s s s s s s s s`
	pushSizeTable = `
		  - f n o b B d l s
		- . . . . . . . . .
		f > . . . > > ! > !
		n > . . . > > ! > !
		o > . . . > > ! > !
		b > > > > . . ! > !
		B > > > > . . ! > !
		d > ! ! ! ! ! . ! !
		l > > > > > > ! . !
		s s s s s s s s s s`
	pushUpdateTable = `
		  - f n o b B d l s
		- . . . . . . . . .
		f > . s > > s ! > !
		n > > . > > > ! > !
		o > s s . s s ! s !
		b > > s > . s ! > !
		B > > > > > . ! > !
		d > ! ! ! ! ! . ! !
		l > > s > > s ! . !
		s s s s s s s s s s`
	pullTable = `
		  - f n o b B d l s
		- . < < < < < < < s
		f . . < < < < ! < s
		n . < . < < < ! < s
		o . < < . < < ! < s
		b . < < < . < ! < s
		B . < < < < . ! < s
		d . ! ! ! ! ! . ! s
		l . < < < < < ! . s
		s . ! ! ! ! ! ! ! s`
	twoWayTable = `
		  - f n o b B d l s
		- . < < < < < < < s
		f > . = = ! < ! ! !
		n > = . = > ! ! ! !
		o > = = . < < ! ! !
		b > ! < > . = ! ! !
		B > > ! > = . ! ! !
		d > ! ! ! ! ! . ! !
		l > ! ! ! ! ! ! . !
		s s ! ! ! ! ! ! ! .`
	twoWayMtimeTable = `
		  - f n o b B d l s
		- . < < < < < < < s
		f > . < > ! < ! ! !
		n > > . > > ! ! ! !
		o > < < . < < ! ! !
		b > ! < > . < ! ! !
		B > > ! > > . ! ! !
		d > ! ! ! ! ! . ! !
		l > ! ! ! ! ! ! . !
		s s ! ! ! ! ! ! ! .`
)

func TestPlanTables(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		table   string
	}{
		{"push", Options{Mode: Push}, pushTable},
		{"push by size", Options{Mode: Push, Compare: CompareSize}, pushSizeTable},
		{"push --update", Options{Mode: Push, Update: true}, pushUpdateTable},
		{"pull", Options{Mode: Pull}, pullTable},
		{"two-way", Options{Mode: TwoWay}, twoWayTable},
		{"two-way by mtime", Options{Mode: TwoWay, Compare: CompareMtime}, twoWayMtimeTable},
	} {
		t.Run(c.name, func(t *testing.T) { checkTable(t, c.options, c.table) })
	}
}

func checkTable(t *testing.T, o Options, table string) {
	p := Planner{Options: o, Now: time.Unix(1000, 0)}
	rows := strings.Split(strings.TrimSpace(table), "\n")[1:]
	if len(rows) != len(states) {
		t.Fatalf("%d rows", len(rows))
	}
	for i, row := range rows {
		cells := strings.Fields(row)
		if len(cells) != len(states)+1 || cells[0] != states[i].letter {
			t.Fatalf("row %q", row)
		}
		for j, want := range cells[1:] {
			local, remote := states[i], states[j]
			a := p.Decide("x", local.item, remote.item, Unread)
			if got := cell(a); got != want {
				t.Errorf("local %s, remote %s: %s (%v %q), want %s", local.letter, remote.letter, got, a.Op, a.Why, want)
			}
			if want == ">" && a.Source != local.item || want == "<" && a.Source != remote.item {
				t.Errorf("local %s, remote %s: wrong source", local.letter, remote.letter)
			}
		}
	}
}

// cell is an Action in the language of the tables. It checks that the operation
// fits what is copied.
func cell(a Action) string {
	arrow := map[Side]string{Local: ">", Remote: "<"}[a.From]
	fits := map[Kind]Op{File: OpCopy, Folder: OpFolder, Symlink: OpLink}
	switch a.Op {
	case OpNone:
		return "."
	case OpConflict:
		return "!"
	case OpSkip:
		if a.Why == WhyLeft {
			return "="
		}
		return "s"
	}
	if fits[a.Source.Kind] != a.Op {
		return "wrong operation " + a.Op.String()
	}
	return arrow
}

func file(size, mtime int64) Item { return Item{Kind: File, Size: size, Mtime: mtime, Perm: 0o644} }

func TestPlanByName(t *testing.T) {
	same, other := file(10, 100), file(10, 200)
	readOnly, setID := same, same
	readOnly.Perm, setID.Perm = 0o444, 0o4644
	owned := same
	owned.UID = 7
	link := Item{Kind: Symlink, Link: "a"}
	lower := Item{Kind: Symlink, Link: "b", Mtime: 5}
	push := func(change func(*Options)) Options {
		o := Options{Mode: Push}
		change(&o)
		return o
	}
	del := push(func(o *Options) { o.Delete = true })
	hash := push(func(o *Options) { o.Compare = CompareHash })
	delBySize := push(func(o *Options) { o.Delete, o.Compare = true, CompareSize })
	bothHash := Options{Mode: TwoWay, Compare: CompareHash}
	settle := push(func(o *Options) { o.Settle = 60 * time.Second })
	bounds := push(func(o *Options) { o.MinSize, o.MaxSize = 5, 15 })
	ages := push(func(o *Options) { o.Newer, o.Older = 950*time.Second, 850*time.Second })
	for _, c := range []struct {
		name          string
		options       Options
		local, remote Item
		content       Content
		op            Op
		why           Why
		delete        bool
	}{
		{"copy and delete", del, same, Item{}, Unread, OpCopy, WhyNew, true},
		{"copied earlier: read before its source goes", del, same, same, Unread, OpCompare, "", false},
		{"copied earlier, and equal", del, same, same, Equal, OpDelete, WhyAlike, true},
		{"of the same second, and another version", del, same, same, Different, OpCopy, WhyContent, true},
		{"link copied earlier, now deleted", del, link, link, Unread, OpDelete, WhyAlike, true},
		{"equal by size is read before its source goes", delBySize, same, other, Unread, OpCompare, "", false},
		{"equal by size and content: source goes", delBySize, same, other, Equal, OpDelete, WhyAlike, true},
		{"equal by size, other content: source stays", delBySize, same, other, Different, OpSkip, WhyUnverified, false},
		{"folders are not deleted", del, states[6].item, states[6].item, Unread, OpNone, "", false},
		{"mode differs, then deleted", del, readOnly, same, Equal, OpAttr, WhyAlike, true},
		{"mode differs", push(func(*Options) {}), readOnly, same, Unread, OpAttr, WhyAlike, false},
		{"set-id bits do not count", push(func(*Options) {}), setID, same, Unread, OpNone, "", false},
		{"set-id bits count with owners", push(func(o *Options) { o.Owner = true }), setID, same, Unread, OpAttr, WhyAlike, false},
		{"owner does not count", push(func(*Options) {}), owned, same, Unread, OpNone, "", false},
		{"owner counts when asked", push(func(o *Options) { o.Owner = true }), owned, same, Unread, OpAttr, WhyAlike, false},
		{"mode does not count both ways", Options{Mode: TwoWay}, readOnly, same, Unread, OpNone, "", false},
		{"hash: read first", hash, same, same, Unread, OpCompare, "", false},
		{"hash: other size needs no reading", hash, same, file(11, 100), Unread, OpCopy, WhySize, false},
		{"hash: equal", hash, same, same, Equal, OpNone, "", false},
		{"hash: equal, other time", hash, same, other, Equal, OpAttr, WhyAlike, false},
		{"hash: different at the same time", hash, same, same, Different, OpCopy, WhyContent, false},
		{"hash both ways: read first", bothHash, same, other, Unread, OpCompare, "", false},
		{"hash both ways: equal, other time", bothHash, same, other, Equal, OpNone, "", false},
		{"hash both ways: different", bothHash, other, same, Different, OpCopy, WhyNewer, false},
		{"hash both ways: different, same time", bothHash, same, same, Different, OpConflict, WhySameTime, false},
		{"links: other target", push(func(*Options) {}), link, lower, Unread, OpLink, WhyLink, false},
		{"links: newer wins both ways", Options{Mode: TwoWay}, link, lower, Unread, OpLink, WhyNewer, false},
		{"links: skip", push(func(o *Options) { o.Links = LinksSkip }), link, Item{}, Unread, OpSkip, WhySymlink, false},
		{"links: skip both ways, a file there", Options{Mode: TwoWay, Links: LinksSkip}, link, same, Unread, OpSkip, WhySymlink, false},
		{"links: one that leads nowhere", push(func(o *Options) { o.Links = LinksFollow }), link, Item{}, Unread, OpSkip, WhySymlink, false},
		{"settling", settle, file(1, 950), Item{}, Unread, OpSkip, WhySettling, false},
		{"settled", settle, file(1, 940), Item{}, Unread, OpCopy, WhyNew, false},
		{"settling both ways: the losing side counts", Options{Mode: TwoWay, Settle: time.Minute}, file(1, 990), file(2, 100), Unread, OpSkip, WhySettling, false},
		{"too small", bounds, file(4, 1), Item{}, Unread, OpSkip, WhyFiltered, false},
		{"just large enough", bounds, file(5, 1), Item{}, Unread, OpCopy, WhyNew, false},
		{"just small enough", bounds, file(15, 1), Item{}, Unread, OpCopy, WhyNew, false},
		{"too large", bounds, file(16, 1), Item{}, Unread, OpSkip, WhyFiltered, false},
		{"too old", ages, file(1, 49), Item{}, Unread, OpSkip, WhyFiltered, false},
		{"of the age", ages, file(1, 100), Item{}, Unread, OpCopy, WhyNew, false},
		{"too young", ages, file(1, 151), Item{}, Unread, OpSkip, WhyFiltered, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Planner{Options: c.options, Now: time.Unix(1000, 0)}
			a := p.Decide("x", c.local, c.remote, c.content)
			if a.Op != c.op || a.Delete != c.delete || c.why != "" && a.Why != c.why {
				t.Errorf("%v, %q, delete %v; want %v, %q, delete %v", a.Op, a.Why, a.Delete, c.op, c.why, c.delete)
			}
		})
	}
}

func TestPlanOfAFolder(t *testing.T) {
	f := file(1, 1)
	local := []Named{{"b", f}, {"A", f}, {"both", f}, {"Twice", f}, {"TWICE", f}}
	remote := []Named{{"a", f}, {"both", f}, {"Twice", f}, {"TWICE", f}, {"z", f}, {"z", f}}
	want := map[string]string{"A": "!", "a": "!", "b": ">", "both": ".", "Twice": ".", "TWICE": ".", "z": "<"}
	actions := slices.Collect(Planner{Options: Options{Mode: TwoWay}}.Folder("dir", local, remote))
	if len(actions) != len(want) {
		t.Fatalf("%d actions, want %d", len(actions), len(want))
	}
	last := ""
	for _, a := range actions {
		name := strings.TrimPrefix(a.Path, "dir/")
		if got := cell(a); got != want[name] {
			t.Errorf("%s: %s, want %s", name, got, want[name])
		}
		if name <= last {
			t.Errorf("%q after %q", name, last)
		}
		last = name
	}
}

func TestValidate(t *testing.T) {
	for _, o := range []Options{
		{}, {Mode: TwoWay, Delete: true}, {Mode: TwoWay, Update: true}, {Mode: TwoWay, Links: LinksFollow},
		{Mode: Push, Prune: true}, {Mode: Push, Delete: true, Links: LinksFollow},
		{Mode: Push, MinSize: 2, MaxSize: 1}, {Mode: Push, Settle: -1}, {Mode: Push, BandwidthLimit: -1},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if err := (Options{Mode: Pull, Delete: true, Prune: true, Update: true}).Validate(); err != nil {
		t.Error(err)
	}
}
