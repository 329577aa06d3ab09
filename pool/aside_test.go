package pool_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// withoutPosixRename is a server on which old and new are there.
func withoutPosixRename(t *testing.T, q remotetest.Quirks) *remotetest.Server {
	t.Helper()
	s := remotetest.NewServer(t, t.TempDir())
	s.Identification, s.Quirks = "SSH-2.0-Other", q
	delete(s.Extensions, "posix-rename@openssh.com")
	for _, name := range []string{"old", "new"} {
		if err := os.WriteFile(filepath.Join(s.Root, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// content is what the files of a folder hold, by their names.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if got := content(t, dir); !maps.Equal(got, want) {
		t.Errorf("on the server: %q, want %q", got, want)
	}
}

func TestNoPosixRenameAndRenameReplaces(t *testing.T) {
	p, s, _ := otherPool(t, withoutPosixRename(t, remotetest.Quirks{Replaces: true}), pool.Config{})
	if err := p.Rename(t.Context(), "new", "old", false); err != nil {
		t.Error(err)
	}
	wantFiles(t, s.Root, map[string]string{"old": "new"})
	knows(t, p)
	save(t, p, "third", "third", 0o644)
	if err := p.Rename(t.Context(), "third", "old", true); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("a rename that must not replace: %v", err)
	}
}

func TestNoPosixRenameIsRefusedAndTheOptionIsNamed(t *testing.T) {
	p, s, log := otherPool(t, withoutPosixRename(t, remotetest.Quirks{}), pool.Config{})
	for range 2 {
		if err := p.Rename(t.Context(), "new", "old", false); !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Errorf("%v", err)
		}
	}
	wantFiles(t, s.Root, map[string]string{"old": "old", "new": "new"})
	knows(t, p, pool.NoReplace)
	if n := strings.Count(log.String(), "--replace-by-moving"); n != 1 {
		t.Errorf("the option is named %d times:\n%s", n, log)
	}
}

// journal counts what is written down.
func journal(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(list)
}

func TestReplaceByMovingNeverLeavesANameWithoutAFile(t *testing.T) {
	s, dir := withoutPosixRename(t, remotetest.Quirks{}), filepath.Join(t.TempDir(), "replacing")
	written := 0
	s.Script(func(r remotetest.Request) remotetest.Fate {
		if r.Type == "RENAME" && r.Path == "old" {
			written = journal(t, dir)
		}
		if has := slices.Collect(maps.Values(content(t, s.Root))); !slices.Contains(has, "old") && !slices.Contains(has, "new") {
			t.Errorf("ahead of %s there is %q", r.Type, has)
		}
		return remotetest.Answer
	})
	p, _, _ := otherPool(t, s, pool.Config{Replacing: dir})
	if err := p.Rename(t.Context(), "new", "old", false); err != nil {
		t.Error(err)
	}
	wantFiles(t, s.Root, map[string]string{"old": "new"})
	if written != 1 || journal(t, dir) != 0 {
		t.Errorf("written down %d before the old file stepped aside, and %d in the end", written, journal(t, dir))
	}
	s.Script(nil)
	if err := os.Mkdir(filepath.Join(s.Root, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := p.Rename(t.Context(), "old", "folder", false); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("over a folder: %v", err)
	}
}

// Each request of a replacement is the last of its process; the next mount settles it.
func TestReplaceByMovingIsSettledByTheNextMount(t *testing.T) {
	for _, at := range []string{"RENAME old", "RENAME new", "REMOVE aside"} {
		for _, fate := range []remotetest.Fate{remotetest.CutBefore, remotetest.CutAfter} {
			t.Run(at+" "+fate.String(), func(t *testing.T) {
				s, dir := withoutPosixRename(t, remotetest.Quirks{}), filepath.Join(t.TempDir(), "replacing")
				p, _, _ := otherPool(t, s, pool.Config{Replacing: dir})
				what, path, _ := strings.Cut(at, " ")
				died := make(chan struct{})
				s.Script(func(r remotetest.Request) remotetest.Fate {
					if r.Type != what || path != "aside" && (r.Path != path || r.Target == "old" && path == "new" && content(t, s.Root)["old"] != "") {
						return remotetest.Answer
					}
					s.Script(nil)
					s.Refuse(syscall.ECONNREFUSED)
					close(died)
					return fate
				})
				go func() { _ = p.Rename(t.Context(), "new", "old", false) }()
				<-died
				p.Abort()
				if all := slices.Collect(maps.Values(content(t, s.Root))); !slices.Contains(all, "old") && !slices.Contains(all, "new") {
					t.Fatalf("both are gone: %q", all)
				}
				s.Refuse(nil)
				otherPool(t, s, pool.Config{Replacing: dir})
				got := content(t, s.Root)
				if got["old"] != "old" && got["old"] != "new" || got["old"] == "old" && got["new"] != "new" || journal(t, dir) != 0 {
					t.Errorf("settled: %q, %d left in the journal", got, journal(t, dir))
				}
				delete(got, "old")
				delete(got, "new")
				if len(got) > 0 {
					t.Errorf("left behind: %q", got)
				}
			})
		}
	}
}

func TestReplaceByMovingIsSettledByAReconnect(t *testing.T) {
	t.Parallel()
	s, dir := withoutPosixRename(t, remotetest.Quirks{}), filepath.Join(t.TempDir(), "replacing")
	p, _, _ := otherPool(t, s, pool.Config{Replacing: dir})
	stepped := false
	s.Script(func(r remotetest.Request) remotetest.Fate {
		if _, there := content(t, s.Root)["old"]; there || r.Type != "RENAME" {
			return remotetest.Answer
		}
		stepped = true
		s.Refuse(syscall.ECONNREFUSED)
		return remotetest.CutBefore
	})
	if err := p.Rename(t.Context(), "new", "old", false); err == nil || !stepped {
		t.Fatalf("the server went away in the middle of it: %v, %v", err, stepped)
	}
	s.Script(nil)
	s.Refuse(nil)
	for end := time.Now().Add(20 * time.Second); journal(t, dir) > 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	wantFiles(t, s.Root, map[string]string{"old": "old", "new": "new"})
}

// What somebody else has put in the place meanwhile is not ours to judge.
func TestAReplacedFileIsKeptWhereItsNameIsAnothers(t *testing.T) {
	s, dir := withoutPosixRename(t, remotetest.Quirks{}), filepath.Join(t.TempDir(), "replacing")
	p, _, _ := otherPool(t, s, pool.Config{Replacing: dir})
	died := make(chan struct{})
	s.Script(func(r remotetest.Request) remotetest.Fate {
		if _, there := content(t, s.Root)["old"]; there || r.Type != "RENAME" {
			return remotetest.Answer
		}
		s.Script(nil)
		s.Refuse(syscall.ECONNREFUSED)
		close(died)
		return remotetest.CutBefore
	})
	go func() { _ = p.Rename(t.Context(), "new", "old", false) }()
	<-died
	p.Abort()
	if err := os.WriteFile(filepath.Join(s.Root, "old"), []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Refuse(nil)
	_, _, log := otherPool(t, s, pool.Config{Replacing: dir})
	all := slices.Sorted(maps.Values(content(t, s.Root)))
	if !slices.Equal(all, []string{"new", "old", "theirs"}) || !strings.Contains(log.String(), "is kept") {
		t.Errorf("%q\n%s", all, log)
	}
}

func TestOwnerIsFoundBeforeAnythingIsMade(t *testing.T) {
	type table struct {
		name  string
		setup func(*remotetest.Server)
		known bool
	}
	for _, tt := range []table{
		{"by the owner of the home folder", func(s *remotetest.Server) { delete(s.Extensions, "users-groups-by-id@openssh.com") }, true},
		{"by the table of users", func(s *remotetest.Server) { s.Users = map[uint32]string{4711: "me"} }, true},
		{"not where the home is root's", func(s *remotetest.Server) {
			delete(s.Extensions, "users-groups-by-id@openssh.com")
			if err := os.Chown(s.Root, 0, 0); err != nil {
				t.Skip("takes root")
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if os.Getuid() != 0 {
				t.Skip("takes root")
			}
			s := remotetest.NewServer(t, t.TempDir())
			if err := os.Chown(s.Root, 4711, 4712); err != nil {
				t.Fatal(err)
			}
			tt.setup(s)
			p := connected(t, s, pool.Config{User: "me"})
			info := p.Info()
			if info.KnownOwner != tt.known || tt.known && (info.UID != 4711 || info.GID != 4712) {
				t.Errorf("%+v", info)
			}
			save(t, p, "f", "", 0o644)
			if info := p.Info(); info.UID != uint32(os.Getuid()) {
				t.Errorf("a file that was made tells better: %d", info.UID)
			}
			if _, err := p.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetMode, Mode: 0o600}); err != nil {
				t.Error(err)
			}
		})
	}
}
