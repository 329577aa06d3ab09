package pool

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// A handle is a file open on one session.
type handle struct {
	s       *session
	id      sftp3.Handle
	reading int64 // guarded by file.mu; bytes of reads under way
	writing int64 // guarded by file.mu; bytes of writes under way
}

func newHandle(s *session, id sftp3.Handle) *handle {
	s.handles.Add(1)
	return &handle{s: s, id: id}
}

// close gives the handle back; nobody waits for the answer.
func (h *handle) close() {
	h.s.handles.Add(-1)
	h.s.client.StartClose(h.id).Forget()
}

// A file is an open File: one handle at first, several when much data goes
// through it, none after a cut until it is used again.
//
// A call that races with Close ends before it, or gives EBADF.
//
// sendMu orders requests that must leave in the order of the calls; it is taken
// after gate and before mu. A completion takes only mu.
type file struct {
	p    *Pool
	flag OpenFlag
	most int // bytes that one READ gives

	gate    sync.RWMutex  // calls hold it for reading; Close waits for them
	opening chan struct{} // a token: one goroutine opens handles at a time
	sendMu  sync.Mutex

	mu        sync.Mutex
	path      string     // guarded by mu; follows renames
	gone      bool       // guarded by mu; the path is no longer ours to open
	closed    bool       // guarded by mu
	handles   []*handle  // guarded by mu
	spreading []*session // guarded by mu; where further handles are being opened
	flying    int64      // guarded by mu; bytes of reads, waiting or under way, and of writes under way
	reads     []*part    // guarded by mu; not asked for yet
	stale     error      // guarded by mu; what every further call gets
	seen      Attr       // guarded by mu; last told by the server
	wrote     bool       // guarded by mu; made or written since the last flush
	out       outgoing   // guarded by mu
}

func (p *Pool) newFile(path string, flag OpenFlag, h *handle, a Attr) *file {
	f := &file{
		p: p, flag: flag, most: h.s.client.Limits().MaxRead, path: path, seen: a,
		handles: []*handle{h}, opening: make(chan struct{}, 1),
	}
	f.out.sized(a.Size)
	f.out.changed = make(chan struct{})
	p.files.add(f, path)
	return f
}

// live drops handles whose session has ended; mu is held.
func (f *file) live() []*handle {
	kept := f.handles[:0]
	for _, h := range f.handles {
		if h.s.alive() {
			kept = append(kept, h)
		} else {
			h.s.handles.Add(-1)
		}
	}
	clear(f.handles[len(kept):])
	f.handles = kept
	return kept
}

// lightest is the handle with the fewest bytes under way, and those on the
// interactive connection only when there is no other; mu is held.
func (f *file) lightest() *handle {
	var best *handle
	for _, h := range f.live() {
		if best == nil || h.load() < best.load() {
			best = h
		}
	}
	return best
}

// load orders handles: data keeps away from the interactive connection.
func (h *handle) load() int64 {
	n := h.s.pending.Load()
	if h.s.conn.interactive.Load() {
		n += 1 << 40
	}
	return n
}

// handle gives one to send on, opening the file again when a cut took all.
func (f *file) handle(ctx context.Context, w *waiter) (*handle, error) {
	for {
		f.mu.Lock()
		h, stale, closed := f.lightest(), f.stale, f.closed
		f.mu.Unlock()
		switch {
		case closed:
			return nil, syscall.EBADF
		case stale != nil:
			return nil, stale
		case h != nil:
			return h, nil
		}
		if err := f.reopen(ctx, w); err != nil {
			return nil, err
		}
	}
}

// ask makes a call on the open file until it is answered.
func (f *file) ask(ctx context.Context, w *waiter, call func(*handle) error) error {
	for {
		h, err := f.handle(ctx, w)
		if err != nil {
			return err
		}
		if err = call(h); !lostRequest(err) {
			return err
		}
		f.p.dropSession(h.s)
	}
}

// isDirty reports whether data or times are under way.
func (f *file) isDirty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.dirty()
}

// resized notes a size set by a truncating open of ours.
func (f *file) resized(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen.Size = size
	f.out.sized(size)
	f.out.lastSent = time.Now()
}

func (f *file) name() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path
}

// Stat implements File. With much data under way it does not wait for it: the
// size is known here.
func (f *file) Stat(ctx context.Context) (Attr, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	return f.stat(ctx)
}

func (f *file) stat(ctx context.Context) (Attr, error) {
	a, known, err := f.p.statDirty(ctx, f.p.files.with(f))
	if known {
		return a, pathError("stat", f.name(), err)
	}
	asked := time.Now()
	err = f.ask(ctx, f.p.look(), func(h *handle) (err error) {
		a, err = h.fstat(ctx)
		return err
	})
	if err == nil {
		f.p.files.note(f.name(), a, asked)
	}
	return a, pathError("stat", f.name(), errnoOf(err))
}

// statDirty tells what a file is that has data or times under way, from all Files
// open on its path; known is false when it has none. It flushes to tell what the
// server will tell, unless there is much to flush or while that is not to be had:
// a look does not wait as data does.
func (p *Pool) statDirty(ctx context.Context, files []*file) (a Attr, known bool, err error) {
	local, dirty, held := underWay(files)
	if held > statSettles {
		return local, true, nil
	}
	for _, f := range dirty {
		now, err := f.flushToTell(ctx)
		switch {
		case errors.Is(err, errAway):
			return local, true, nil
		case err == nil:
			a, known = now, true
		case !f.isClosed(): // a File closed meanwhile has flushed itself
			return Attr{}, true, err
		}
	}
	return a, known, nil
}

// underWay finds the files with data or times under way, how much data that is,
// and what the server will say of the file once it has it all.
func underWay(files []*file) (local Attr, dirty []*file, held int64) {
	for _, f := range files {
		f.mu.Lock()
		if f.out.dirty() {
			size := max(local.Size, f.out.end)
			local = f.seen
			local.Size, local.Mtime = size, time.Now().Unix()
			local = f.out.times.apply(local)
			dirty, held = append(dirty, f), held+f.out.held
		}
		f.mu.Unlock()
	}
	return local, dirty, held
}

// flushToTell is a flush with the patience of a look. It gives errAway when that is
// over.
func (f *file) flushToTell(ctx context.Context) (Attr, error) {
	f.p.mu.Lock()
	connected := f.p.state == StateConnected
	f.p.mu.Unlock()
	if !connected {
		return Attr{}, errAway
	}
	bounded, cancel := context.WithTimeout(ctx, f.p.cfg.Timeout)
	defer cancel()
	a, err := f.flush(bounded, Change{}, false)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return Attr{}, errAway
	}
	return a, err
}

func (f *file) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// statSettles is how much data under way a Stat still waits for, so that it
// tells the server's own mtime.
const statSettles = 256 << 10

func (h *handle) fstat(ctx context.Context) (Attr, error) {
	w, err := h.s.client.StartFstat(h.id).WaitAttrs(ctx)
	return fromWire(w), err
}

// SetAttr implements File.
func (f *file) SetAttr(ctx context.Context, c Change) (Attr, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if c.Fields&SetMtime != 0 {
		// What others wrote before would come later, and bring its own time.
		for _, g := range f.p.files.with(f)[1:] {
			if err := g.drain(ctx); err != nil {
				return Attr{}, pathError("setattr", f.name(), err)
			}
		}
	}
	if c.Fields&^(SetAtime|SetMtime) == 0 && f.joinsFlush(c) {
		f.mu.Lock()
		defer f.mu.Unlock()
		a := f.seen
		a.Size = f.out.end
		return f.out.times.apply(a), nil
	}
	if c.Fields&SetSize != 0 {
		if err := f.p.settle(ctx, f.name()); err != nil {
			return Attr{}, pathError("setattr", f.name(), err)
		}
		f.p.files.resizing(f, c.Size)
	}
	a, err := f.flush(ctx, c, false)
	if err != nil {
		size := int64(-1)
		if c.Fields&SetSize != 0 {
			size = c.Size
		}
		err = why{f.p, ctx}.change(err, f.name(), size)
	}
	return a, pathError("setattr", f.name(), err)
}

// joinsFlush lets times join the next flush when there will be one.
func (f *file) joinsFlush(c Change) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.wrote || f.closed || f.stale != nil || f.flag&FlagWrite == 0 {
		return false
	}
	f.out.times = f.out.times.merge(c)
	f.armTimer()
	return true
}

// Close implements File.
func (f *file) Close(ctx context.Context) error {
	_, err := f.Flush(ctx)
	f.gate.Lock()
	defer f.gate.Unlock()
	f.mu.Lock()
	handles := f.live()
	f.handles = nil
	f.closed = true
	path := f.path
	f.stopTimer()
	f.mu.Unlock()
	f.p.files.remove(f, path)
	for _, h := range handles {
		h.close()
	}
	return err
}
