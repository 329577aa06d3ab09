package pool

import (
	"context"
	"crypto/rand"
	"errors"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// What is known of one server beyond its extensions is learned here, once for the
// Pool: from what it refuses, or does otherwise than was asked. It is logged once,
// and stands in the Status. What can be done otherwise is; nothing else is left out
// for it, since another folder may lie on another filesystem.

// A Quirk is something that a server does otherwise than programs expect.
type Quirk string

// The quirks.
const (
	NoModes       Quirk = "it refuses to set permissions: files keep those that it gives them, and chmod fails"
	NoTimes       Quirk = "it refuses to set times: files keep those of their writing, and touch fails"
	LosesTimes    Quirk = "it does not keep times that are set"
	TimeSteps     Quirk = "it keeps times in steps of two seconds"
	NoTypes       Quirk = "its listings do not tell folders from files; each name without a type is asked for"
	NoReadWrite   Quirk = "it refuses to open a file for reading and writing at once; that is done by two openings"
	OnlyAnew      Quirk = "it opens files for writing only to write them anew: programs that change a part of a file fail"
	DraftSymlink  Quirk = "it takes the arguments of SYMLINK the other way round than OpenSSH"
	FollowsLinks  Quirk = "its LSTAT, RENAME and SETSTAT follow symbolic links; a link is renamed by making it anew, nothing is renamed over one, and its attributes stay"
	EndsAtOpening Quirk = "what is open ends there where the file ended at the opening; what it grew by since is read by opening it once more"
	AbsoluteLinks Quirk = "it tells all targets of symbolic links as absolute paths; those inside of the remote are taken to be relative"
	OneSession    Quirk = "it confuses sessions that share a connection; each has a connection of its own"
	NoReplace     Quirk = "it cannot rename over a file that is there, so programs that save that way fail; mounts do it in steps with --replace-by-moving (-o workaround=rename), and sync by itself"
)

type quirks struct {
	mu      sync.Mutex
	known   []Quirk // guarded by mu; as they were learned
	symlink int     // guarded by mu; 1 as OpenSSH, 2 as the draft, 0 not known
	late    int     // guarded by mu; times in a row that came back otherwise
	links   atomic.Int32

	inexact  atomic.Bool // a file got another time than was set
	linkless atomic.Bool // it cannot make hard links at all, though it says so
	rewrites atomic.Bool // it opens a file for writing that is there, and leaves what is in it
}

// add reports whether it was not known before.
func (q *quirks) add(k Quirk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, known := range q.known {
		if known == k {
			return false
		}
	}
	q.known = append(q.known, k)
	return true
}

func (q *quirks) has(k Quirk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, known := range q.known {
		if known == k {
			return true
		}
	}
	return false
}

func (q *quirks) list() []Quirk {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]Quirk(nil), q.known...)
}

// learned notes a quirk, and says so the first time.
func (p *Pool) learned(k Quirk) {
	if p.quirks.add(k) {
		p.log.Warn("the server is different: "+string(k), "remote", p.cfg.Addr)
	}
}

// meets learns what the name of a server tells. ProFTPD's mod_sftp crashes, or leaves
// requests without an answer, when several sessions of a connection are at work; a
// crash takes everything along, so that it is not to be found out by trying.
func (p *Pool) meets(server string) {
	if !strings.Contains(server, "mod_sftp") {
		return
	}
	p.mu.Lock()
	p.perConn = 1
	p.mu.Unlock()
	p.learned(OneSession)
	p.quirks.links.CompareAndSwap(linksTrusted, linksSuspect)
}

// declines reports whether a server does not do what was asked, as opposed to
// failing at it for lack of room or of a connection.
func declines(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.EACCES, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EIO, syscall.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// declined tells a refusal of that kind from another error.
func declined(err error) (refused, other error) {
	if err != nil && declines(errnoOf(err)) {
		return err, nil
	}
	return nil, err
}

// asMade is what becomes of a file or folder just made whose permissions could not be
// set: it stays as the server made it. What is more open than was asked is said by
// name. Any other error takes back what was made.
func (p *Pool) asMade(path string, made, a remote.Attr, want uint32, err error, remove func() error) (remote.Attr, error) {
	if err == nil {
		return a, nil
	}
	if !declines(err) {
		return remote.Attr{}, errors.Join(err, remove())
	}
	p.learned(NoModes)
	if open := made.Perm() &^ want & 0o777; open != 0 {
		p.log.Warn("made more open than was asked: the server refuses to set permissions", "path", path, "asked", modeText(want), "is", modeText(made.Perm()))
	}
	return made, nil
}

func modeText(mode uint32) string {
	return string([]byte{'0', '0' + byte(mode>>6&7), '0' + byte(mode>>3&7), '0' + byte(mode&7)})
}

// timesRefused is what becomes of times that were to be set with a flush: data is not
// lost with them.
func (p *Pool) timesRefused(path string, err error) {
	p.learned(NoTimes)
	p.log.Debug("times could not be set", "path", path, "err", err)
}

// sawTime compares the mtime that was set with the one that came of it.
func (p *Pool) sawTime(c remote.Change, a remote.Attr) {
	want := int64(clampTime(c.Mtime))
	if c.Fields&remote.SetMtime == 0 || want >= 1<<31 {
		return
	}
	off := max(want-a.Mtime, a.Mtime-want)
	q := &p.quirks
	q.inexact.Store(off > 0)
	q.mu.Lock()
	if q.late++; off == 0 {
		q.late = 0
	}
	often := q.late > 1 // once it may be somebody else's change
	q.mu.Unlock()
	switch {
	case off > 0 && off <= 2 && a.Mtime%2 == 0 && want%2 == 1:
		p.learned(TimeSteps)
	case off > 2 && often:
		p.learned(LosesTimes)
	}
}

// mayJoinFlush reports whether times of a file may wait for its flush: those that
// would be refused are refused at once, as it is their caller who is to know.
func (p *Pool) mayJoinFlush(o *object) bool {
	if p.quirks.has(NoTimes) {
		return false
	}
	p.mu.Lock()
	owned, uid := p.owned, p.info.UID
	p.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	return !owned || uid == 0 || o.seen.UID == uid
}

// openHandle opens a file, on a server that may have ways of its own otherwise than
// asked.
func (p *Pool) openHandle(ctx context.Context, s *session, path string, pf uint32, attrs sftp3.Attrs) (*handle, error) {
	refused := error(nil)
	for _, way := range p.openings(s, pf) {
		h, err := p.openAs(ctx, s, path, way, pf, attrs)
		if err == nil {
			return h, nil
		}
		if refused == nil {
			refused = err
		}
		if lostRequest(err) || ctx.Err() != nil {
			return nil, err
		}
		if base := errnoOf(err); !declines(base) {
			return nil, refused
		}
		if pf&sftp3.OpenExclusive != 0 {
			if _, lerr := p.lstatOn(ctx, s, path); lostRequest(lerr) {
				return nil, lerr
			} else if errnoOf(lerr) != syscall.ENOENT {
				return nil, refused // it is there, and that is why
			}
		}
	}
	return nil, refused
}

// openings are the flags to try, one after the other: as asked, and where the server
// may have refused that as such, without reading, and for a new file with truncating,
// which is nothing then.
func (p *Pool) openings(s *session, pf uint32) []uint32 {
	if s.ordered || pf&sftp3.OpenWrite == 0 {
		return []uint32{pf}
	}
	var ways []uint32
	add := func(w uint32) {
		for _, have := range ways {
			if have == w {
				return
			}
		}
		ways = append(ways, w)
	}
	writes := pf &^ sftp3.OpenRead
	fresh := uint32(0)
	if pf&sftp3.OpenExclusive != 0 {
		fresh = sftp3.OpenTruncate
	}
	apart, anew := p.quirks.has(NoReadWrite), p.quirks.has(OnlyAnew)
	for _, w := range []struct {
		flags uint32
		fits  bool
	}{
		{pf, !apart && (!anew || fresh == 0)}, {writes, !anew || fresh == 0}, {pf | fresh, !apart}, {writes | fresh, true},
	} {
		if w.fits {
			add(w.flags)
		}
	}
	return ways
}

// openAs opens with some of the flags that were asked for. Where reading is missing
// it opens the file for that as well.
func (p *Pool) openAs(ctx context.Context, s *session, path string, way, pf uint32, attrs sftp3.Attrs) (*handle, error) {
	id, err := s.client.StartOpen(p.abs(path), way, attrs).WaitHandle(ctx)
	if err != nil {
		return nil, err
	}
	h := newHandle(s, path, id)
	if pf&^way&sftp3.OpenRead != 0 {
		if h.reads, err = s.client.StartOpen(p.abs(path), sftp3.OpenRead, sftp3.Attrs{}).WaitHandle(ctx); err != nil {
			h.reads = h.id
			h.close()
			if pf&sftp3.OpenExclusive != 0 {
				_ = s.client.StartRemove(p.abs(path)).WaitStatus(ctx) // we have just made it
			}
			return nil, err
		}
		p.learned(NoReadWrite)
	}
	if way&^pf&sftp3.OpenTruncate != 0 {
		p.learned(OnlyAnew)
	}
	if way&sftp3.OpenWrite != 0 && way&(sftp3.OpenTruncate|sftp3.OpenCreate) == 0 {
		p.quirks.rewrites.Store(true)
	}
	return h, nil
}

// symlink makes a link with the arguments in the order that the server takes.
func (p *Pool) symlink(s *session, target, path string) *sftp3.Call {
	p.quirks.mu.Lock()
	draft := p.quirks.symlink == 2
	p.quirks.mu.Unlock()
	if draft {
		return s.client.StartSymlink(p.abs(path), target)
	}
	return s.client.StartSymlink(target, p.abs(path))
}

// learnSymlink finds out in which order a server that is not known takes the
// arguments of SYMLINK, by a link between two names that are not there: whichever is
// made tells. Both are absolute, and in the folder where the first link is to be.
func (p *Pool) learnSymlink(ctx context.Context, linkPath string) error {
	p.quirks.mu.Lock()
	known := p.quirks.symlink != 0
	p.quirks.mu.Unlock()
	if known {
		return nil
	}
	dir, _ := remote.Split(linkPath)
	random := strings.ToLower(rand.Text()[:8])
	one, two := remote.Join(dir, ".remotemount-probe-"+random+"-1"), remote.Join(dir, ".remotemount-probe-"+random+"-2")
	order := 0
	err := p.repeat(ctx, laneLook, changes, func(ctx context.Context, s *session, _ bool) error {
		if s.ordered {
			order = 1
			return nil
		}
		err := s.client.StartSymlink(p.abs(one), p.abs(two)).WaitStatus(ctx)
		if lostRequest(err) {
			return err
		}
		for i, name := range []string{two, one} {
			a, lerr := p.lstatOn(ctx, s, name)
			if lostRequest(lerr) {
				return lerr
			}
			if lerr == nil && a.IsSymlink() {
				order = i + 1
			}
			if lerr == nil {
				if rerr := s.client.StartRemove(p.abs(name)).WaitStatus(ctx); lostRequest(rerr) {
					return rerr
				}
			}
		}
		if order != 0 {
			return nil
		}
		return err
	})
	if order == 0 {
		return err
	}
	p.quirks.mu.Lock()
	p.quirks.symlink = order
	p.quirks.mu.Unlock()
	if order == 2 {
		p.learned(DraftSymlink)
	}
	return err
}

// plainName is how long a name may be on every filesystem that people have.
const plainName = 100

// tooLong reports whether a server that is not specific refused a path because of the
// length of its last name: it says how long they may be, or does not even look such a
// name up where it looks up a short one.
func (y why) tooLong(at string) bool {
	dir, name := remote.Split(at)
	if len(name) <= plainName {
		return false
	}
	if st, err := y.p.StatFS(y.ctx, dir); err == nil && st.NameMax > 0 && uint64(len(name)) > st.NameMax {
		return true
	}
	_, err := y.lstat(at)
	if err == nil || isErrno(err, syscall.ENOENT) || isErrno(err, syscall.EACCES) {
		return false
	}
	_, err = y.lstat(path.Join(dir, name[:plainName/2]))
	return err == nil || isErrno(err, syscall.ENOENT)
}
