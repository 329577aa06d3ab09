package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// A copy of this size meets several cuts at this rate.
const (
	copySize = 200 << 20
	copyRate = 24 << 20
)

// TestCopyUnderCuts copies large files in both directions while every connection
// is reset each second. The programs must not notice, and no byte may be wrong.
func TestCopyUnderCuts(t *testing.T) {
	t.Parallel() // it takes long
	d := newDistant(t, ordinary(t))
	m := d.mount(t)
	d.noise(t, "source", copySize)
	d.sh(t, d.Dir, `ln source "$R/there"`)
	for name, copies := range map[string][2]string{
		"cp": {`cp source "$M/in"`, `cp "$M/there" out`},
		"dd": {`dd if=source of="$M/in" bs=1M conv=fsync status=none`, `dd if="$M/there" of=out bs=1M conv=fsync status=none`},
	} {
		t.Run(name, func(t *testing.T) {
			d.link.SetRate(copyRate)
			d.link.SetDelay(2 * time.Millisecond)
			connections, took := d.cutting(func() {
				in, out := d.start(t, copies[0]), d.start(t, copies[1])
				in.succeeds(t)
				out.succeeds(t)
			})
			d.link.SetRate(0)
			d.sh(t, d.Dir, `cmp source "$R/in"; cmp source out; rm "$M/in" out; touch "$R/there"`)
			if connections < 5 {
				t.Errorf("only %d connections: few cuts were met", connections)
			}
			t.Logf("%d MiB each way in %.1f s, %.0f MB/s each; %d connections",
				copySize>>20, took.Seconds(), copySize/took.Seconds()/1e6, connections)
		})
	}
	unmount(t, m)
}

// Of the rounds of changes.
const (
	rounds    = 1000
	fewRounds = 150
)

func init() { // see inside_test.go
	jobs["changes"] = func(t *testing.T, dir string) { changes(t, dir, rounds) }
	jobs["few changes"] = func(t *testing.T, dir string) { changes(t, dir, fewRounds) }
}

// changes makes, renames, links and removes, and leaves a tree that tells whether
// each was done once. A mkdir or an exclusive create that had been done twice, or
// a rename or removal that had been done and then reported as failed, ends it.
func changes(t testing.TB, dir string, rounds int) {
	t.Helper()
	for i := range rounds {
		d := filepath.Join(dir, fmt.Sprint("d", i))
		name := filepath.Join(d, "name")
		must(t, os.Mkdir(d, 0o755))
		f, err := os.OpenFile(filepath.Join(d, "new"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		must(t, err)
		_, err = fmt.Fprintln(f, i)
		must(t, err)
		must(t, f.Close())
		must(t, os.Rename(f.Name(), name))
		switch i % 10 {
		case 3:
			must(t, os.Link(name, filepath.Join(d, "link")))
		case 5:
			must(t, os.Symlink("name", filepath.Join(d, "symlink")))
		case 7:
			must(t, os.Chmod(name, 0o600))
		case 9:
			must(t, os.Rename(d, filepath.Join(dir, fmt.Sprint("e", i))))
		default:
			must(t, os.Remove(name))
			must(t, os.Remove(d))
		}
	}
}

// compareTrees compares $L/here with the served folder.
const compareTrees = `
	list() { (cd "$1" && find . -mindepth 1 -printf '%P|%y|%m|%l|' \( -type d -printf '\n' -o -printf '%s\n' \) | sort); }
	list "$R" >on-server
	list here >expected
	diff expected on-server
	diff -r --no-dereference here "$R"
`

// TestChangesUnderCuts runs a thousand rounds of small changes under cuts, and
// compares with the same rounds in a local folder.
func TestChangesUnderCuts(t *testing.T) {
	t.Parallel() // it takes long
	d := newDistant(t, ordinary(t))
	m := d.mount(t)
	must(t, d.Mkdir("here", 0o755))
	d.inside(t, "changes", d.Path("here"))
	d.link.SetDelay(500 * time.Microsecond)
	connections, took := d.cutting(func() { d.inside(t, "changes", d.point) })
	unmount(t, m)
	d.sh(t, d.Dir, compareTrees)
	if connections < 5 {
		t.Errorf("only %d connections: few cuts were met", connections)
	}
	t.Logf("%d rounds in %.1f s; %d connections", rounds, took.Seconds(), connections)
}

// TestServerRestarts copies and changes while the link is cut, single sessions
// die, and the server is killed and started again.
func TestServerRestarts(t *testing.T) {
	t.Parallel() // it takes long
	eachUser(t, func(t *testing.T, u lab.User) {
		d := newDistant(t, u)
		m := d.mount(t)
		d.noise(t, "source", copySize/8)
		d.sh(t, d.Dir, `cp source "$R/back"`)
		must(t, copyProgram(d.Lab))
		d.link.SetRate(copyRate / 3)
		d.link.SetDelay(time.Millisecond)
		all := []*job{
			d.start(t, `dd if=source of="$M/in" bs=1M conv=fsync status=none`),
			d.start(t, `cp "$M/back" back`),
			d.start(t, fmt.Sprintf(`exec env %s="few changes" %s="$M" "$L/inside.test" -test.run='^TestInside$'`, insideEnv, insideDir)),
		}
		for range 2 {
			time.Sleep(500 * time.Millisecond)
			d.link.Cut()
			time.Sleep(700 * time.Millisecond)
			d.killSession(t)
			time.Sleep(500 * time.Millisecond)
			must(t, d.sshd.Kill())
			time.Sleep(500 * time.Millisecond)
			must(t, d.sshd.Start())
			time.Sleep(500 * time.Millisecond)
		}
		for _, j := range all {
			j.succeeds(t)
		}
		d.link.SetRate(0)
		unmount(t, m)
		must(t, d.Mkdir("here", 0o755))
		d.inside(t, "few changes", d.Path("here"))
		d.sh(t, d.Dir, `
			cmp source "$R/in"
			cmp source back
			rm "$R/in" "$R/back"`+compareTrees)
	})
}

// TestOneSessionDies pins that work goes on when the process behind the one
// session of an idle mount is killed, with files open.
func TestOneSessionDies(t *testing.T) {
	d := newDistant(t, currentUser(t))
	d.mount(t)
	d.noise(t, "remote/old", 4<<20)
	old, err := os.Open(filepath.Join(d.point, "old"))
	must(t, err)
	defer func() { _ = old.Close() }() // read only
	first := make([]byte, 10)
	_, err = old.ReadAt(first, 0)
	must(t, err)
	written, err := os.Create(filepath.Join(d.point, "new"))
	must(t, err)
	_, err = written.WriteString("before ")
	must(t, err)
	must(t, written.Sync())
	for range 3 {
		d.killSession(t)
		_, err = written.WriteString("after ")
		must(t, err)
		must(t, written.Sync())
		_, err = old.ReadAt(first, 3<<20)
		must(t, err)
	}
	must(t, written.Close())
	wantContent(t, d.onServer("new"), "before after after after ")
}

// TestNoLeakAfterCuts cuts an idle and a working mount a hundred times. Then it
// has no more descriptors than before, and no more goroutines than a mount that
// was never cut: SIGQUIT has the Go runtime list them.
func TestNoLeakAfterCuts(t *testing.T) {
	const cuts = 45
	fresh := goroutinesAfter(t, 0)
	left := goroutinesAfter(t, cuts)
	t.Logf("goroutines after %d cuts: %d, without: %d", cuts, left, fresh)
	// One that each cut leaves would be as many; a further session, which a busy
	// machine is reason enough for, has six.
	if left > fresh+20 {
		t.Errorf("%d goroutines after %d cuts, %d without", left, cuts, fresh)
	}
}

func goroutinesAfter(t *testing.T, times int) int {
	t.Helper()
	d := newDistant(t, currentUser(t))
	m := d.mountToEnd(t)
	work := func(i int) {
		name := filepath.Join(d.point, fmt.Sprint("file", i))
		must(t, os.WriteFile(name, []byte("text"), 0o644))
		wantContent(t, name, "text")
		must(t, os.Remove(name))
	}
	work(0)
	before := descriptors(t, m.PID())
	for i := range times {
		d.link.Cut()
		work(i)
	}
	eventually(t, 20*time.Second, "no more descriptors than before", func() bool {
		return descriptors(t, m.PID()) <= before
	})
	time.Sleep(500 * time.Millisecond) // for goroutines of the last connection to end
	return goroutines(t, m)
}

// TestCutLongAfterWriting cuts when the last data left long ago and is still on
// its way: what arrived of it meanwhile is ours, however new it looks.
func TestCutLongAfterWriting(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mount(t)
	writer := d.hold(t, 12<<20)
	d.link.SetRate(1500 << 10)
	d.write(t)
	time.Sleep(5 * time.Second)
	d.link.Cut()
	d.link.SetRate(0)
	must(t, d.Mkdir("close", 0o755))
	writer.succeeds(t)
	unmount(t, m)
	d.sh(t, d.Dir, `cmp source "$R/file"`)
}

// TestCutsWhileReopening has many files open, so that some are being opened again
// when the next cut comes.
func TestCutsWhileReopening(t *testing.T) {
	d := newDistant(t, currentUser(t))
	m := d.mount(t)
	d.link.SetDelay(5 * time.Millisecond)
	const files, syncs, text = 50, 30, "0123456789"
	d.cutting(func() {
		var all sync.WaitGroup
		for i := range files {
			all.Go(func() {
				if err := writeAndSync(filepath.Join(d.point, fmt.Sprint("file", i)), text, syncs); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	unmount(t, m)
	for i := range files {
		wantContent(t, d.onServer(fmt.Sprint("file", i)), strings.Repeat(text, syncs))
	}
}

// writeAndSync appends a text so many times, each time with an fsync.
func writeAndSync(path, text string, times int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for range times {
		_, err := f.WriteString(text)
		if err = errors.Join(err, f.Sync()); err != nil {
			return errors.Join(err, f.Close())
		}
		time.Sleep(100 * time.Millisecond)
	}
	return f.Close()
}
