package sync

import "time"

// Op is what is to be done about a name.
type Op uint8

// The operations.
const (
	OpNone     Op = iota // both sides are as they should be
	OpCopy               // copy a file to the other side
	OpLink               // make the symbolic link on the other side
	OpFolder             // make the folder on the other side
	OpAttr               // the content is right, mode, owner or time are not
	OpCompare            // not decided before both contents were read
	OpDelete             // remove the source: its copy was verified
	OpSkip               // left alone, Why says what for
	OpConflict           // both are kept, a person must decide
)

func (o Op) String() string {
	return name([]string{"none", "copy", "link", "mkdir", "attr", "compare", "delete", "skip", "conflict"}, int(o))
}

// Why is the reason for an operation, in words.
type Why string

// The reasons.
const (
	WhyNew        Why = "new"
	WhySize       Why = "size differs"
	WhyMtime      Why = "time differs"
	WhyContent    Why = "content differs"
	WhyLink       Why = "link differs"
	WhyNewer      Why = "newer"
	WhyKind       Why = "kind differs"
	WhySameTime   Why = "versions differ, times are equal"
	WhyFuture     Why = "versions differ, a time lies in the future"
	WhyCase       Why = "name differs only in case"
	WhyAlike      Why = "alike"
	WhyLeft       Why = "same size, time differs"
	WhyKeepNewer  Why = "target is newer"
	WhySettling   Why = "changed a moment ago"
	WhyBusy       Why = "written to all the time"
	WhyFiltered   Why = "outside the bounds of size and age"
	WhyInUse      Why = "open in another program, source kept"
	WhyUnsafe     Why = "link leads out of the folder"
	WhyElsewhere  Why = "on another filesystem"
	WhySpecial    Why = "special file"
	WhySymlink    Why = "symbolic link"
	WhyUnverified Why = "same size, content differs: source kept"
)

// An Action is the plan for one name.
type Action struct {
	Op     Op
	Path   string
	From   Side // where it is read; the other side is changed
	Source Item
	Target Item
	Delete bool // remove the source once the copy is verified
	Why    Why
}

// Item is what the action's name stands for on a side.
func (a Action) Item(s Side) Item {
	if s == a.From {
		return a.Source
	}
	return a.Target
}

// Content says what is known about two files beyond their attributes.
type Content uint8

// What may be known.
const (
	Unread Content = iota
	Equal
	Different
)

// A Planner decides. It is a value without state: the same Items give the same
// Action.
type Planner struct {
	Options
	Now   time.Time
	Facts [2]Facts // of the sides
}

// now is what the clock of a side shows, in seconds.
func (p Planner) now(s Side) int64 { return p.Now.Unix() + p.Facts[s].Ahead }

// window is by how many seconds equal times may differ.
func (p Planner) window() int64 {
	asked := int64((p.ModifyWindow + time.Second - 1) / time.Second)
	return max(asked, p.Facts[Local].Window, p.Facts[Remote].Window)
}

// sameTime reports that two times are equal, as far as both sides keep them. A side
// that keeps none has the time at which a file came there: not older by its clock
// than the other means that it came from the other.
func (p Planner) sameTime(local, remote Item) bool {
	switch w := p.window(); {
	case max(local.Mtime-remote.Mtime, remote.Mtime-local.Mtime) <= w:
		return true
	case p.Facts[Remote].NoTimes:
		return p.mtime(Remote, remote) >= local.Mtime
	case p.Facts[Local].NoTimes:
		return local.Mtime >= remote.Mtime-p.Facts[Remote].Ahead
	}
	return false
}

// mtime is a time by our clock, where the side keeps no other than its own.
func (p Planner) mtime(s Side, i Item) int64 {
	if s == Remote && p.Facts[Remote].NoTimes {
		return i.Mtime - p.Facts[Remote].Ahead
	}
	return i.Mtime
}

// clockError is by how many seconds two runs may differ in what they find a clock to show.
const clockError = 2

// copyTime is the time that a copy of what a side has gets on the other: by our clock,
// and rather too old, where the side has no time but its own.
func (p Planner) copyTime(s Side, i Item) int64 {
	t := p.mtime(s, i)
	if s == Remote && p.Facts[Remote].NoTimes {
		t -= clockError
	}
	return clampTime(t)
}

// sameTimeFrom is sameTime of a source and its target.
func (p Planner) sameTimeFrom(src, dst Item) bool {
	if p.source() == Remote {
		return p.sameTime(dst, src)
	}
	return p.sameTime(src, dst)
}

// Decide plans what to do about one name. An OpCompare is decided by calling
// again with what reading both files told.
func (p Planner) Decide(path string, local, remote Item, content Content) Action {
	var a Action
	if p.Mode == TwoWay {
		a = p.twoWay(local, remote, content)
	} else {
		a = p.oneWay(local, remote, content)
	}
	a.Path = path
	a.Source, a.Target = local, remote
	if a.From == Remote {
		a.Source, a.Target = remote, local
	}
	return a
}

func (p Planner) oneWay(local, remote Item, content Content) Action {
	src, dst := local, remote
	if p.source() == Remote {
		src, dst = remote, local
	}
	var a Action
	switch src.Kind {
	case Folder:
		a = p.folder(src, dst)
	case Symlink:
		a = p.link(src, dst)
	case File:
		a = p.file(src, dst, content)
	case Special:
		a = Action{Op: OpSkip, Why: WhySpecial}
	}
	a.From = p.source()
	return a
}

func (p Planner) folder(src, dst Item) Action {
	switch {
	case dst.Kind == Absent:
		return Action{Op: OpFolder, Why: WhyNew}
	case dst.Kind != Folder:
		return Action{Op: OpConflict, Why: WhyKind}
	case p.attrDiffers(src, dst):
		return Action{Op: OpAttr, Why: WhyAlike}
	}
	return Action{}
}

// keepsLinks says whether links are made as links.
func (o Options) keepsLinks() bool { return o.Links == LinksSafe || o.Links == LinksCopy }

func (p Planner) link(src, dst Item) Action {
	switch {
	case !p.keepsLinks(): // one that could not be followed leads nowhere
		return Action{Op: OpSkip, Why: WhySymlink}
	case dst.Kind == Folder || dst.Kind == Special:
		return Action{Op: OpConflict, Why: WhyKind}
	case dst.Kind == Symlink && dst.Link == src.Link && !(p.Delete && p.Owner && p.attrDiffers(src, dst)):
		return p.alike()
	}
	return p.replace(OpLink, src, dst, WhyLink)
}

func (p Planner) file(src, dst Item, content Content) Action {
	if p.outside(p.source(), src) {
		return Action{Op: OpSkip, Why: WhyFiltered}
	}
	if p.settling(p.source(), src) {
		return Action{Op: OpSkip, Why: WhySettling}
	}
	switch dst.Kind {
	case Folder, Special:
		return Action{Op: OpConflict, Why: WhyKind}
	case Absent, Symlink:
		return p.replace(OpCopy, src, dst, WhyNew)
	}
	return p.fileOverFile(src, dst, content)
}

func (p Planner) fileOverFile(src, dst Item, content Content) Action {
	sameTime := p.sameTimeFrom(src, dst)
	switch {
	case src.Size != dst.Size:
		return p.replace(OpCopy, src, dst, WhySize)
	case p.compare() == CompareMtime && !sameTime:
		return p.replace(OpCopy, src, dst, WhyMtime)
	case p.compare() == CompareHash && content == Unread:
		return Action{Op: OpCompare}
	case p.compare() == CompareHash && content == Different:
		return p.replace(OpCopy, src, dst, WhyContent)
	}
	return p.fileAlike(src, dst, content)
}

// fileAlike finishes a pair that counts as the same. Its source is removed only
// after both were read, whatever is compared otherwise; what then turns out to be
// another version, though size and time are the same, is copied, unless it was asked
// to go by the size alone.
func (p Planner) fileAlike(src, dst Item, content Content) Action {
	sameTime := p.sameTimeFrom(src, dst)
	switch {
	case p.Delete && content == Unread:
		return Action{Op: OpCompare}
	case p.Delete && content == Different && p.compare() == CompareSize:
		return Action{Op: OpSkip, Why: WhyUnverified}
	case p.Delete && content == Different:
		return p.replace(OpCopy, src, dst, WhyContent)
	case p.attrDiffers(src, dst) || p.compare() == CompareHash && !sameTime:
		return Action{Op: OpAttr, Delete: p.Delete, Why: WhyAlike}
	}
	return p.alike()
}

func (p Planner) alike() Action {
	if p.Delete {
		return Action{Op: OpDelete, Delete: true, Why: WhyAlike}
	}
	return Action{}
}

// replace plans a copy over whatever the target is.
func (p Planner) replace(op Op, src, dst Item, why Why) Action {
	if dst.Kind == Absent {
		return Action{Op: op, Delete: p.Delete, Why: WhyNew}
	}
	if from := p.source(); p.Update && p.mtime(from.Other(), dst) > p.mtime(from, src)+p.window() {
		return Action{Op: OpSkip, Why: WhyKeepNewer}
	}
	if src.Kind != dst.Kind {
		why = WhyKind
	}
	return Action{Op: op, Delete: p.Delete, Why: why}
}

func (p Planner) attrDiffers(src, dst Item) bool {
	if p.Owner && (src.UID != dst.UID || src.GID != dst.GID) {
		return true
	}
	return p.perm(src) != p.perm(dst) && !p.Facts[p.source().Other()].NoModes
}

// perm is the part of the mode that is carried over.
func (p Planner) perm(i Item) uint32 {
	if p.Owner {
		return i.Perm & (permBits | setIDBits)
	}
	return i.Perm & permBits
}

func (p Planner) outside(s Side, i Item) bool {
	age := time.Duration(p.now(s)-i.Mtime) * time.Second
	return i.Size < p.MinSize ||
		p.MaxSize > 0 && i.Size > p.MaxSize ||
		p.Newer > 0 && age > p.Newer ||
		p.Older > 0 && age < p.Older
}

// settling reports a change a moment ago. A time ahead tells of none, unless clocks
// differ by a little.
func (p Planner) settling(s Side, i Item) bool {
	return p.Settle > 0 && (time.Duration(p.now(s)-i.Mtime)*time.Second).Abs() < p.Settle
}
