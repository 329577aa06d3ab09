package sync

// The rules of two-way: what is on one side only goes to the other; of two
// different versions the newer goes over the older; nothing is deleted; what
// these rules do not settle is a conflict, and both are kept.

func (p Planner) twoWay(local, remote Item, content Content) Action {
	switch {
	case local.Kind == Absent && remote.Kind == Absent:
		return Action{}
	case remote.Kind == Absent:
		return p.onlyOn(Local, local)
	case local.Kind == Absent:
		return p.onlyOn(Remote, remote)
	case p.Links == LinksSkip && (local.Kind == Symlink || remote.Kind == Symlink):
		return Action{Op: OpSkip, Why: WhySymlink}
	case local.Kind != remote.Kind:
		return Action{Op: OpConflict, Why: WhyKind}
	case local.Kind == Symlink:
		return p.linksBothWays(local, remote)
	case local.Kind == File:
		return p.filesBothWays(local, remote, content)
	}
	return Action{} // two folders, or two special files
}

func (p Planner) onlyOn(s Side, i Item) Action {
	a := Action{From: s, Why: WhyNew}
	switch i.Kind {
	case Folder:
		a.Op = OpFolder
	case File:
		a.Op = OpCopy
		if why, bad := p.notNow(s, i); bad {
			a.Op, a.Why = OpSkip, why
		}
	case Symlink:
		a.Op = OpLink
		if !p.keepsLinks() {
			a.Op, a.Why = OpSkip, WhySymlink
		}
	default:
		a.Op, a.Why = OpSkip, WhySpecial
	}
	return a
}

// notNow says why a file is left alone in this run.
func (p Planner) notNow(s Side, i Item) (Why, bool) {
	switch {
	case p.outside(s, i):
		return WhyFiltered, true
	case p.settling(s, i):
		return WhySettling, true
	}
	return "", false
}

func (p Planner) linksBothWays(local, remote Item) Action {
	if local.Link == remote.Link {
		return Action{}
	}
	return p.newer(OpLink, local, remote)
}

func (p Planner) filesBothWays(local, remote Item, content Content) Action {
	sameSize, sameTime := local.Size == remote.Size, p.sameTime(local, remote)
	differ := !sameSize
	switch p.compare() {
	case CompareMtime:
		differ = differ || !sameTime
	case CompareHash:
		if sameSize && content == Unread {
			return p.checked(Action{Op: OpCompare}, local, remote)
		}
		differ = differ || content == Different
	}
	if differ {
		return p.checked(p.newer(OpCopy, local, remote), local, remote)
	}
	if !sameTime && content != Equal {
		return Action{Op: OpSkip, Why: WhyLeft}
	}
	return Action{}
}

// checked leaves a pair alone when one of the two is out of bounds: a version
// still being written must neither win nor be lost.
func (p Planner) checked(a Action, local, remote Item) Action {
	for s, i := range []Item{local, remote} {
		if why, bad := p.notNow(Side(s), i); bad {
			return Action{Op: OpSkip, From: a.From, Why: why}
		}
	}
	return a
}

// newer lets the later time win. One that lies in the future says nothing about when
// a version came to be.
func (p Planner) newer(op Op, local, remote Item) Action {
	a := Action{Op: op, Why: WhyNewer}
	here, there := p.mtime(Local, local), p.mtime(Remote, remote)
	switch {
	case local.Mtime > p.now(Local)+day || remote.Mtime > p.now(Remote)+day:
		return Action{Op: OpConflict, Why: WhyFuture}
	case here > there+p.window():
		a.From = Local
	case there > here+p.window():
		a.From = Remote
	default:
		return Action{Op: OpConflict, Why: WhySameTime}
	}
	return a
}
