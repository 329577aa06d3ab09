package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// syncing begins a sync of the built program in the background.
func (s *site) syncing(t testing.TB, args ...string) (stop func()) {
	t.Helper()
	args = append(append([]string{"sync"}, args...), s.connect(t, s.sshd.Port)...)
	cmd := s.Command(context.Background(), binary, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	return func() {
		t.Helper()
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait() // interrupted
		if t.Failed() {
			t.Logf("the sync said:\n%s", tail(said.String()))
		}
	}
}

// spool is how many jobs go through the spool, as many in a torture.
func spool() int {
	if os.Getenv("REMOTEMOUNT_TORTURE") != "" {
		return 40
	}
	return 8
}

// A spool as people have it: one name and one size again and again, with --watch and
// --after delete. Each job is on the server when it is gone from here; one that is
// written over before it was fetched is none.
func TestSpool(t *testing.T) {
	t.Parallel() // it takes long
	need(t)
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		local := s.Path("spool")
		must(t, s.Mkdir(local, 0o755))
		stop := s.syncing(t, "push", "--watch", "--after", "delete", local, s.address())
		defer stop()
		here, there := filepath.Join(local, "job"), filepath.Join(s.remote, "job")
		right := 0
		for n := range spool() {
			first, last := fmt.Sprintf("job %06d of the spool", 2*n), fmt.Sprintf("job %06d of the spool", 2*n+1)
			must(t, s.WriteFile(here, []byte(first), 0o644))
			time.Sleep(time.Duration(n%10) * 100 * time.Millisecond)
			if _, err := os.Stat(here); err == nil { // written over within the same second, perhaps while it is read
				must(t, s.WriteFile(here, []byte(last), 0o644))
			} else {
				last = first
			}
			if !gone(here, 30*time.Second) {
				t.Fatalf("job %d is still there", n)
			}
			if got, err := os.ReadFile(there); err == nil && string(got) == last {
				right++
			} else {
				t.Errorf("job %d: %q, %v", n, got, err)
			}
		}
		t.Logf("%d of %d", right, spool())
	})
}

func gone(path string, within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Lstat(path); os.IsNotExist(err) {
			return true
		}
	}
	return false
}

// A run is killed at random moments. Each file is whole on one side at least at every
// moment, under its own name or set aside, and in the end all are on the server.
func TestSyncKilledAgainAndAgain(t *testing.T) {
	t.Parallel() // it takes long
	need(t)
	eachUser(t, func(t *testing.T, u lab.User) {
		for _, mode := range []string{"push", "pull"} {
			s := newSite(t, u)
			local := s.Path("local")
			must(t, s.Mkdir(local, 0o755))
			from, to, args := local, s.remote, []string{local, s.address()}
			if mode == "pull" {
				from, to, args = to, from, []string{s.address(), local}
			}
			const files = 400
			for n := range files {
				must(t, s.WriteFile(filepath.Join(from, fmt.Sprint("f", n)), fmt.Appendf(nil, "text %d", n), 0o644))
			}
			args = append(append([]string{"sync", mode, "--after", "delete"}, args...), s.connect(t, s.sshd.Port)...)
			for round := range 12 {
				cmd := s.Command(context.Background(), binary, args...)
				must(t, cmd.Start())
				time.Sleep(time.Duration(60+70*round) * time.Millisecond)
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // killed
				time.Sleep(100 * time.Millisecond)
				if n := len(wholeTexts(t, from, to)); n != files {
					t.Fatalf("%s, round %d: %d of %d are left", mode, round, n, files)
				}
			}
			if _, stderr, code := s.run(t, binary, args...); code != 0 {
				t.Fatalf("%s: exit code %d: %s", mode, code, stderr)
			}
			if n := len(wholeTexts(t, to)); n != files {
				t.Errorf("%s: %d of %d arrived", mode, n, files)
			}
			if left, err := os.ReadDir(from); err != nil || len(left) != 0 {
				t.Errorf("%s: left at the source: %v, %v", mode, left, err)
			}
		}
	})
}

// wholeTexts are the different contents of files in some folders.
func wholeTexts(t testing.TB, dirs ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err == nil && strings.HasPrefix(string(text), "text ") {
				found[string(text)] = true
			}
		}
	}
	return found
}

// The folder is reached by way of a mount of ours.
func TestSyncOntoItselfThroughAMount(t *testing.T) {
	need(t)
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		must(t, s.Mkdir(filepath.Join(s.remote, "sub"), 0o755))
		must(t, s.WriteFile(filepath.Join(s.remote, "sub/f"), []byte("precious"), 0o644))
		s.mount(t)
		for _, c := range [][2]string{{s.point, s.address()}, {s.point + "/sub", s.address() + "/sub"}, {s.point + "/sub", s.address()}, {s.point, s.address() + "/sub"}} {
			for _, args := range [][]string{{"push", c[0], c[1]}, {"pull", c[1], c[0]}} {
				args = append(append([]string{"sync", "--after", "delete"}, args...), s.connect(t, s.sshd.Port)...)
				args[1], args[2], args[3] = args[3], args[1], args[2] // the verb comes first
				_, stderr, code := s.run(t, binary, args...)
				if code != 2 || !strings.Contains(stderr, "one, or lie in one another") {
					t.Errorf("%v: exit code %d: %s", args[:5], code, stderr)
				}
			}
		}
		if text, err := os.ReadFile(filepath.Join(s.remote, "sub/f")); err != nil || string(text) != "precious" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// TestSyncBelowAFolderThatIsNotThere: OpenSSH then does not tell where the folder would
// be, and nothing waits for a connection that would be of no use.
func TestSyncBelowAFolderThatIsNotThere(t *testing.T) {
	need(t)
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		must(t, s.Mkdir("local", 0o755))
		began := time.Now()
		for _, more := range [][]string{nil, {"--dry-run"}} {
			args := append(append([]string{"sync", "push"}, more...), s.connect(t, s.sshd.Port)...)
			_, said, code := s.run(t, binary, append(args, s.Path("local"), s.address()+"/above/it")...)
			if code != 1 || !strings.Contains(said, "hint: a sync makes one folder") {
				t.Errorf("%v: exit code %d:\n%s", more, code, said)
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v to say so", took)
		}
	})
}
