package sync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// An oracleWorld is a pair of folders, its users, and a Remote that is watched.
type oracleWorld struct {
	*ledger
	t       testing.TB
	name    string
	rnd     *rand.Rand
	roots   [2]string
	options Options
	users   [2]*user
	remote  remote.Remote
	fault   atomic.Pointer[func(op string) error]
	killed  bool // some runs are made by another process, which is killed
}

// spied is the Remote as a run gets it: it tells the ledger what was seen and what was
// placed, and fails when it is told to.
type spied struct {
	remote.Remote
	w *oracleWorld
}

func (s spied) fails(op string) error {
	if f := s.w.fault.Load(); f != nil {
		return (*f)(op)
	}
	return nil
}

func (s spied) ReadDir(ctx context.Context, at string, emit func([]remote.Entry) error) error {
	if err := s.fails("readdir"); err != nil {
		return err
	}
	err := s.Remote.ReadDir(ctx, at, emit)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.listed[at] = true
	return err
}

// touch notes a look at a path, and whether something may be done on what it tells.
func (s spied) touch(at string, blind bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.touched[at] = true
	s.w.blind[at] = s.w.blind[at] || blind
}

// done notes that something was done to a path: from then on changes can be told again.
func (s spied) done(paths ...string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, at := range paths {
		delete(s.w.blind, at)
	}
}

func (s spied) Lstat(ctx context.Context, at string) (remote.Attr, error) {
	s.touch(at, true)
	if err := s.fails("lstat"); err != nil {
		return remote.Attr{}, err
	}
	return s.Remote.Lstat(ctx, at)
}

func (s spied) Open(ctx context.Context, at string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	s.touch(at, false)
	if err := s.fails("open"); err != nil {
		return nil, remote.Attr{}, err
	}
	f, a, err := s.Remote.Open(ctx, at, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return spiedFile{f, s}, a, nil
}

type spiedFile struct {
	remote.File
	s spied
}

func (f spiedFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.s.fails("write"); err != nil {
		return 0, err
	}
	return f.File.WriteAt(ctx, p, off)
}

func (f spiedFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.s.fails("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(ctx, p, off)
}

func (f spiedFile) Flush(ctx context.Context) (remote.Attr, error) {
	if err := f.s.fails("flush"); err != nil {
		return remote.Attr{}, err
	}
	return f.File.Flush(ctx)
}

func (f spiedFile) Sync(ctx context.Context) (remote.Attr, error) {
	if err := f.s.fails("flush"); err != nil {
		return remote.Attr{}, err
	}
	return f.File.Sync(ctx)
}

func (f spiedFile) Close(ctx context.Context) error {
	return errors.Join(f.s.fails("close"), f.File.Close(ctx))
}

func (s spied) SetAttr(ctx context.Context, at string, c remote.Change) (remote.Attr, error) {
	defer s.done(at)
	return s.Remote.SetAttr(ctx, at, c)
}

// Rename sees what was placed. Before a source is set aside its copy must be here.
func (s spied) Rename(ctx context.Context, from, to string, noReplace bool) error {
	if err := s.fails("rename"); err != nil {
		return err
	}
	_, ours := parseTemp(Named{Name: path.Base(from)})
	if !ours {
		s.w.seen(Local, from)
	}
	err := s.Remote.Rename(ctx, from, to, noReplace)
	if err == nil && ours {
		s.w.seen(Remote, to)
	}
	if err == nil {
		s.done(from, to)
	}
	return err
}

func (s spied) Remove(ctx context.Context, at string) error {
	if err := s.fails("remove"); err != nil {
		return err
	}
	return s.Remote.Remove(ctx, at)
}

// seen notes that an edition of the other side is at a place.
func (w *oracleWorld) seen(side Side, at string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, err := readEdition(filepath.Join(w.roots[side], at))
	if err != nil {
		return
	}
	w.note(at, "the run sees %d on the %v side", w.idOf(text), side)
	if id := w.idOf(text); id >= 0 && w.all[id].side != side && w.all[id].path == at {
		w.all[id].copied = true
	}
}

// timeless is a server that takes times and does not keep them.
type timeless struct{ remote.Remote }

const allTimes = remote.SetAtime | remote.SetMtime

func (r timeless) SetAttr(ctx context.Context, at string, c remote.Change) (remote.Attr, error) {
	c.Fields &^= allTimes
	return r.Remote.SetAttr(ctx, at, c)
}

func (r timeless) Open(ctx context.Context, at string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := r.Remote.Open(ctx, at, flag, perm)
	if err != nil {
		return nil, a, err
	}
	return timelessFile{f}, a, nil
}

type timelessFile struct{ remote.File }

func (f timelessFile) SetAttr(ctx context.Context, c remote.Change) (remote.Attr, error) {
	c.Fields &^= allTimes
	return f.File.SetAttr(ctx, c)
}

// oracleModes are what the worlds are run with.
var oracleModes = []Options{
	{Mode: Push, Delete: true},
	{Mode: Pull, Delete: true},
	{Mode: Push},
	{Mode: Pull},
	{Mode: TwoWay},
	{Mode: TwoWay, Compare: CompareMtime},
	{Mode: Push, Delete: true, Compare: CompareHash},
	{Mode: Push, Compare: CompareSize, Delete: true, Prune: true},
	{Mode: Pull, Delete: true, Prune: true},
	{Mode: TwoWay, Compare: CompareHash},
	{Mode: Push, Update: true, Delete: true},
	{Mode: Pull, Update: true},
}

// stepping is a server that cannot rename over a file.
type stepping struct{ remote.Remote }

func (r stepping) Info() remote.Info {
	i := r.Remote.Info()
	delete(i.Extensions, "posix-rename@openssh.com")
	return i
}

func (r stepping) Rename(ctx context.Context, from, to string, noReplace bool) error {
	if _, err := r.Lstat(ctx, to); !noReplace && err == nil {
		return remote.PathError("rename", from, syscall.EOPNOTSUPP)
	}
	return r.Remote.Rename(ctx, from, to, true)
}

// torture is how long the oracle goes on.
func torture(t testing.TB) time.Duration {
	text := os.Getenv("REMOTEMOUNT_TORTURE")
	if text == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

func TestOracle(t *testing.T) {
	for _, kind := range []struct {
		name string
		make func(t *testing.T, root string) remote.Remote
	}{
		{"folder", func(_ *testing.T, root string) remote.Remote { return remotetest.NewDir(root) }},
		{"openssh", openSSH},
		{"serve", func(t *testing.T, root string) remote.Remote { _, p := served(t, root); return p }},
		{"timeless", func(_ *testing.T, root string) remote.Remote { return timeless{remotetest.NewDir(root)} }},
		{"stepping", func(_ *testing.T, root string) remote.Remote { return stepping{remotetest.NewDir(root)} }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			var runs, ops atomic.Int64
			seed := time.Now().UnixNano()
			until := time.Now().Add(torture(t))
			var worlds sync.WaitGroup
			for i := range oracleModes {
				if o := oracleModes[i]; kind.name == "timeless" && (o.Mode == TwoWay || o.Update) {
					continue // which is newer cannot be told there
				}
				remote := t.TempDir()
				w := newOracleWorld(t, oracleModes[i], remote, kind.make(t, remote), uint64(seed)+uint64(i))
				w.killed = kind.name == "folder"
				w.name = fmt.Sprintf("%s, %s %+v, seed %d", kind.name, w.options.Mode, w.options, seed+int64(i))
				worlds.Go(func() {
					for n := 1; time.Now().Before(until) && !t.Failed(); n++ {
						w.round()
						runs.Add(1)
						if n%roundsOfAWorld == 0 {
							w.afresh()
						}
					}
					w.mu.Lock()
					defer w.mu.Unlock()
					ops.Add(int64(w.ops))
				})
			}
			worlds.Wait()
			t.Logf("%d runs, %d operations", runs.Load(), ops.Load())
		})
	}
}

// roundsOfAWorld is for how long a world is kept: nothing that it has had is ever thrown
// away, and an hour of that filled a disk.
const roundsOfAWorld = 20

// afresh begins a world once more, with nothing in it.
func (w *oracleWorld) afresh() {
	if w.t.Failed() {
		return // to be looked at
	}
	for _, dir := range []string{w.roots[Local], w.roots[Remote], w.users[0].pit} {
		entries, err := os.ReadDir(dir)
		must(w.t, err)
		for _, e := range entries {
			must(w.t, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all, w.buried, w.history = nil, [2][]int{}, nil
}

func newOracleWorld(t testing.TB, o Options, remoteRoot string, remote remote.Remote, seed uint64) *oracleWorld {
	w := &oracleWorld{
		ledger: &ledger{}, t: t, rnd: rand.New(rand.NewPCG(seed, 1)), options: o,
		roots: [2]string{t.TempDir(), remoteRoot},
	}
	w.remote = spied{remote, w}
	pit := t.TempDir()
	for side := range w.users {
		w.users[side] = &user{
			ledger: w.ledger, t: t, rnd: rand.New(rand.NewPCG(seed, uint64(2+side))),
			side: Side(side), root: w.roots[side], pit: pit, mode: o,
		}
	}
	return w
}

// round is some changes, a run with changes during it, and the check.
func (w *oracleWorld) round() {
	for range w.rnd.IntN(8) {
		w.users[w.rnd.IntN(2)].act()
	}
	if w.killed && w.rnd.IntN(3) == 0 {
		w.killedRound()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.begin(true)
	users, stop := context.WithCancel(ctx)
	var staying sync.WaitGroup
	for _, u := range w.users {
		if w.rnd.IntN(3) > 0 {
			staying.Go(func() { u.stay(users) })
		}
	}
	w.disturb(cancel)
	r, err := New(Config{Options: w.options, Local: w.roots[Local], Remote: w.remote, Pair: w.roots[Local], Events: w.told})
	must(w.t, err)
	_, err = r.Run(ctx)
	stop()
	staying.Wait()
	w.fault.Store(nil)
	w.begin(false)
	if err != nil && !expected(err) {
		w.t.Errorf("%s: %v", w.name, err)
	}
	w.check()
}

// told notes what a run says of itself.
func (w *oracleWorld) told(e Event) {
	if e.Action.Path == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(e.Action.Path, "run: %s %v %s %s, %d bytes at %d over %v %d bytes at %d %v", e.Kind, e.Action.Op, e.Action.From, e.Action.Why,
		e.Action.Source.Size, e.Action.Source.Mtime, e.Action.Target.Kind, e.Action.Target.Size, e.Action.Target.Mtime, e.Err)
}

// killedRound has another process make the run, and kills it. What that sees is not
// known here, so that only the users of the source are at work.
func (w *oracleWorld) killedRound() {
	w.begin(true)
	users, stop := context.WithCancel(context.Background())
	var staying sync.WaitGroup
	if w.options.Mode != TwoWay {
		staying.Go(func() { w.users[w.options.source()].stay(users) })
	}
	w.mu.Lock()
	for at := range w.history {
		w.note(at, "a run that is killed")
	}
	w.mu.Unlock()
	killRun(w.t, w.options, w.roots[Local], w.roots[Remote], time.Duration(20+w.rnd.IntN(2500))*time.Millisecond)
	stop()
	staying.Wait()
	w.begin(false)
	w.check()
}

func (w *oracleWorld) begin(running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running, w.listed, w.touched, w.blind = running, map[string]bool{}, map[string]bool{}, map[string]bool{}
	if running {
		w.forget()
	}
}

// forget what earlier runs have seen: what was copied then, and is not there any more, and
// what users have thrown away.
func (w *oracleWorld) forget() {
	c := w.look()
	for _, e := range w.all {
		id, there := c.at[1-e.side][e.path]
		e.copied = there && id == e.id
	}
	w.buried = [2][]int{}
	thrown, err := os.ReadDir(w.users[0].pit)
	must(w.t, err)
	for _, e := range thrown {
		must(w.t, os.RemoveAll(filepath.Join(w.users[0].pit, e.Name())))
	}
}

// disturb makes some runs end badly.
func (w *oracleWorld) disturb(cancel func()) {
	left := atomic.Int64{}
	left.Store(int64(1 + w.rnd.IntN(60)))
	fail := func(op string, errno syscall.Errno, forEver bool) {
		f := func(now string) error {
			if op != "" && op != now {
				return nil
			}
			if n := left.Add(-1); n == 0 || n < 0 && forEver {
				return remote.PathError(now, "oracle", errno)
			}
			return nil
		}
		w.fault.Store(&f)
	}
	switch w.rnd.IntN(8) {
	case 0:
		time.AfterFunc(time.Duration(w.rnd.IntN(2500))*time.Millisecond, cancel)
	case 1:
		fail("", syscall.ETIMEDOUT, true) // cut, and not back
	case 2:
		fail("write", syscall.ENOSPC, true)
	case 3:
		fail("", syscall.EIO, false)
	case 4:
		fail("rename", syscall.EACCES, false)
	case 5:
		fail([]string{"read", "flush", "close"}[w.rnd.IntN(3)], syscall.EIO, w.rnd.IntN(2) == 0)
	}
}

func expected(err error) bool {
	for _, part := range []string{"canceled", "timed out", "oracle", "local folder", "remote folder"} {
		if strings.Contains(err.Error(), part) {
			return true
		}
	}
	return false
}
