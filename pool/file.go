package pool

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// A handle is a file open on one session.
type handle struct {
	s       *session
	path    string // that it was opened by
	id      sftp3.Handle
	reads   sftp3.Handle // the same, where the server lets one handle read and write
	reading int64        // guarded by object.mu; bytes of reads under way
	writing int64        // guarded by object.mu; bytes of writes under way
}

func newHandle(s *session, path string, id sftp3.Handle) *handle {
	s.handles.Add(1)
	return &handle{s: s, path: path, id: id, reads: id}
}

// close gives the handle back; nobody waits for the answer.
func (h *handle) close() { h.startClose().Forget() }

func (h *handle) startClose() *sftp3.Call {
	h.s.handles.Add(-1)
	if h.reads != h.id { // one that only reads, beside it
		h.s.client.StartClose(h.reads).Forget()
	}
	return h.s.client.StartClose(h.id)
}

// A file is an open File on an object: one handle at first, several when much data
// goes through it, none after a cut until it is used again. What it has written it
// sends through handles of its own, which is what it was let open.
//
// A call that races with Close ends before it, or gives EBADF.
type file struct {
	*object
	flag remote.OpenFlag
	most int // bytes that one READ gives

	gate    sync.RWMutex  // calls hold it for reading; Close waits for them
	opening chan struct{} // a token: one goroutine opens handles at a time

	closed    bool       // guarded by mu, like all below
	handles   []*handle  //
	spreading []*session // where further handles are being opened
	gathering int        // handles wanted before the first byte is read: FlagSteady
	steady    bool       // no further handle is opened
	flying    int64      // bytes of reads, waiting or under way, and of writes under way
	held      int64      // bytes written and not acknowledged
	reads     []*part    // not asked for yet
	mending   bool       // a goroutine gets a handle for what waits to be sent
	losses    losses     //
	written   bool       // something was changed through it: the server's CLOSE matters
	filled    bool       // by data
	keeps     bool       // CLOSE was sent with a flush, once...
	left      *session   // ...there; nil once the file was opened again
	asking    int        // calls that have a handle in hand
	err       error      // of earlier changes, to be told once
	stale     error      // what every further call gets
}

// newFile is a File for what has just been opened on h by that path; the opening
// was asked for at that time. current is false when what it told is not all that
// there is to say, because of data that was under way.
func (p *Pool) newFile(ctx context.Context, path string, flag remote.OpenFlag, h *handle, a remote.Attr, asked time.Time) (f *file, current bool) {
	if p.homeOn.CompareAndSwap(nil, h.s.conn) {
		p.learnHome(h.s)
	}
	f = &file{
		flag: flag, most: h.s.client.Limits().MaxRead, handles: []*handle{h}, opening: make(chan struct{}, 1),
		written: flag&remote.FlagTruncate != 0,
	}
	return f, p.files.join(ctx, f, p, path, h, a, asked)
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
	for tries := 1; ; tries++ {
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
		// Opened again, it may be lost before it was used, each time.
		if err := sleep(ctx, pause(tries)); err != nil {
			return nil, err
		}
		if tries >= maxTries && time.Since(w.start) > w.limit {
			return nil, errAway
		}
		if err := f.reopen(ctx, w); err != nil {
			return nil, err
		}
	}
}

// ask makes a call on the open file until it is answered. What breaks the
// connection each time is given up, as in repeat.
func (f *file) ask(ctx context.Context, w *waiter, call func(*handle) error) error {
	defer f.asks()()
	var killed kills
	for tries := 1; ; tries++ {
		h, err := f.handle(ctx, w)
		if err != nil {
			return err
		}
		if err = call(h); !lostRequest(err) {
			return err
		}
		f.p.dropSession(h.s)
		if killed.another(f.p, h.s, err) {
			return syscall.EIO
		}
		if err := hopeless(err, tries, w); err != nil {
			return err
		}
		if err := sleep(ctx, pause(tries)); err != nil {
			return err
		}
	}
}

// asks keeps the handles of a call, until it is over, from being closed with a flush.
func (f *file) asks() (over func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asking--
	}
}

// Stat implements File. With much data under way it does not wait for it: the
// size is known here.
func (f *file) Stat(ctx context.Context) (remote.Attr, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	return f.stat(ctx)
}

func (f *file) stat(ctx context.Context) (remote.Attr, error) {
	a, known, err := f.statDirty(ctx)
	if known {
		return a, pathError("stat", f.name(), err)
	}
	asked := time.Now()
	stuck, err := f.p.within(ctx, looks, nil, func(ctx context.Context) error {
		return f.ask(ctx, f.p.look(), func(h *handle) (err error) {
			a, err = f.fstat(ctx, h)
			return err
		})
	})
	if stuck {
		return f.statByPath(ctx)
	}
	if err == nil {
		f.mu.Lock()
		f.note(a, asked)
		f.mu.Unlock()
	}
	return a, pathError("stat", f.name(), errnoOf(err))
}

// statByPath is for a handle on a session that does not answer.
func (f *file) statByPath(ctx context.Context) (remote.Attr, error) {
	f.mu.Lock()
	path, gone := f.path, f.gone
	f.mu.Unlock()
	if gone {
		return remote.Attr{}, remote.PathError("stat", path, errAway)
	}
	return f.p.stat(ctx, path)
}

func (h *handle) fstat(ctx context.Context) (remote.Attr, error) {
	w, err := h.s.client.StartFstat(h.id).WaitAttrs(ctx)
	return h.s.attr(w), err
}

// End implements File.
func (f *file) End(ctx context.Context) (int64, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	f.mu.Lock()
	end, known := f.out.end, f.out.knowsEnd(f.rtt())
	f.mu.Unlock()
	if known {
		return end, nil
	}
	var a remote.Attr
	asked := time.Now()
	err := f.ask(ctx, f.p.keep(), func(h *handle) (err error) {
		a, err = f.fstat(ctx, h)
		return err
	})
	if err != nil {
		return 0, pathError("end", f.name(), errnoOf(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(a, asked)
	f.out.end = max(f.out.end, a.Size)
	f.out.learnedEnd()
	return f.out.end, nil
}

// SetAttr implements File.
func (f *file) SetAttr(ctx context.Context, c remote.Change) (a remote.Attr, err error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if c.Fields&^(remote.SetAtime|remote.SetMtime) == 0 && f.p.mayJoinFlush(f.object) {
		if a, joins := f.joinFlush(c); joins {
			return a, nil
		}
	}
	if c.Fields&remote.SetSize != 0 {
		f.resizing(c.Size)
	}
	err = f.lookBound(ctx, func(ctx context.Context) error {
		if c.Fields&remote.SetSize != 0 {
			if err := f.timesFirst(ctx); err != nil {
				return err
			}
		}
		a, err = f.flush(ctx, f.p.look(), c, nothing)
		return err
	})
	f.mu.Lock()
	f.written = true
	f.mu.Unlock()
	if err != nil {
		size := int64(-1)
		if c.Fields&remote.SetSize != 0 {
			size = c.Size
		}
		err = why{f.p, ctx}.attr(err, f.name(), c, size)
	}
	if err == nil {
		f.p.sawTime(c, a)
	}
	return a, pathError("setattr", f.name(), err)
}

// joinFlush lets times join the next flush when there will be one.
func (f *file) joinFlush(c remote.Change) (remote.Attr, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.wrote || f.closed || f.stale != nil || f.flag&remote.FlagWrite == 0 {
		return remote.Attr{}, false
	}
	if c.Fields&remote.SetMtime != 0 {
		f.out.changes()
	}
	f.out.times = f.out.times.Merge(c)
	f.out.settle = f.later(f.out.settle, timesFor, f.object.setTimes)
	a := f.seen
	a.Size = f.out.end
	return f.out.times.Apply(a), true
}

// timesFirst sets times that wait for the next flush, ahead of a truncation: they are
// not those of the truncated file.
func (f *file) timesFirst(ctx context.Context) error {
	f.mu.Lock()
	waiting := f.out.times.Fields != 0
	f.mu.Unlock()
	if !waiting {
		return nil
	}
	_, err := f.flush(ctx, f.p.look(), remote.Change{}, nothing)
	return err
}

// setTimes has times set for which no flush has come.
func (o *object) setTimes() {
	f := o.writer()
	if f == nil || !o.isDirty() {
		return
	}
	o.p.spawn(func() {
		// An error is kept for whoever has set them.
		_, _ = f.flush(o.p.life, o.p.keep(), remote.Change{}, nothing)
	}, nil)
}

// size is that of the file with all that was written.
func (o *object) size() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.end
}
