package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// insideEnv names the work of a helper process. A test that is Go code and not
// a script, and has to run as another user, runs this test binary again as that
// user. This also keeps the test's own process out of the mount.
const (
	insideEnv = "REMOTEMOUNT_TEST_INSIDE"
	insideDir = "REMOTEMOUNT_TEST_DIR"
)

// jobs are what a helper process can do in a folder.
var jobs = map[string]func(t *testing.T, dir string){
	"posix":    posixJob,
	"glib":     glibSaveJob,
	"unlinked": unlinkedJob,
	"mmap":     mmapJob,
	"locks":    locksJob,
	"copy":     copyRangeJob,
	"contract": contractJob,
}

// TestInside is the body of a helper process.
func TestInside(t *testing.T) {
	name := os.Getenv(insideEnv)
	if name == "" {
		return // not a helper process
	}
	job := jobs[name]
	if job == nil {
		t.Fatalf("no job %q", name)
	}
	job(t, os.Getenv(insideDir))
}

// inside runs a job in a folder as the site's user.
func (s *site) inside(t *testing.T, name, dir string) {
	t.Helper()
	program := s.Path("inside.test")
	must(t, copyProgram(s.Lab))
	stdout, stderr, code := s.run(t, "env", insideEnv+"="+name, insideDir+"="+dir,
		program, "-test.run=^TestInside$", "-test.v="+fmt.Sprint(testing.Verbose()))
	if code != 0 {
		t.Errorf("%s in the mount:\n%s%s", name, stdout, tail(stderr))
	} else if testing.Verbose() {
		t.Log(stdout)
	}
}

// copyProgram puts this test binary where the Lab's user can run it, as inside.test.
func copyProgram(l *lab.Lab) error {
	if _, err := os.Stat(l.Path("inside.test")); err == nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return l.WriteFile("inside.test", data, 0o755)
}

// names lists a folder on the server's side.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	slices.Sort(list)
	return list
}

// wantContent compares a file with what it should hold.
func wantContent(t testing.TB, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", filepath.Base(path), tail(string(got)), tail(want))
	}
}
