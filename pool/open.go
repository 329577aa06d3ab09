package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// Open implements Remote.
func (p *Pool) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := p.open(ctx, path, flag, perm)
	if err != nil {
		return nil, remote.Attr{}, pathError("open", path, err)
	}
	return f, a, nil
}

// open decides between creating and opening. A file that may or may not be
// there is created exclusively first: only so it is known whether the mode is
// ours to set, and a lookup has usually just said that there is none. One that is
// open and is cut by that is kept from being written to meanwhile.
func (p *Pool) open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (f *file, a remote.Attr, err error) {
	if err := p.settled(ctx, path); err != nil {
		return nil, remote.Attr{}, err
	}
	o := p.files.at(path)
	if flag&remote.FlagTruncate == 0 || o == nil {
		return p.openOrCreate(ctx, path, flag, perm)
	}
	var b *barrier
	err = o.lookBound(ctx, func(ctx context.Context) error {
		if w := o.writer(); w != nil {
			if err := w.timesFirst(ctx); err != nil && !errors.Is(err, syscall.EBADF) {
				return err
			}
		}
		b, err = o.barrier(ctx, 0, endless)
		return err
	})
	if err != nil {
		return nil, remote.Attr{}, errnoOf(err)
	}
	defer b.release()
	o.resizing(0)
	f, a, err = p.openOrCreate(ctx, path, flag, perm)
	if err == nil && f.object == o { // else it was another file that was cut
		o.cut(0)
	}
	return f, a, err
}

func (p *Pool) openOrCreate(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (*file, remote.Attr, error) {
	if flag&remote.FlagCreate == 0 {
		return p.openExisting(ctx, path, flag, pflags(flag))
	}
	f, a, err := p.create(ctx, path, flag, perm)
	if flag&remote.FlagExclusive != 0 || !errors.Is(err, syscall.EEXIST) {
		return f, a, err
	}
	flag &^= remote.FlagCreate
	f, a, err = p.openExisting(ctx, path, flag, pflags(flag))
	if errors.Is(err, syscall.ENOENT) {
		// A symbolic link to a name that is not there yet: its target is made.
		f, a, err = p.openExisting(ctx, path, flag, pflags(flag)|sftp3.OpenCreate)
	}
	return f, a, err
}

func pflags(flag remote.OpenFlag) uint32 {
	var pf uint32
	if flag&remote.FlagRead != 0 {
		pf |= sftp3.OpenRead
	}
	if flag&remote.FlagWrite != 0 {
		pf |= sftp3.OpenWrite
	}
	if flag&remote.FlagTruncate != 0 {
		pf |= sftp3.OpenTruncate | sftp3.OpenWrite
	}
	return pf
}

func (p *Pool) openExisting(ctx context.Context, path string, flag remote.OpenFlag, pf uint32) (*file, remote.Attr, error) {
	var h *handle
	var a remote.Attr
	var asked time.Time
	wait := looks
	if pf&(sftp3.OpenTruncate|sftp3.OpenCreate) != 0 {
		wait = changes
	}
	late := false // an earlier request may yet be executed
	err := p.repeat(ctx, laneFile, wait, func(ctx context.Context, s *session, uncertain bool) (err error) {
		asked, late = time.Now(), uncertain && pf&sftp3.OpenTruncate != 0
		h, a, err = p.openOn(ctx, s, path, pf, sftp3.Attrs{})
		return err
	})
	if late || pf&sftp3.OpenTruncate != 0 && !asked.IsZero() && (errors.Is(err, errAway) || ctx.Err() != nil) {
		p.files.doubt(p, path, 0)
	}
	if err != nil {
		return nil, remote.Attr{}, p.whyNotOpen(ctx, err, path, flag)
	}
	if a.IsDir() {
		h.close()
		return nil, remote.Attr{}, syscall.EISDIR
	}
	f, current := p.newFile(ctx, path, flag, h, a, asked)
	if !current && flag&remote.FlagTruncate == 0 {
		if now, err := f.stat(ctx); err == nil {
			a = now
		}
	}
	if flag&remote.FlagSteady != 0 {
		f.openAll(ctx, a.Size)
	}
	return f, a, nil
}

// openOn opens a file on one session and describes it, in one flight where the
// server keeps order.
func (p *Pool) openOn(ctx context.Context, s *session, path string, pf uint32, attrs sftp3.Attrs) (*handle, remote.Attr, error) {
	sent := time.Now()
	if !s.ordered {
		h, err := p.openHandle(ctx, s, path, pf, attrs)
		if err != nil {
			return nil, remote.Attr{}, err
		}
		s.conn.answered(time.Since(sent))
		h, a, err := p.described(ctx, h, path, pf)
		return h, a, behindDone(err)
	}
	request := s.client.StartOpen(p.abs(path), pf, attrs)
	look := s.client.StartStat(p.abs(path))
	id, err := request.WaitHandle(ctx)
	if err != nil {
		look.Forget()
		return nil, remote.Attr{}, err
	}
	s.conn.answered(time.Since(sent))
	h := newHandle(s, path, id)
	w, err := look.WaitAttrs(ctx)
	if err == nil {
		return h, s.attr(w), nil
	}
	if lostRequest(err) || ctx.Err() != nil {
		h.close()
		return nil, remote.Attr{}, behindDone(err)
	}
	h, a, err := p.described(ctx, h, path, pf)
	return h, a, behindDone(err)
}

// described asks what a file just opened is. Where the server does not tell, it is
// not open, and one that was made by it is taken away.
func (p *Pool) described(ctx context.Context, h *handle, path string, pf uint32) (*handle, remote.Attr, error) {
	a, err := h.fstat(ctx)
	if err != nil && !lostRequest(err) && ctx.Err() == nil {
		var w sftp3.Attrs
		w, err = h.s.client.StartStat(p.abs(path)).WaitAttrs(ctx)
		a = h.s.attr(w)
	}
	if err == nil {
		return h, a, nil
	}
	h.close()
	if pf&sftp3.OpenExclusive != 0 && !lostRequest(err) && ctx.Err() == nil {
		_ = h.s.client.StartRemove(p.abs(path)).WaitStatus(ctx) // the error tells of it all
	}
	return nil, remote.Attr{}, err
}

// create makes a file that must not be there.
func (p *Pool) create(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (*file, remote.Attr, error) {
	var h *handle
	var a remote.Attr
	pf := pflags(flag&^remote.FlagTruncate) | sftp3.OpenCreate | sftp3.OpenExclusive
	attrs := sftp3.Attrs{Flags: sftp3.AttrPermissions, Permissions: perm & 0o7777}
	started, was := time.Now(), p.files.at(path)
	var sent time.Time
	wide := newWidening()
	isOurs := func(ctx context.Context, s *session) (bool, error) {
		now, err := p.lstatOn(ctx, s, path)
		if err != nil || !now.IsRegular() || now.Size != 0 || !p.madeSince(now, started) {
			return false, err
		}
		if h, a, err = p.openWidened(ctx, s, path, pflags(flag&^remote.FlagTruncate), wide, func(remote.Attr) bool { return true }); err != nil {
			return false, err
		}
		if !p.files.known.claim(path) {
			h.close()
			return false, nil
		}
		return true, nil
	}
	err := p.repeat(ctx, laneFile, changes, func(ctx context.Context, s *session, uncertain bool) (err error) {
		if uncertain {
			if ours, err := isOurs(ctx, s); ours || lostRequest(err) {
				return err
			}
		}
		sent = time.Now()
		h, a, err = p.openOn(ctx, s, path, pf, attrs)
		if uncertain && err != nil && !lostRequest(err) {
			// The first request may have been executed just before this one.
			if ours, lerr := isOurs(ctx, s); ours || lostRequest(lerr) {
				return lerr
			}
		}
		return err
	})
	if err != nil {
		return nil, remote.Attr{}, p.whyNotCreate(ctx, err, path)
	}
	if was != nil {
		p.files.lost(path, was) // it was not there any more, or nothing could have been made
	}
	p.learn(a, sent)
	f, _ := p.newFile(ctx, path, flag, h, a, sent)
	f.mu.Lock()
	f.wrote, f.written, f.made = true, true, true
	f.mu.Unlock()
	if want := perm&0o7777 | a.Mode&syscall.S_ISGID; a.Perm() != want {
		made := a
		a, err = f.SetAttr(ctx, remote.Change{Fields: remote.SetMode, Mode: want})
		a, err = p.asMade(path, made, a, want, err, func() error {
			return errors.Join(f.Close(ctx), p.Remove(ctx, path))
		})
		if err != nil {
			return nil, remote.Attr{}, errnoIn(err)
		}
	}
	return f, a, nil
}

// A widening is a mode that a file of ours has for a moment only, as its own does not
// let its owner open it: git writes into files of mode 0444.
type widening struct {
	turn chan struct{} // a token: one at a time
	mode uint32        // its own; with the token
	on   atomic.Bool   // its own may not be there again; set with the token
}

func newWidening() *widening { return &widening{turn: make(chan struct{}, 1)} }

// openWidened opens a file that is ours, also when its mode does not let its owner. A
// widening whose end was not answered is ended by who opens the file next, if it is the
// same.
func (p *Pool) openWidened(ctx context.Context, s *session, path string, flags uint32, w *widening, same func(remote.Attr) bool) (*handle, remote.Attr, error) {
	h, a, err := p.openPlain(ctx, s, path, flags)
	refused := errnoOf(err) == syscall.EACCES
	if !refused && !w.on.Load() {
		return h, a, err
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		if err == nil {
			h.close()
		}
		return nil, remote.Attr{}, ctx.Err()
	}
	if refused {
		if werr := p.widen(ctx, s, path, w); unanswered(werr) {
			return nil, remote.Attr{}, werr
		} else if werr != nil {
			return nil, remote.Attr{}, err
		}
		h, a, err = p.openPlain(ctx, s, path, flags)
	}
	if err != nil || !w.on.Load() {
		return h, a, err
	}
	a.Mode = a.Type() | w.mode
	if !refused && !same(a) {
		return h, a, nil
	}
	if err := p.setPerm(ctx, s, path, w.mode); err != nil {
		h.close()
		return nil, remote.Attr{}, err
	}
	w.on.Store(false)
	return h, a, nil
}

// widen gives the owner the right to open the file.
func (p *Pool) widen(ctx context.Context, s *session, path string, w *widening) error {
	have, err := p.lstatOn(ctx, s, path)
	if err != nil {
		return err
	}
	first := !w.on.Swap(true)
	if first {
		w.mode = have.Perm()
	}
	err = p.setPerm(ctx, s, path, have.Perm()|0o600)
	if first && err != nil && !unanswered(err) {
		w.on.Store(false)
	}
	return err
}

func (p *Pool) setPerm(ctx context.Context, s *session, path string, mode uint32) error {
	return s.client.StartSetstat(p.abs(path), sftp3.Attrs{Flags: sftp3.AttrPermissions, Permissions: mode}).WaitStatus(ctx)
}

// openPlain is an OPEN and an FSTAT: after a cut the handle counts, not what is
// at the path.
func (p *Pool) openPlain(ctx context.Context, s *session, path string, flags uint32) (*handle, remote.Attr, error) {
	h, err := p.openHandle(ctx, s, path, flags, sftp3.Attrs{})
	if err != nil {
		return nil, remote.Attr{}, err
	}
	a, err := h.fstat(ctx)
	if err != nil {
		h.close()
		return nil, remote.Attr{}, err
	}
	return h, a, nil
}

// learn takes from a file just made who we are and what time it is there.
func (p *Pool) learn(a remote.Attr, sent time.Time) {
	p.clock.learn(a.Mtime, sent, time.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.owned {
		p.info.UID, p.info.GID, p.info.KnownOwner, p.owned = a.UID, a.GID, true, true
	}
}

func (p *Pool) whyNotCreate(ctx context.Context, err error, path string) error {
	return why{p, ctx}.make(err, path)
}

func (p *Pool) whyNotOpen(ctx context.Context, err error, path string, flag remote.OpenFlag) error {
	y := why{p, ctx}
	base := errnoOf(err)
	switch {
	case base == syscall.EIO || base == syscall.EINVAL:
		return first(err,
			func() error {
				if base == syscall.EIO {
					return y.place(path)
				}
				return y.name(path)
			},
			func() error {
				if a, serr := p.stat(ctx, path); serr == nil && a.IsDir() {
					return syscall.EISDIR
				}
				return nil
			},
			func() error {
				if flag&(remote.FlagWrite|remote.FlagTruncate) != 0 {
					return y.disk(path, 0)
				}
				return nil
			})
	case base == syscall.EACCES && flag&(remote.FlagWrite|remote.FlagTruncate) != 0:
		if a, serr := p.stat(ctx, path); serr == nil && a.IsDir() {
			return syscall.EISDIR
		}
	}
	return base
}
