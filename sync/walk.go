package sync

import (
	"context"
	"sync"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A stack holds the folders that wait to be listed, the deepest first: so they
// stay few.
type stack struct {
	mu      sync.Mutex
	more    *sync.Cond
	folders []*folder // guarded by mu
	open    int       // pushed and not yet done; guarded by mu
}

func newStack() *stack {
	s := &stack{}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *stack) push(f *folder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folders = append(s.folders, f)
	s.open++
	s.more.Signal()
}

// pop waits for a folder; nil means that there will be no more.
func (s *stack) pop(ctx context.Context) *folder {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.folders) == 0 && s.open > 0 && ctx.Err() == nil {
		s.more.Wait()
	}
	n := len(s.folders)
	if n == 0 {
		return nil
	}
	f := s.folders[n-1]
	s.folders = s.folders[:n-1]
	return f
}

// done tells that a popped folder was walked.
func (s *stack) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 {
		s.more.Broadcast()
	}
}

func (s *stack) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.more.Broadcast()
}

// walk lists folders and plans until there are no more. After the end of the
// context it only lets go of them, so that those above are finished.
func (p *pass) walk(ctx context.Context) {
	var l [2]listing
	for f := p.folders.pop(ctx); f != nil; f = p.folders.pop(ctx) {
		if ctx.Err() == nil {
			p.visit(ctx, f, &l)
		}
		f.release(ctx, p)
		p.folders.done()
	}
}

// visit plans one folder. What was listed is let go of in the end, but for the room that
// it took.
func (p *pass) visit(ctx context.Context, f *folder, l *[2]listing) {
	if p.elsewhere(ctx, f) { // before it is made on the other side
		return
	}
	if !p.Names.onlyIncludes() {
		for _, side := range []Side{Local, Remote} {
			if err := f.ensure(ctx, p, side); err != nil {
				p.failFolder(ctx, f, side, err)
				return
			}
		}
	}
	defer p.drop(l)
	if err := p.list(ctx, f, l); err != nil {
		p.failFolder(ctx, f, p.source(), err)
		return
	}
	f.listed = time.Now()
	p.refuse(ctx, f, l)
	p.dropElsewhere(f, l)
	p.restore(ctx, f, l)
	if err := p.readLinks(ctx, f, l); err != nil { // behind restore: what came back may be one
		p.failFolder(ctx, f, p.source(), err)
		return
	}
	p.leaveOut(ctx, f, l)
	p.journal.folders.Add(1)
	actions := p.plannerNow().Folder(f.path, l[Local].names, l[Remote].names)
	p.clean(ctx, f, l, actions)
	for a := range actions {
		p.dispatch(ctx, f, a)
	}
}

// dispatch hands an action to whom it concerns.
func (p *pass) dispatch(ctx context.Context, f *folder, a Action) {
	p.journal.seen.Add(1)
	if a.Op == OpDelete && a.Source.Kind == Symlink && p.unsafe(a, a.Source.Link) {
		a.Op, a.Why, a.Delete = OpSkip, WhyUnsafe, false
	}
	switch a.Op {
	case OpSkip:
		p.journal.skip(a)
	case OpConflict:
		p.journal.conflict(a)
	case OpFolder:
		p.descend(ctx, f, a)
	case OpNone, OpAttr:
		if a.Source.Kind == Folder && a.Target.Kind == Folder {
			p.descend(ctx, f, a)
			return
		}
		if a.Op == OpNone {
			p.journal.done(a, 0)
			return
		}
		fallthrough
	default:
		p.queue(ctx, f, a)
	}
}

// descend puts a folder on the stack. Its mode is set when all in it is done.
func (p *pass) descend(ctx context.Context, f *folder, a Action) {
	if a.Op == OpAttr && p.DryRun {
		p.journal.done(a, 0)
	}
	cost := int64(folderCost + len(a.Path))
	if err := p.waiting.take(cost, p.waiting.most); err != nil {
		p.journal.fail(ctx, a, a.From, err)
		return
	}
	child := newFolder(f, a.Path, a.Item(Local), a.Item(Remote))
	child.cost = cost
	_, name := remote.Split(a.Path)
	child.inherit(name)
	p.folders.push(child)
}

func (p *pass) queue(ctx context.Context, f *folder, a Action) {
	if a.Op == OpCopy || a.Op == OpLink {
		if err := f.ensure(ctx, p, a.From.Other()); err != nil {
			p.journal.fail(ctx, a, a.From.Other(), err)
			return
		}
	}
	if p.DryRun && a.Op != OpCompare && a.Op != OpLink { // a link is looked at first
		p.journal.done(a, a.Source.Size)
		return
	}
	p.journal.filesTotal.Add(1)
	to := p.small
	if a.Op == OpCopy || a.Op == OpCompare {
		p.journal.bytesTotal.Add(a.Source.Size)
		if a.Source.Size > smallFile {
			to = p.large
		}
	}
	f.pending.Add(1)
	to.call(func(tasks <-chan task) { p.work(ctx, tasks) })
	select {
	case to.tasks <- task{f, a}:
	case <-ctx.Done():
		f.pending.Add(-1) // never the last: the folder itself is still at work
	}
}
