package sync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The oracle. Users write editions of files on both sides, between runs and during
// them, each edition unlike any other; runs are cut, filled up, cancelled and killed.
// After each the two sentences must hold: a source was removed only if its copy was on
// the other side, and a target was replaced only by the rules, if it was what the plan
// saw, by something whole.

// An edition is one content that a user gave one path of one side.
type edition struct {
	id        int
	side      Side
	path      string
	size      int
	sum       [32]byte
	mtime     int64
	afterPlan bool // the run had planned with what was there before
	dead      bool // a user replaced or removed it
	copied    bool // the other side has it, or had it in this run
	gone      bool // a run took it away, by the rules
}

// text is the content of an edition: its number, and bytes up to its size.
func text(id, size int) []byte {
	head := fmt.Sprintf("edition %08d ", id)
	if size <= 1<<10 {
		return []byte(head + strings.Repeat(string(rune('a'+id%26)), size-len(head)))
	}
	b := pattern(byte(id), size)
	copy(b, head)
	return b
}

// readEdition reads a file, or where a link leads.
func readEdition(at string) ([]byte, error) {
	if to, err := os.Readlink(at); err == nil {
		return []byte(to), nil
	}
	return os.ReadFile(at)
}

// idOf is the number of the edition that a file holds; -1 when it is not whole.
func (l *ledger) idOf(content []byte) int {
	var id int
	if _, err := fmt.Sscanf(string(content[:min(len(content), 17)]), "edition %d ", &id); err != nil || id >= len(l.all) {
		return -1
	}
	if l.all[id].sum != sha256.Sum256(content) {
		return -1
	}
	return id
}

// A ledger knows every edition there ever was.
type ledger struct {
	mu      sync.Mutex
	all     []*edition          // guarded by mu
	listed  map[string]bool     // remote folders that this run has read; guarded by mu
	touched map[string]bool     // paths that this run has opened or looked at there; guarded by mu
	blind   map[string]bool     // those to which it will do something on its last look; guarded by mu
	ops     int                 // what users did; guarded by mu
	running bool                // guarded by mu
	buried  [2][]int            // what users of a side have replaced; guarded by mu
	history map[string][]string // the last of what happened to a path; guarded by mu
}

// note keeps what happened to a path, to be told when something is wrong there. mu is
// held.
func (l *ledger) note(at, format string, args ...any) {
	if l.history == nil {
		l.history = map[string][]string{}
	}
	h := append(l.history[at], time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
	l.history[at] = h[max(0, len(h)-30):]
}

// A user changes things on one side, each change in one step.
type user struct {
	*ledger
	t    testing.TB
	rnd  *rand.Rand
	side Side
	root string
	pit  string // where what a user throws away goes, on the same filesystem
	n    int
	mode Options
}

func (u *user) somewhere() string {
	parts := make([]string, 1+u.rnd.IntN(2))
	for i := range parts {
		parts[i] = string(rune('a' + u.rnd.IntN(4)))
	}
	return strings.Join(parts, "/")
}

// exposed reports a change that nobody could tell: of a target on the server, between the
// last look at it and what is done to it.
func (u *user) exposed(at string) bool {
	return u.running && u.side == Remote && (u.mode.source() != Remote || u.mode.Mode == TwoWay) && u.blind[at]
}

// act does one random thing.
func (u *user) act() {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := u.somewhere()
	if u.exposed(at) || u.exposed(path.Dir(at)) {
		return
	}
	full := filepath.Join(u.root, at)
	info, err := os.Lstat(full)
	u.ops++
	switch n := u.rnd.IntN(12); {
	case n == 0 && err == nil:
		u.throwAway(full)
	case n == 1 && errors.Is(err, fs.ErrNotExist):
		_ = os.Mkdir(full, 0o755) // the folder above may be a file
	case n < 5 && err == nil && info.Mode().IsRegular() && (u.side == Local || !u.running):
		u.rewrite(at, full)
	default:
		u.replace(at, full)
	}
}

// next registers an edition, of a least size, before it is seen anywhere.
func (u *user) next(at string, least int) (*edition, []byte) {
	size := []int{64, 64, 64, 100, 400}[u.rnd.IntN(5)]
	if u.running && u.side == Remote {
		size = 401 + len(u.all)%600 // of one size and second nobody could tell them apart
	}
	if u.rnd.IntN(60) == 0 {
		size = 5<<20 + u.rnd.IntN(1<<20)
	}
	size = max(size, least)
	content := text(len(u.all), size)
	e := &edition{id: len(u.all), side: u.side, path: at, size: size, sum: sha256.Sum256(content)}
	e.afterPlan = u.running && (u.touched[at] || u.side == Remote && u.listed[path.Dir(at)])
	u.all = append(u.all, e)
	u.note(at, "%v user writes %d", u.side, e.id)
	return e, content
}

// stamp gives the file a time: mostly that of now, sometimes one that other editions
// have, too.
func (u *user) stamp(e *edition, full string) {
	set, look := unix.Lutimes, os.Lstat
	if strings.HasPrefix(full, "/proc/") { // an open file
		set, look = unix.Utimes, os.Stat
	}
	if (u.side == Local || !u.running) && u.rnd.IntN(3) == 0 {
		when := unix.Timeval{Sec: old + int64(u.rnd.IntN(3))}
		must(u.t, set(full, []unix.Timeval{when, when}))
	}
	info, err := look(full)
	must(u.t, err)
	e.mtime = info.ModTime().Unix()
}

func (u *user) inPit() string {
	u.n++
	return filepath.Join(u.pit, fmt.Sprint(u.side, u.n))
}

// replace puts a new file in the place of what is there, in one step.
func (u *user) replace(at, full string) {
	if os.MkdirAll(filepath.Dir(full), 0o755) != nil {
		return // a file is in the way
	}
	e, content := u.next(at, 0)
	fresh := u.inPit()
	if u.mode.Mode != TwoWay && e.size <= 1<<10 && u.rnd.IntN(6) == 0 {
		must(u.t, os.Symlink(string(content), fresh))
	} else {
		must(u.t, os.WriteFile(fresh, content, 0o644))
	}
	if u.rnd.IntN(6) == 0 {
		must(u.t, os.Link(fresh, u.inPit())) // whoever removes that name changes the file's ctime
	}
	u.stamp(e, fresh)
	for {
		err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, full, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			if err = unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, full, unix.RENAME_EXCHANGE); err == nil {
				u.bury(fresh)
				return
			}
		}
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOENT) || os.MkdirAll(filepath.Dir(full), 0o755) != nil {
			e.dead = true // the folder is gone, or a file: it never was there
			return
		}
	}
}

// rewrite writes into the file that is there, in one call: a truncation before it would
// be a state of its own, and is copied where it lasts for longer than a second.
func (u *user) rewrite(at, full string) {
	f, err := os.OpenFile(full, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { must(u.t, f.Close()) }()
	was, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	must(u.t, err)
	e, content := u.next(at, len(was))
	u.die(was)
	_, err = f.WriteAt(content, 0)
	must(u.t, err)
	u.stamp(e, fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

func (u *user) throwAway(full string) {
	if to := u.inPit(); os.Rename(full, to) == nil {
		u.bury(to)
	}
}

// bury marks what a user has thrown away, a file or all in a folder.
func (u *user) bury(at string) {
	must(u.t, filepath.WalkDir(at, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := readEdition(p)
		u.die(content)
		return err
	}))
}

// die marks an edition where it was written as dead, and one that was copied as
// having been there.
func (u *user) die(content []byte) {
	id := u.idOf(content)
	if id < 0 {
		return
	}
	u.note(u.all[id].path, "%v user buries %d", u.side, id)
	if e := u.all[id]; e.side == u.side {
		e.dead = true
	} else {
		e.copied = true
	}
	u.buried[u.side] = append(u.buried[u.side], id) // an edition of this side may have come back as a copy
}

// stay acts until told to stop.
func (u *user) stay(ctx context.Context) {
	for ctx.Err() == nil {
		u.act()
		_ = sleep(ctx, time.Duration(u.rnd.IntN(40))*time.Millisecond)
	}
}
