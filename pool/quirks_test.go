package pool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// Status codes and flags of the draft that servers of these tests go by.
const (
	denied      = 3
	failure     = 4
	badMessage  = 5
	unsupported = 8

	setsMode  = 4
	setsTimes = 8
)

// other is a server that is not OpenSSH's, and a Pool on it.
func other(t *testing.T, q remotetest.Quirks, cfg pool.Config) (*pool.Pool, *remotetest.Server, *bytes.Buffer) {
	t.Helper()
	s := remotetest.NewServer(t, t.TempDir())
	s.Identification, s.Quirks = "SSH-2.0-Other", q
	return otherPool(t, s, cfg)
}

func otherPool(t *testing.T, s *remotetest.Server, cfg pool.Config) (*pool.Pool, *remotetest.Server, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Timeout = 10 * time.Second
	p := connected(t, s, cfg)
	t.Cleanup(p.Abort)
	return p, s, &log
}

// sets refuses to set attributes, in one of the ways that servers have.
func sets(what uint32, code uint32) func(remotetest.Request) uint32 {
	return func(r remotetest.Request) uint32 {
		if strings.Contains(strings.ToUpper(r.Type), "SETSTAT") && r.Sets&what != 0 {
			return code
		}
		return 0
	}
}

func save(t *testing.T, p *pool.Pool, path, data string, perm uint32) remote.Attr {
	t.Helper()
	f, a, err := p.Open(t.Context(), path, remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, perm)
	if err != nil {
		t.Fatalf("create %s: %v", path, err)
	}
	if _, err := f.WriteAt(t.Context(), []byte(data), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatalf("close %s: %v", path, err)
	}
	return a
}

func knows(t *testing.T, p *pool.Pool, want ...pool.Quirk) {
	t.Helper()
	if got := p.Status().Quirks; !slices.Equal(got, want) {
		t.Errorf("learned %q, want %q", got, want)
	}
}

func TestModesRefusedAfterCreate(t *testing.T) {
	for _, code := range []uint32{denied, failure, unsupported} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			old := syscall.Umask(0o027)
			defer syscall.Umask(old)
			p, s, log := other(t, remotetest.Quirks{Refuse: sets(setsMode, code)}, pool.Config{})
			if a := save(t, p, "f", "data", 0o666); a.Perm() != 0o640 {
				t.Errorf("made with %o, and told %o", 0o640, a.Perm())
			}
			if _, err := p.Mkdir(t.Context(), "d", 0o777); err != nil {
				t.Errorf("mkdir: %v", err)
			}
			_, err := p.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetMode, Mode: 0o600})
			if code == denied && !errors.Is(err, syscall.EPERM) || err == nil {
				t.Errorf("chmod itself: %v", err)
			}
			knows(t, p, pool.NoModes)
			if n := strings.Count(log.String(), "refuses to set permissions"); n != 1 {
				t.Errorf("said %d times:\n%s", n, log)
			}
			if _, err := os.Stat(filepath.Join(s.Root, "d")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A server without modes of its own, such as one on FAT, makes everything readable.
func TestMoreOpenThanAskedIsSaidByName(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	s.Identification = "SSH-2.0-Other"
	s.Quirks.Refuse = sets(setsMode, denied)
	s.Quirks.Mode = 0o777
	p, _, log := otherPool(t, s, pool.Config{})
	for _, name := range []string{"one", "two"} {
		save(t, p, name, "secret", 0o600)
		if n := strings.Count(log.String(), "path="+name); n != 1 {
			t.Errorf("%s is more open than was asked, and named %d times:\n%s", name, n, log)
		}
	}
	save(t, p, "three", "for all", 0o777)
	if strings.Contains(log.String(), "three") {
		t.Errorf("one that is as was asked is named:\n%s", log)
	}
}

func TestTimesRefused(t *testing.T) {
	p, _, log := other(t, remotetest.Quirks{Refuse: sets(setsTimes, denied)}, pool.Config{})
	when := remote.Change{Fields: remote.SetMtime | remote.SetAtime, Mtime: 1e9, Atime: 1e9}
	f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteAt(t.Context(), []byte("data"), 0)
	if _, err := f.SetAttr(t.Context(), when); err != nil {
		t.Errorf("times that wait for the close: %v", err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Errorf("data was written, and its close says %v", err)
	}
	g, _, err := p.Open(t.Context(), "g", remote.FlagWrite|remote.FlagCreate, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.SetAttr(t.Context(), when); !errors.Is(err, syscall.EPERM) {
		t.Errorf("utimes, once it is known to be refused: %v", err)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.SetAttr(t.Context(), "f", when); !errors.Is(err, syscall.EPERM) {
		t.Errorf("utimes by path: %v", err)
	}
	knows(t, p, pool.NoTimes)
	if n := strings.Count(log.String(), "refuses to set times"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
}

// Who may write to a file and does not own it may not set its time: SFTP has no "now".
func TestTouchOfAnothersFileIsEPERM(t *testing.T) {
	p, s, _ := other(t, remotetest.Quirks{Refuse: func(r remotetest.Request) uint32 {
		if r.Path == "theirs" {
			return sets(setsTimes, denied)(r)
		}
		return 0
	}}, pool.Config{})
	if err := os.WriteFile(filepath.Join(s.Root, "theirs"), nil, 0o664); err != nil {
		t.Fatal(err)
	}
	_, err := p.SetAttr(t.Context(), "theirs", remote.Change{Fields: remote.SetMtime, Mtime: 1e9})
	if !errors.Is(err, syscall.EPERM) {
		t.Errorf("%v, want EPERM", err)
	}
	knows(t, p)
}

func TestTimesInSteps(t *testing.T) {
	p, _, _ := other(t, remotetest.Quirks{SetTimes: func(s int64) int64 { return s &^ 1 }}, pool.Config{})
	save(t, p, "f", "", 0o644)
	a, err := p.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetMtime, Mtime: 1e9 + 1})
	if err != nil || a.Mtime != 1e9 {
		t.Errorf("told %d, %v: want what the server has", a.Mtime, err)
	}
	knows(t, p, pool.TimeSteps)
}

func TestTimesNotKept(t *testing.T) {
	p, _, _ := other(t, remotetest.Quirks{KeepsNoTimes: true}, pool.Config{})
	for _, name := range []string{"f", "g"} {
		save(t, p, name, "", 0o644)
		a, err := p.SetAttr(t.Context(), name, remote.Change{Fields: remote.SetMtime, Mtime: 1e9})
		if err != nil || a.Mtime == 1e9 {
			t.Errorf("told %d, %v: want what the server has", a.Mtime, err)
		}
	}
	knows(t, p, pool.LosesTimes)
}

func TestListingsWithoutFileType(t *testing.T) {
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprintf("bare=%v", bare), func(t *testing.T) {
			p, s, _ := other(t, remotetest.Quirks{NoTypes: true, NoLongNames: bare}, pool.Config{})
			if err := errors.Join(os.Mkdir(filepath.Join(s.Root, "d"), 0o755), os.Symlink("d", filepath.Join(s.Root, "l")),
				os.WriteFile(filepath.Join(s.Root, "f"), nil, 0o640)); err != nil {
				t.Fatal(err)
			}
			types := map[string]uint32{}
			err := p.ReadDir(t.Context(), ".", func(entries []remote.Entry) error {
				for _, e := range entries {
					types[e.Name] = e.Attr.Type()
				}
				return nil
			})
			if err != nil || types["d"] != syscall.S_IFDIR || types["l"] != syscall.S_IFLNK || types["f"] != syscall.S_IFREG {
				t.Errorf("%v, %v", types, err)
			}
			if asked := s.Succeeded("LSTAT", "d"); asked > 0 != bare {
				t.Errorf("asked %d times for a name", asked)
			}
			knows(t, p, pool.NoTypes)
		})
	}
}

func TestNamesOverTheServersLimit(t *testing.T) {
	long := strings.Repeat("n", 150)
	for _, code := range []uint32{badMessage, failure} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			p, _, _ := other(t, remotetest.Quirks{Refuse: func(r remotetest.Request) uint32 {
				if len(filepath.Base(r.Path)) > 143 || len(filepath.Base(r.Target)) > 143 {
					return code
				}
				return 0
			}}, pool.Config{})
			save(t, p, "f", "", 0o644)
			ctx := t.Context()
			_, lookup := p.Lstat(ctx, long)
			_, mkdir := p.Mkdir(ctx, long, 0o755)
			_, symlink := p.Symlink(ctx, "f", long)
			_, _, open := p.Open(ctx, long, remote.FlagWrite|remote.FlagCreate, 0o644)
			for what, err := range map[string]error{"lookup": lookup, "mkdir": mkdir, "symlink": symlink, "open": open, "rename": p.Rename(ctx, "f", long, false)} {
				if !errors.Is(err, syscall.ENAMETOOLONG) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

const (
	opensRead, opensWrite, opensTruncate = 1, 2, 0x10
)

// Gateways to cloud storage write an object from its beginning, and read or write.
func TestReadWriteRefusedAndWriteWithoutTruncateRefused(t *testing.T) {
	p, _, _ := other(t, remotetest.Quirks{Refuse: func(r remotetest.Request) uint32 {
		both := r.Flags&opensRead != 0 && r.Flags&opensWrite != 0
		if r.Type == "OPEN" && (both || r.Flags&opensWrite != 0 && r.Flags&opensTruncate == 0) {
			return denied
		}
		return 0
	}}, pool.Config{})
	for _, mode := range []string{"new", "again"} { // w+ of a file that is not there, and of one that is
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite|remote.FlagCreate|remote.FlagTruncate, 0o644)
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if _, err := f.WriteAt(t.Context(), []byte(mode), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		if n, err := f.ReadAt(t.Context(), got, 0); err != io.EOF || string(got[:n]) != mode {
			t.Errorf("reads %q, %v", got[:n], err)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	knows(t, p, pool.NoReadWrite, pool.OnlyAnew)
	if _, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0); err == nil {
		t.Error("a part of a file cannot be written here, and its open worked")
	}
	if _, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o644); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("an exclusive create of what is there: %v", err)
	}
	if a, err := p.Lstat(t.Context(), "f"); err != nil || a.Size != 5 {
		t.Errorf("%d bytes, %v: it was cut", a.Size, err)
	}
}

func TestSymlinkTheDraftsWayRound(t *testing.T) {
	for _, draft := range []bool{false, true} {
		p, s, _ := other(t, remotetest.Quirks{DraftSymlink: draft}, pool.Config{})
		for _, name := range []string{"one", "two"} {
			if _, err := p.Symlink(t.Context(), "its/target", name); err != nil {
				t.Fatal(err)
			}
			if to, err := os.Readlink(filepath.Join(s.Root, name)); err != nil || to != "its/target" {
				t.Errorf("draft %v: %s leads to %q, %v", draft, name, to, err)
			}
		}
		left, err := os.ReadDir(s.Root)
		if err != nil || len(left) != 2 {
			t.Errorf("draft %v: left behind: %v, %v", draft, left, err)
		}
		if n := s.Succeeded("SYMLINK", ""); n != 3 {
			t.Errorf("draft %v: %d links were made for two and one probe", draft, n)
		}
		if draft {
			knows(t, p, pool.DraftSymlink)
		}
	}
}

func TestTimesBefore1970(t *testing.T) {
	p, s, _ := other(t, remotetest.Quirks{}, pool.Config{})
	save(t, p, "f", "", 0o644)
	then := time.Unix(-1000, 0)
	if err := os.Chtimes(filepath.Join(s.Root, "f"), then, then); err != nil {
		t.Fatal(err)
	}
	if a, err := p.Lstat(t.Context(), "f"); err != nil || a.Mtime != 0 || a.Atime != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestLettersBeforeSFTP(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	s.Quirks.Printed = "hi"
	p := scripted(t, s, pool.Config{Timeout: 5 * time.Second})
	err := p.Connect(t.Context())
	if err == nil || !strings.Contains(err.Error(), `"hi`) {
		t.Errorf("%v: does not tell what was printed", err)
	}
}

// A server with nothing but the draft's requests.
func TestContractOnABareServer(t *testing.T) {
	remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
		s := remotetest.NewServer(t, t.TempDir())
		s.Identification, s.Extensions = "SSH-2.0-Bare", nil
		return remotetest.Fixture{Remote: connect(t, pool.Config{
			Transport: func(ctx context.Context) (pool.Conn, error) { return s.Connect(ctx) },
			Dir:       s.Root, Timeout: 10 * time.Second,
		}), Path: s.Root, Capabilities: remotetest.Capabilities{FollowsOut: true}}
	})
}

// No rule goes by this machine's clock where the server's is another.
func TestContractWithTheClockTwoHoursOff(t *testing.T) {
	for _, off := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		s := remotetest.NewServer(t, t.TempDir())
		s.Clock = off
		p := connected(t, s, pool.Config{Timeout: 10 * time.Second})
		t.Cleanup(p.Abort)
		s.Next("OPEN|MKDIR", "", remotetest.CutAfter)
		save(t, p, "f", "data", 0o644)
		s.Next("MKDIR", "", remotetest.CutAfter)
		if _, err := p.Mkdir(t.Context(), "d", 0o755); err != nil {
			t.Errorf("%v off: a folder that we made is taken for another's: %v", off, err)
		}
		f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.WriteAt(t.Context(), []byte("more"), 4)
		s.CutAll()
		if err := f.Close(t.Context()); err != nil {
			t.Errorf("%v off: a file that we wrote is taken for another's after a cut: %v", off, err)
		}
	}
}

// A server that lets nobody give files away may set permissions all the same: of a
// change of both (chown of a set-id file, sync --owner) it refuses the owner.
func TestRefusedOwnerIsNoQuirk(t *testing.T) {
	const setsOwner = 2
	p, _, _ := other(t, remotetest.Quirks{Refuse: sets(setsOwner, denied)}, pool.Config{})
	save(t, p, "f", "x", 0o644)
	_, err := p.SetAttr(t.Context(), "f", remote.Change{Fields: remote.SetMode | remote.SetUID | remote.SetGID, Mode: 0o600, UID: 1, GID: 1})
	if !errors.Is(err, syscall.EPERM) {
		t.Errorf("SetAttr: %v", err)
	}
	knows(t, p)
}
