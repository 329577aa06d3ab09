package integration

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A mode is a way in which servers are different from OpenSSH's, one at a time. The
// built program meets it with the same tasks as the real ones.
type mode struct {
	name    string
	quirks  remotetest.Quirks
	without []string          // extensions
	flags   []string          // of the mount
	fails   map[string]string // of the tasks, by name: why
	learned string            // what `status` says; "" for nothing
	then    string            // one more script, in the mount
}

const (
	refused    = 3 // PERMISSION_DENIED
	badMessage = 5
)

// refusing refuses requests that set attributes with these flags.
func refusing(what uint32) func(remotetest.Request) uint32 {
	return func(r remotetest.Request) uint32 {
		if strings.HasSuffix(strings.ToUpper(strings.TrimSuffix(r.Type, "@openssh.com")), "SETSTAT") && r.Sets&what != 0 {
			return refused
		}
		return 0
	}
}

func modes() []mode {
	chmodFails := map[string]string{
		"edit and save":       "chmod itself fails, and says so",
		"rsync -a, and again": "rsync sets permissions",
	}
	return []mode{
		{name: "permissions are refused", quirks: remotetest.Quirks{Refuse: refusing(4)}, fails: chmodFails, learned: "refuses to set permissions"},
		{name: "times are refused", quirks: remotetest.Quirks{Refuse: refusing(8)}, learned: "refuses to set times",
			fails: map[string]string{"rsync -a, and again": "rsync sets times"},
			then: `echo x >again
				! touch -d '2001-02-03 04:05:07' again
				! rsync -a "$L/tree/a/3" again`},
		{name: "FAT's times", quirks: remotetest.Quirks{SetTimes: func(s int64) int64 { return s &^ 1 }}, learned: "steps of two seconds",
			fails: map[string]string{"rsync -a, and again": "rsync needs --modify-window=1 there"}},
		{name: "times are not kept", quirks: remotetest.Quirks{KeepsNoTimes: true}, learned: "does not keep times",
			fails: map[string]string{"rsync -a, and again": "rsync needs --size-only there"}},
		{name: "listings without types", quirks: remotetest.Quirks{NoTypes: true, NoLongNames: true}, learned: "do not tell folders from files"},
		{name: "READ with WRITE refused", quirks: remotetest.Quirks{Refuse: func(r remotetest.Request) uint32 {
			if r.Type == "OPEN" && r.Flags&3 == 3 {
				return refused
			}
			return 0
		}}, learned: "reading and writing at once"},
		{name: "SYMLINK as the draft has it", quirks: remotetest.Quirks{DraftSymlink: true}, learned: "SYMLINK"},
		{name: "APPEND ignored", quirks: remotetest.Quirks{Refuse: func(r remotetest.Request) uint32 {
			if r.Type == "OPEN" && r.Flags&4 != 0 {
				return refused // it is never sent, so that ignoring it changes nothing
			}
			return 0
		}}},
		{name: "names over 143 bytes refused", quirks: remotetest.Quirks{Refuse: func(r remotetest.Request) uint32 {
			if len(filepath.Base(r.Path)) > 143 {
				return badMessage
			}
			return 0
		}}},
		{name: "no extensions", without: []string{"all"}, learned: "cannot rename over a file",
			fails: map[string]string{"edit and save": "sed -i renames over", "git clone, commit, fsck": "git renames over"}},
		{name: "no posix-rename, RENAME replaces", quirks: remotetest.Quirks{Replaces: true}, without: []string{"posix-rename@openssh.com"}},
		{name: "no posix-rename, replaced by moving", without: []string{"posix-rename@openssh.com"}, flags: []string{"-o", "workaround=rename"}},
	}
}

func init() {
	for _, m := range modes() {
		jobs[m.name] = func(t *testing.T, dir string) { m.serve(t, dir) }
	}
}

func (m mode) serve(t *testing.T, dir string) { scriptedJob(t, dir, m.quirks, m.without...) }

func TestModes(t *testing.T) {
	t.Parallel() // it takes long
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			users, err := lab.Users()
			must(t, err)
			u := users[len(users)-1]
			var o outcome
			p := product{name: m.name, fails: m.fails, flags: m.flags, then: m.then,
				start: func(t testing.TB, s *site) server { return server{s.child(t, m.name), s.remote} }}
			p.tasks(t, u, &o)
			said := slices.ContainsFunc(o.quirks, func(q string) bool { return strings.Contains(q, m.learned) })
			if m.learned == "" && len(o.quirks) > 0 || m.learned != "" && !said {
				t.Errorf("status says %q, and is to say %q", o.quirks, m.learned)
			}
		})
	}
}

// doctor and remote test show what is different, and try changes only if they are told.
func TestDoctorTriesChanges(t *testing.T) {
	users, err := lab.Users()
	must(t, err)
	s := newSite(t, users[len(users)-1])
	at := server{s.child(t, "permissions are refused"), s.remote}
	address := s.sshd.User + "@127.0.0.1:" + at.path
	doctor := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := s.run(t, binary, append(append([]string{"doctor"}, args...), append(s.connect(t, at.port), address)...)...)
		if code != 0 {
			t.Fatalf("%s%s", stdout, stderr)
		}
		if left := names(t, s.remote); len(left) > 0 {
			t.Errorf("left on the server: %v", left)
		}
		return stdout
	}
	if said := doctor(); !strings.Contains(said, "not tried") || strings.Contains(said, "refuses to set") {
		t.Errorf("without --write:\n%s", said)
	}
	said := doctor("--write")
	for _, want := range []string{"chmod: operation not permitted", "works: ", "renaming over a file", "symbolic links", "refuses to set permissions"} {
		if !strings.Contains(said, want) {
			t.Errorf("with --write there is no %q:\n%s", want, said)
		}
	}
	s.run(t, binary, append([]string{"remote", "add", "it", address}, s.connect(t, at.port)...)...)
	if stdout, stderr, code := s.run(t, binary, "remote", "test", "--write", "it"); code != 0 || !strings.Contains(stdout, "refuses to set permissions") {
		t.Errorf("remote test: %d %s%s", code, stdout, stderr)
	}
}

// Files of /proc have content and no size.
func TestDirectIO(t *testing.T) {
	users, err := lab.Users()
	must(t, err)
	s := newSite(t, users[len(users)-1])
	m := s.mountAt(t, s.sshd.Port, s.sshd.User+"@127.0.0.1:/proc/sys/kernel", s.point, "-o", "direct_io,ro")
	if got := s.sh(t, s.point, `cat ostype; cat ostype`); got != "Linux\nLinux\n" {
		t.Errorf("read %q", got)
	}
	unmount(t, m)
}

// The remote user is found before anything was made there.
func TestIDMapUserOnAReadOnlyMount(t *testing.T) {
	users, err := lab.Users()
	must(t, err)
	s := newSite(t, users[len(users)-1])
	m := s.mount(t, "-o", "idmap=user,ro")
	s.sh(t, s.point, `test "$(stat -c %U .)" = "$(id -un)"`)
	unmount(t, m)
}
