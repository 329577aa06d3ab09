package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// manyMounts is how often TestMountsInARow mounts; REMOTEMOUNT_MOUNTS says otherwise.
const manyMounts = 20

// TestMountsInARow mounts, works, and unmounts many times: nothing fails, and nothing
// is left of it but the files of the slots, unlocked.
func TestMountsInARow(t *testing.T) {
	times := manyMounts
	if n, err := strconv.Atoi(os.Getenv("REMOTEMOUNT_MOUNTS")); err == nil {
		times = n
	}
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		var took []time.Duration
		for i := range times {
			pid := s.inBackground(t)
			s.sh(t, s.Dir, fmt.Sprintf(`echo %d >"$M/file"; exec 3>"$M/open"; rm "$M/open"; exec 3>&-; mkdir "$M/dir"; rmdir "$M/dir"`, i))
			began := time.Now()
			_, stderr, code := s.run(t, binary, "unmount", s.point)
			took = append(took, time.Since(began))
			if code != 0 || runs(pid) {
				t.Fatalf("unmount %d: exit code %d, running %v: %s", i, code, runs(pid), stderr)
			}
		}
		slices.Sort(took)
		t.Logf("unmount, of %d: median %v, longest %v", times, took[times/2].Round(time.Millisecond), took[times-1].Round(time.Millisecond))
		if got := names(t, s.remote); !slices.Equal(got, []string{"file"}) {
			t.Errorf("on the server: %v", got)
		}
		left := processesOf(t, s.Lab)
		for range 100 { // the server's own end when they notice that the last connection has
			if len(left) == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
			left = processesOf(t, s.Lab)
		}
		if len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		s.nothingHeld(t)
	})
}

// nothingHeld looks at what mounts leave in the runtime folder: no socket, and no
// connection's lock that is held.
func (s *site) nothingHeld(t testing.TB) {
	t.Helper()
	must(t, filepath.WalkDir(s.Run, func(path string, e os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case e.Type() == os.ModeSocket:
			t.Errorf("a socket is left: %s", path)
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // read only
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			t.Errorf("a slot is held: %s", path)
		}
		return nil
	}))
}

// TestTwentyMounts has twenty mounts of one remote at work at once, with the cap that
// there is by default, and then one more.
func TestTwentyMounts(t *testing.T) {
	const mounts, limit = 20, 25
	s := newSite(t, ordinary(t))
	s.fillFiles(t)
	l := s.far(t, 2*time.Millisecond)
	s.mountBy(t, l.Port())
	for i := range mounts - 1 {
		point := s.Path(fmt.Sprint("mnt", i))
		must(t, s.Mkdir(point, 0o755))
		s.mountAt(t, l.Port(), s.address(), point)
	}
	work := func(point string) string {
		return fmt.Sprintf(`cat %[1]s/files/large %[1]s/files/*3 | cmp - "$L/want-3"; echo %[1]s >"%[1]s/$(basename %[1]s)"; test "$(cat "$R/$(basename %[1]s)")" = %[1]s`, point)
	}
	jobs := []*job{s.start(t, work(s.point))}
	for i := range mounts - 1 {
		jobs = append(jobs, s.start(t, work(s.Path(fmt.Sprint("mnt", i)))))
	}
	for _, j := range jobs {
		j.succeeds(t)
	}
	if n := l.Stats().Open; n > limit {
		t.Errorf("%d connections, at most %d are allowed", n, limit)
	}
	t.Logf("%d connections of %d", l.Stats().Open, limit)

	// One more, which has none: whoever has one to spare gives it up.
	more := s.Path("more")
	must(t, s.Mkdir(more, 0o755))
	began := time.Now()
	s.mountAt(t, l.Port(), s.address(), more)
	s.start(t, work(more)).succeeds(t)
	t.Logf("one more mount works after %v", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("one more mount took %v", took)
	}
}

// TestTooManyMounts pins what a mount says that finds every connection in use.
func TestTooManyMounts(t *testing.T) {
	s := newSite(t, ordinary(t))
	s.mount(t, "--max-connections", "2")
	second := s.Path("second")
	must(t, s.Mkdir(second, 0o755))
	s.mountAt(t, s.sshd.Port, s.address(), second, "--max-connections", "2")
	third := s.Path("third")
	must(t, s.Mkdir(third, 0o755))
	args := append(append([]string{"mount", "--foreground", "--max-connections", "2"}, s.connect(t, s.sshd.Port)...), s.address(), third)
	began := time.Now()
	_, stderr, code := s.run(t, binary, args...)
	if code == 0 || !strings.Contains(stderr, "max-connections") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	for _, point := range []string{s.point, second} {
		s.sh(t, s.Dir, fmt.Sprintf(`echo x >%s/file`, point))
	}
}
