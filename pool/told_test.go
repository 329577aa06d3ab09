package pool_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A checkout makes each file, writes it, asks what it is and closes it: two round trips
// each where the server takes the time that we say, with its clock right or wrong.
func TestTimeOfAFileMadeHereIsToldAtOnce(t *testing.T) {
	const turn = toldTurn
	for name, tt := range map[string]struct {
		server      string
		flags       remote.OpenFlag
		quirks      remotetest.Quirks
		clock       time.Duration
		flush       bool
		stat, close time.Duration
	}{
		"made here":                 {flags: remote.FlagExclusive, close: turn},
		"a clock that is wrong":     {flags: remote.FlagExclusive, clock: -2 * time.Hour, close: turn},
		"there before":              {stat: turn, close: turn},
		"flushed since":             {flags: remote.FlagExclusive, flush: true, stat: turn, close: turn},
		"a server of no order":      {server: "SSH-2.0-Other", flags: remote.FlagExclusive, stat: 2 * turn, close: turn},
		"a server without times":    {flags: remote.FlagExclusive, quirks: remotetest.Quirks{Refuse: sets(setsTimes, denied)}, stat: turn, close: turn},
		"a server that loses times": {flags: remote.FlagExclusive, quirks: remotetest.Quirks{KeepsNoTimes: true}, stat: turn, close: turn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := remotetest.NewServer(t, t.TempDir())
				s.Bubble, s.Latency, s.Clock, s.Quirks = true, turn, tt.clock, tt.quirks
				if tt.server != "" {
					s.Identification = tt.server
				}
				p := connected(t, s, pool.Config{Timeout: 20 * time.Second})
				var statTook, closeTook time.Duration
				var told remote.Attr
				for _, name := range []string{"a", "b", "c"} { // what a server does otherwise is learned from the first
					if tt.flags == 0 {
						save(t, p, name, "", 0o644)
					}
					f, _, err := p.Open(t.Context(), name, remote.FlagWrite|remote.FlagCreate|tt.flags, 0o644)
					if err != nil {
						t.Fatal(err)
					}
					if tt.flush {
						_, _ = f.WriteAt(t.Context(), []byte("first"), 0)
						if _, err := f.Sync(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					untilIn(-turn / 4) // the data arrives in another second than it was written in
					if _, err := f.WriteAt(t.Context(), []byte("a line"), 0); err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					if told, err = f.Stat(t.Context()); err != nil {
						t.Fatal(err)
					}
					statTook = time.Since(start)
					start = time.Now()
					if err := f.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					closeTook = time.Since(start)
				}
				after, err := p.Lstat(t.Context(), "c")
				if err != nil || after.Mtime != told.Mtime || after.Size != told.Size {
					t.Errorf("told %d bytes of %d, then it has %d of %d, %v", told.Size, told.Mtime, after.Size, after.Mtime, err)
				}
				if statTook, closeTook = statTook.Round(turn), closeTook.Round(turn); statTook != tt.stat || closeTook != tt.close {
					t.Errorf("Stat took %v and Close %v, want %v and %v", statTook, closeTook, tt.stat, tt.close)
				}
			})
		})
	}
}

// toldTurn is the round trip of the servers below.
const toldTurn = 100 * time.Millisecond

// A toldFile is one that was made here and written to, and whose time was told.
type toldFile struct {
	remote.File
	s *remotetest.Server
	p *pool.Pool
}

func withTold(t *testing.T, do func(t *testing.T, f *toldFile)) {
	synctest.Test(t, func(t *testing.T) {
		s := remotetest.NewServer(t, t.TempDir())
		s.Bubble, s.Latency = true, toldTurn
		p := connected(t, s, pool.Config{Timeout: 20 * time.Second})
		save(t, p, "other", "0123456789", 0o644)
		f := &toldFile{s: s, p: p}
		f.make(t, "f")
		f.write(t, "data")
		f.stat(t)
		do(t, f)
	})
}

// make makes a file, and goes on with that.
func (f *toldFile) make(t *testing.T, name string) {
	t.Helper()
	made, _, err := f.p.Open(t.Context(), name, remote.FlagRead|remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.File = made
}

func (f *toldFile) write(t *testing.T, data string) {
	t.Helper()
	if _, err := f.WriteAt(t.Context(), []byte(data), 0); err != nil {
		t.Fatal(err)
	}
}

func (f *toldFile) stat(t *testing.T) remote.Attr {
	t.Helper()
	a, err := f.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f *toldFile) close(t *testing.T) {
	t.Helper()
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// there is the mtime that the server has.
func (f *toldFile) there(t *testing.T) int64 {
	t.Helper()
	st, err := os.Stat(filepath.Join(f.s.Root, "f"))
	if err != nil {
		t.Fatal(err)
	}
	return st.ModTime().Unix()
}

// untilIn waits for a moment in the next second but one.
func untilIn(at time.Duration) {
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(2*time.Second + at)))
}

func TestToldTime(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, f *toldFile){
		"is set soon in a file that stays open": func(t *testing.T, f *toldFile) {
			time.Sleep(time.Hour)
			now := time.Now()
			path := filepath.Join(f.s.Root, "f")
			if err := errors.Join(os.WriteFile(path, []byte("longer"), 0o644), os.Chtimes(path, now, now)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			byPath, err := f.p.Lstat(t.Context(), "f")
			if a := f.stat(t); err != nil || a.Size != 6 || byPath.Size != 6 {
				t.Errorf("told %d and %d bytes of 6, %v", a.Size, byPath.Size, err)
			}
			f.close(t)
			if f.there(t) != now.Unix() {
				t.Error("the close has set back the time of a change on the server")
			}
		},
		"hides no other file at its path": func(t *testing.T, f *toldFile) {
			time.Sleep(time.Minute)
			another := filepath.Join(f.s.Root, "another")
			if err := errors.Join(os.WriteFile(another, []byte("another one"), 0o644), os.Rename(another, filepath.Join(f.s.Root, "f"))); err != nil {
				t.Fatal(err)
			}
			_, _ = f.IsAt(t.Context())
			time.Sleep(3 * time.Second)
			if is, err := f.IsAt(t.Context()); is || err != nil {
				t.Errorf("%v, %v", is, err)
			}
		},
		"of who looks while the flush is under way": func(t *testing.T, f *toldFile) {
			untilIn(-70 * time.Millisecond)
			f.write(t, "more")
			flushed := make(chan remote.Attr)
			go func() { a, _ := f.Flush(t.Context()); flushed <- a }()
			time.Sleep(toldTurn * 9 / 10)
			look, err := f.p.Lstat(t.Context(), "f")
			if err != nil {
				t.Fatal(err)
			}
			a := <-flushed
			start := time.Now()
			f.close(t)
			if took := time.Since(start); took > 0 || look.Mtime != a.Mtime || f.there(t) != a.Mtime {
				t.Errorf("told %d and %d, has %d after %v more", look.Mtime, a.Mtime, f.there(t), took)
			}
		},
		"gives way to one that is set by the path": func(t *testing.T, f *toldFile) {
			time.Sleep(2 * toldTurn)
			if _, err := f.p.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: 1e9, Mtime: 1e9}); err != nil {
				t.Fatal(err)
			}
			f.close(t)
			if f.there(t) != 1e9 {
				t.Errorf("it has %d", f.there(t))
			}
		},
		"is not that of what is copied afterwards": func(t *testing.T, f *toldFile) {
			src, _, err := f.p.Open(t.Context(), "other", remote.FlagRead, 0)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			now := time.Now().Unix()
			if _, err := f.p.Copy(t.Context(), f.File, 0, src, 0, 10); err != nil {
				t.Fatal(err)
			}
			f.close(t)
			if f.there(t) < now-1 {
				t.Errorf("copied at %d, it has %d", now, f.there(t))
			}
		},
		"shows a change of another second": func(t *testing.T, f *toldFile) {
			f.close(t)
			f.make(t, "g")
			untilIn(toldTurn / 2)
			f.write(t, "one")
			time.Sleep(3 * toldTurn)
			before, err := f.p.Lstat(t.Context(), "g")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(1350 * time.Millisecond)
			f.write(t, "two")
			f.stat(t)
			f.close(t)
			if after, err := f.p.Lstat(t.Context(), "g"); err != nil || after.Mtime == before.Mtime {
				t.Errorf("%d before and after, %v", before.Mtime, err)
			}
		},
		"is not to come when an answer took long": func(t *testing.T, f *toldFile) {
			f.close(t)
			untilIn(-850 * time.Millisecond)
			go func() {
				time.Sleep(10 * time.Millisecond)
				f.s.Stall(true)
				time.Sleep(850 * time.Millisecond)
				f.s.Stall(false)
			}()
			save(t, f.p, "late", "x", 0o644)
			for range 3 {
				untilIn(-20 * time.Millisecond)
				f.make(t, time.Now().String())
				time.Sleep(3 * toldTurn)
				f.write(t, "data")
				if a := f.stat(t); a.Mtime > time.Now().Unix() {
					t.Errorf("told %d s too much", a.Mtime-time.Now().Unix())
				}
				f.close(t)
			}
		},
		"is not one to come that was set before": func(t *testing.T, f *toldFile) {
			far := time.Now().Add(365 * 24 * time.Hour).Unix()
			if _, err := f.p.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: far, Mtime: far}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			f.write(t, "more")
			f.stat(t)
			f.close(t)
			if f.there(t) == far {
				t.Error("written now, it has a time in a year")
			}
		},
		"concerns no other File when a flush fails": func(t *testing.T, f *toldFile) {
			g, _, err := f.p.Open(t.Context(), "f", remote.FlagWrite, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.write(t, "more")
			f.stat(t)
			f.s.Next("fsync@openssh.com", "", remotetest.Fail)
			if _, err := f.Sync(t.Context()); err == nil {
				t.Error("the failure is not told")
			}
			if _, err := g.Flush(t.Context()); err != nil {
				t.Errorf("another File's flush: %v", err)
			}
		},
		"tells nothing of the server when it is refused once": func(t *testing.T, f *toldFile) {
			f.s.Next("FSETSTAT", "f", remotetest.Fail)
			f.close(t)
			if q := f.p.Status().Quirks; len(q) > 0 {
				t.Error(q)
			}
		},
		"stays away when others are set at once": func(t *testing.T, f *toldFile) {
			if _, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetMode | remote.SetMtime | remote.SetAtime, Mode: 0o600, Mtime: 1e9, Atime: 1e9}); err != nil {
				t.Fatal(err)
			}
			f.close(t)
			if f.there(t) != 1e9 {
				t.Errorf("it has %d", f.there(t))
			}
			f.make(t, "g")
			f.write(t, "data")
			start := time.Now()
			if f.stat(t); time.Since(start) > 0 {
				t.Error("the server counts as one that does not keep times")
			}
		},
	} {
		t.Run(name, func(t *testing.T) { withTold(t, do) })
	}
}
