package sync

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// aFreshSecond waits until a second has just begun.
func aFreshSecond() {
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(1050 * time.Millisecond).Sub(now))
}

func writeText(t testing.TB, full, text string) {
	t.Helper()
	must(t, os.WriteFile(full, []byte(text), 0o644))
}

// A second version is written within the second of the first, of the same size.
// Once it was left behind for ever, and with Delete removed without a copy.
func TestASecondThatIsNotOverIsNotBelieved(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		for _, remove := range []bool{false, true} {
			p := newPairing(t, Options{Mode: mode, Delete: remove})
			from, to := p.local, p.remote
			if mode == Pull {
				from, to = to, from
			}
			aFreshSecond()
			writeText(t, filepath.Join(from, "f"), "aaaa")
			var second sync.WaitGroup
			second.Go(func() {
				time.Sleep(400 * time.Millisecond)
				writeText(t, filepath.Join(from, "f"), "bbbb")
			})
			p.run()
			second.Wait()
			p.run()
			wantFile(t, to, "f", "bbbb")
		}
	}
}

// What an earlier run, or anybody, has left at the target is no copy before both
// were read.
func TestDeleteComparesInFull(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode, Delete: true})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		put(t, from, "f", "never copied", old)
		put(t, to, "f", "another text", old)
		p.run()
		wantFile(t, to, "f", "never copied")
	}
}

// A source that was read is replaced, or written to, before it is removed.
func TestDeleteSparesWhatWasWrittenMeanwhile(t *testing.T) {
	for name, disturb := range map[string]func(at string) error{
		"replaced": func(at string) error {
			return errors.Join(os.WriteFile(at+"~", []byte("fresh"), 0o644), os.Rename(at+"~", at))
		},
		"written": func(at string) error { return os.WriteFile(at, []byte("fresh"), 0o644) },
	} {
		p := newPairing(t, Options{Mode: Push, Delete: true})
		put(t, p.local, "f", "first", old)
		at := filepath.Join(p.local, "f")
		p.dir.Before = once("rename", func(string) error {
			err := disturb(at)
			return errors.Join(err, os.Chtimes(at, time.Unix(old, 0), time.Unix(old, 0)))
		})
		p.run()
		wantFile(t, p.local, "f", "fresh")
		noTemps(t, p.local, p.remote)
		p.run()
		wantFile(t, p.remote, "f", "fresh")
		wantAbsent(t, p.local, "f")
		_ = name
	}
}

// A program that has the source open for writing goes on writing to it.
func TestDeleteSparesWhatIsOpen(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	put(t, p.local, "f", "first\n", old)
	f, err := os.OpenFile(filepath.Join(p.local, "f"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	p.run()
	if _, err := f.WriteString("second\n"); err != nil {
		t.Fatal(err)
	}
	must(t, f.Close())
	wantFile(t, p.local, "f", "first\nsecond\n")
	aFreshSecond()
	aFreshSecond()
	p.run()
	wantFile(t, p.remote, "f", "first\nsecond\n")
	wantAbsent(t, p.local, "f")
}

// A run that dies between setting a source aside and removing it: the next gives
// it its name back, also when somebody took the copy away meanwhile.
func TestASourceSetAsideComesBack(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode, Delete: true})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		name := strings.Repeat("long ", 18)
		put(t, from, newRun(p.config()).aside(name), "text", old)
		p.run()
		wantFile(t, to, name, "text")
		wantAbsent(t, from, name)
		noTemps(t, from, to)
	}
}

// Source and target are one folder.
func TestSourceAndTargetAreOne(t *testing.T) {
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		for name, c := range map[string]struct{ local, remote string }{
			"same":             {"x/y", "x/y"},
			"remote inside":    {"x", "x/y"},
			"local inside":     {"x/y/z", "x"},
			"remote is a link": {"x/y", "link"},
		} {
			t.Run(mode.String()+" "+name, func(t *testing.T) {
				p := newPairing(t, Options{Mode: mode, Delete: mode != TwoWay})
				root := p.local
				put(t, root, "x/y/z/f", "precious", old)
				must(t, os.Symlink("x/y", filepath.Join(root, "link")))
				p.local, p.remote = filepath.Join(root, c.local), filepath.Join(root, c.remote)
				p.dir = dirAt(p.remote)
				before := treeText(t, root, true)
				if _, err := p.try(t.Context()); mode != TwoWay && !errors.Is(err, ErrUsage) {
					t.Errorf("%v", err)
				}
				if after := treeText(t, root, true); mode != TwoWay && after != before {
					t.Errorf("changed:\n%s\nwas\n%s", after, before)
				}
				wantFile(t, root, "x/y/z/f", "precious")
			})
		}
	}
}

// A dry run refuses what the run would, as far as that is known without making a name.
func TestADryRunKnowsOurOwnMounts(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true, DryRun: true})
	put(t, p.local, "f", "text", old)
	c := p.config()
	c.LocalOnRemote = c.Remote.Info().Root + "/sub"
	r, err := New(c)
	must(t, err)
	if _, err := r.Run(t.Context()); !errors.Is(err, ErrOverlap) || !errors.Is(err, ErrUsage) {
		t.Error(err)
	}
}

// A folder gets its time when all in it is done, and a file whose mode differs some time
// after the listing. Whatever somebody has put there meanwhile keeps its own time: by an
// older one it would lose against the other side.
func TestAttributesAreSetOnlyOnWhatWasSeen(t *testing.T) {
	for _, mode := range []Mode{Push, Pull, TwoWay} {
		p := newPairing(t, Options{Mode: mode})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		put(t, from, "dir/a", "a", old)
		put(t, from, "f", "alike", old)
		put(t, to, "f", "alike", old)
		setTime(t, filepath.Join(from, "dir"), old)
		must(t, os.Chmod(filepath.Join(from, "f"), 0o604))
		swap := func(name string) {
			must(t, os.Rename(filepath.Join(to, name), filepath.Join(t.TempDir(), "away")))
			put(t, to, name, "of somebody", young)
			must(t, os.Chmod(filepath.Join(to, name), 0o600))
		}
		var dir, file sync.Once
		p.dir.Before = func(_ context.Context, op, path string) error {
			if _, err := os.Stat(filepath.Join(to, "dir")); err == nil && strings.HasPrefix(path, "dir/") && op != "mkdir" {
				dir.Do(func() { swap("dir") })
			}
			if path == "f" && mode != TwoWay {
				file.Do(func() { swap("f") })
			}
			return nil
		}
		p.run()
		for _, name := range []string{"dir", "f"} {
			info, err := os.Stat(filepath.Join(to, name))
			must(t, err)
			if name == "dir" || mode == Push {
				if info.Mode() != 0o600 || info.ModTime().Unix() != young {
					t.Errorf("%v: %s has %v, %v", mode, name, info.Mode(), info.ModTime())
				}
			}
		}
	}
}

// Two folders that are apart have one within them in common, as a bind mount has.
func TestAFolderInsideIsOneWithTheOther(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		p := newPairing(t, Options{Mode: mode, Delete: true})
		put(t, p.local, "sub/f", "precious", old)
		must(t, os.Mkdir(filepath.Join(p.remote, "sub"), 0o755))
		bind(t, filepath.Join(p.local, "sub"), filepath.Join(p.remote, "sub"))
		if _, err := p.try(t.Context()); !errors.Is(err, ErrOverlap) {
			t.Errorf("%v", err)
		}
		wantFile(t, p.local, "sub/f", "precious")
		noTemps(t, p.local)
	}
}

func bind(t testing.TB, from, to string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	must(t, syscall.Mount(from, to, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { must(t, syscall.Unmount(to, 0)) })
}

// wired is a Remote whose times are what SFTP carries: 32 bits without a sign.
type wired struct{ remote.Remote }

func (w wired) attr(a remote.Attr) remote.Attr {
	a.Mtime = int64(uint32(a.Mtime))
	return a
}

func (w wired) Lstat(ctx context.Context, path string) (remote.Attr, error) {
	a, err := w.Remote.Lstat(ctx, path)
	return w.attr(a), err
}

func (w wired) Open(ctx context.Context, path string, flag remote.OpenFlag, perm uint32) (remote.File, remote.Attr, error) {
	f, a, err := w.Remote.Open(ctx, path, flag, perm)
	return f, w.attr(a), err
}

func (w wired) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return w.Remote.ReadDir(ctx, path, func(entries []remote.Entry) error {
		for i := range entries {
			entries[i].Attr = w.attr(entries[i].Attr)
		}
		return emit(entries)
	})
}

func (p *pairing) wiredRun() *Result {
	p.t.Helper()
	return p.runOn(wired{p.dir})
}

// A time before 1970 comes over the wire as one after 2106 minus a little.
func TestATimeBefore1970IsOld(t *testing.T) {
	p := newPairing(t, Options{Mode: TwoWay})
	put(t, p.local, "f", "of today", young)
	put(t, p.remote, "f", "of the year 1969", -1000)
	p.wiredRun()
	wantFile(t, p.local, "f", "of today")
	wantFile(t, p.remote, "f", "of today")
	if again := p.wiredRun(); again.Changed() {
		t.Errorf("%+v", again)
	}
}

// A time far ahead decides nothing.
func TestATimeInTheFutureIsAConflict(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		p := newPairing(t, Options{Mode: TwoWay})
		later := time.Now().Add(49 * time.Hour).Unix()
		put(t, p.local, "f", "of today", young)
		put(t, p.remote, "f", "of another day", later)
		if ahead {
			setTime(t, filepath.Join(p.local, "f"), later)
			setTime(t, filepath.Join(p.remote, "f"), young)
		}
		res := p.wiredRun()
		wantFile(t, p.local, "f", "of today")
		wantFile(t, p.remote, "f", "of another day")
		if !res.Partial() || res.ConflictCount != 1 || res.Conflicts[0].Path != "f" {
			t.Errorf("%+v", res)
		}
	}
}

// Nothing of what a part has is taken unread where a source goes, nor on pull.
func TestAResumedPartIsComparedInFull(t *testing.T) {
	const size = 28 << 20
	for _, o := range []Options{{Mode: Push, Delete: true}, {Mode: Pull}, {Mode: TwoWay}} {
		p := newPairing(t, o)
		from, to := p.local, p.remote
		if o.Mode != Push {
			from, to = to, from
		}
		good := pattern(1, size)
		put(t, from, "large", string(good), old)
		bad := append([]byte(nil), good[:24<<20]...)
		bad[200_000]++ // between two of the samples
		put(t, to, newRun(p.config()).part("large", file(size, old)), string(bad), young)
		p.run()
		wantFile(t, to, "large", string(good))
	}
}

// The server's answer to CLOSE is the last word on what was written.
func TestCloseIsWaitedFor(t *testing.T) {
	p := newPairing(t, Options{Mode: Push, Delete: true})
	put(t, p.local, "f", "text", old)
	put(t, p.remote, "f", "old", old)
	p.dir.Before = func(_ context.Context, op, path string) error {
		if op == "close" && path != "f" {
			return syscall.EDQUOT
		}
		return nil
	}
	if res := p.run(); res.FailureCount != 1 {
		t.Errorf("%+v", res)
	}
	wantFile(t, p.local, "f", "text")
	wantFile(t, p.remote, "f", "old")
}

// Two machines push old files into one folder, the second while the first is
// about to give its part the name.
func TestAnotherMachinesPartIsLeft(t *testing.T) {
	a := newPairing(t, Options{Mode: Push})
	put(t, a.local, "a", "of one machine", old)
	b := newPairing(t, Options{Mode: Push})
	put(t, b.local, "b", "of another", old)
	b.remote, b.dir = a.remote, dirAt(a.remote)
	a.dir.Before = once("rename", func(string) error {
		_, err := b.try(t.Context())
		return err
	})
	if res := a.run(); res.Partial() {
		t.Errorf("%+v", res.Failures)
	}
	wantFile(t, a.remote, "a", "of one machine")
	wantFile(t, a.remote, "b", "of another")
}

// A program that has the target open writes to it after it was replaced.
func TestATargetThatIsOpenForWritingIsKept(t *testing.T) {
	p := newPairing(t, Options{Mode: Pull})
	put(t, p.local, "f", "old\n", old)
	put(t, p.remote, "f", "newer", young)
	f, err := os.OpenFile(filepath.Join(p.local, "f"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	res := p.run()
	_, err = f.WriteString("more\n")
	must(t, errors.Join(err, f.Close()))
	wantFile(t, p.local, "f", "old\nmore\n")
	if res.FailureCount != 1 || !errors.Is(res.Failures[0].Err, errTargetChanged) {
		t.Errorf("%+v", res)
	}
	noTemps(t, p.local)
}

// lateRename is a server that executes a rename a while after it was asked for, whether
// anybody waits for the answer or not.
type lateRename struct {
	remote.Remote
	begun, executed chan struct{}
}

func (r lateRename) Rename(ctx context.Context, from, to string, noReplace bool) error {
	close(r.begun)
	done := make(chan error, 1)
	go func() {
		time.Sleep(200 * time.Millisecond)
		err := r.Remote.Rename(context.WithoutCancel(ctx), from, to, noReplace)
		close(r.executed)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A rename whose answer is not waited for would replace what somebody has put there
// after the run.
func TestARunEndsWithItsRenames(t *testing.T) {
	for _, there := range []bool{false, true} {
		p := newPairing(t, Options{Mode: Push})
		writeText(t, filepath.Join(p.local, "f"), "new")
		if there {
			writeText(t, filepath.Join(p.remote, "f"), "of before")
		}
		c := p.config()
		r := lateRename{p.dir, make(chan struct{}), make(chan struct{})}
		c.Remote = r
		run, err := New(c)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-r.begun
			cancel()
		}()
		_, _ = run.Run(ctx)
		select {
		case <-r.executed:
		default:
			t.Errorf("there before: %v: the run is over, and its rename comes later", there)
			<-r.executed
		}
		wantFile(t, p.remote, "f", "new")
	}
}
