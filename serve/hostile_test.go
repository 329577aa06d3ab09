package serve

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
)

// outside makes a folder beside the served one, with a secret in it, and fails
// the test when anything in it has changed at the end.
func outside(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o640))
	when := time.Unix(1_500_000_000, 0)
	must(t, os.Chtimes(secret, when, when))
	t.Cleanup(func() {
		info, err := os.Lstat(secret)
		if err != nil {
			t.Errorf("the file outside is gone: %v", err)
			return
		}
		names, err := os.ReadDir(dir)
		must(t, err)
		if info.Size() != 6 || info.Mode() != 0o640 || !info.ModTime().Equal(when) || len(names) != 1 {
			t.Errorf("outside was changed: %v %v %v, %d names", info.Size(), info.Mode(), info.ModTime(), len(names))
		}
	})
	return dir
}

// escapes are ways to name the file outside. The served folder has the links.
func escapes(t testing.TB, served, outside string) []string {
	t.Helper()
	rel, err := filepath.Rel(served, outside)
	must(t, err)
	link := func(target, name string) { must(t, os.Symlink(target, filepath.Join(served, name))) }
	link(outside, "abs")
	link(rel, "rel")
	link(filepath.Join(outside, "secret"), "file")
	link("rel/secret", "chain")
	link("..", "up")
	must(t, os.Mkdir(filepath.Join(served, "sub"), 0o755))
	link("../..", "sub/up")
	link("/proc/self/root"+outside, "proc")
	ways := []string{
		"/abs/secret", "/rel/secret", "/file", "/chain", "/proc/secret",
		"/up/" + filepath.Base(outside) + "/secret",
		"/sub/up/" + filepath.Base(outside) + "/secret",
		"/sub/../rel/secret", "abs/secret", "//abs//secret",
	}
	for _, way := range ways {
		if info, err := os.Stat(served + "/" + way); err != nil || info.Size() != 6 {
			t.Fatalf("%s does not lead out: the test tests nothing", way)
		}
	}
	return ways
}

// TestNothingOutside tries every operation on every way out.
func TestNothingOutside(t *testing.T) {
	out := outside(t)
	s := start(t, nil)
	c := s.client(t)
	must(t, os.WriteFile(filepath.Join(s.dir, "mine"), []byte("mine"), 0o644))
	old := time.Unix(1, 0)
	for _, p := range escapes(t, s.dir, out) {
		dir := strings.TrimSuffix(p, "/secret")
		fails := map[string]error{
			"open":         second(c.Open(p)),
			"write":        second(c.OpenFile(p, os.O_WRONLY)),
			"create":       second(c.OpenFile(p, os.O_RDWR|os.O_CREATE|os.O_TRUNC)),
			"stat":         second(c.Stat(p)),
			"chmod":        c.Chmod(p, 0o777),
			"chown":        c.Chown(p, 1, 1),
			"chtimes":      c.Chtimes(p, old, old),
			"truncate":     c.Truncate(p, 0),
			"list":         second(c.ReadDir(p)),
			"list through": second(c.ReadDir(dir + "/")),
		}
		if strings.HasSuffix(p, "/secret") { // the last name is not the link
			fails["lstat"] = second(c.Lstat(p))
			fails["remove"] = c.Remove(p)
			fails["rmdir"] = c.RemoveDirectory(p)
			fails["rename out"] = c.Rename("/mine", dir+"/mine")
			fails["rename in"] = c.PosixRename(p, "/taken")
			fails["rename over"] = c.PosixRename("/mine", p)
			fails["link in"] = c.Link(p, "/taken")
			fails["link out"] = c.Link("/mine", dir+"/mine")
			fails["symlink"] = c.Symlink("x", dir+"/new")
			fails["mkdir"] = c.Mkdir(dir + "/new")
			fails["readlink"] = second(c.ReadLink(p))
			fails["statvfs"] = second(c.StatVFS(p))
		}
		for what, err := range fails {
			if err == nil {
				t.Errorf("%s %s: succeeded", what, p)
			}
		}
	}
}

// TestDotDotStopsAtTheRoot pins that paths are clamped, as in a chroot.
func TestDotDotStopsAtTheRoot(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	must(t, os.WriteFile(filepath.Join(s.dir, "mine"), []byte("mine"), 0o644))
	for _, p := range []string{"/../mine", "../../mine", "/x/../../../mine", "mine", "./mine"} {
		if info, err := c.Stat(p); err != nil || info.Size() != 4 {
			t.Errorf("stat %q: %v, %v", p, info, err)
		}
	}
	if p, err := c.RealPath("../.."); err != nil || p != "/" {
		t.Errorf("realpath: %q, %v", p, err)
	}
}

// TestErrorsKeepTheFolderSecret pins that no answer carries the path that the
// served folder has on this machine.
func TestErrorsKeepTheFolderSecret(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	must(t, os.Mkdir(filepath.Join(s.dir, "d"), 0o755))
	must(t, os.WriteFile(filepath.Join(s.dir, "d/f"), nil, 0o644))
	must(t, os.Symlink("/etc", filepath.Join(s.dir, "abs")))
	r := s.raw(t)
	for _, request := range [][][]byte{
		{{fxpRemove}, str("/d")}, {{fxpRmdir}, str("/d")}, {{fxpMkdir}, str("/d"), u32(0)},
		{{fxpStat}, str("/abs")}, {{fxpStat}, str("/d/f/g")}, {{fxpOpen}, str("/abs/x"), u32(1), u32(0)},
		{{fxpOpen}, str("/d"), u32(1), u32(0)}, {{fxpStat}, str("/" + strings.Repeat("n", 300))},
	} {
		if kind, body := r.call(request[0][0], request[1:]...); kind != fxpStatus || bytes.Contains(body, []byte(s.dir)) {
			t.Errorf("answer %d %q", kind, body)
		}
	}
	wantStatus(t, "escape", second(c.Stat("/abs")), sftp.ErrSSHFxPermissionDenied)
	wantStatus(t, "below a file", second(c.Stat("/d/f/g")), sftp.ErrSSHFxNoSuchFile)
	wantStatus(t, "too long", second(c.Stat("/"+strings.Repeat("n", 300))), sftp.ErrSSHFxBadMessage)
}

// TestSwappedLinks exchanges a folder for a link to the outside, as fast as it
// can, while a client works below that name.
func TestSwappedLinks(t *testing.T) {
	out := outside(t)
	s := start(t, nil)
	inside := filepath.Join(s.dir, "inside")
	must(t, os.Mkdir(inside, 0o755))
	must(t, os.Mkdir(filepath.Join(s.dir, "d"), 0o755))
	must(t, os.WriteFile(filepath.Join(s.dir, "d/secret"), []byte("harmless"), 0o644))

	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		d, aside, link := filepath.Join(s.dir, "d"), filepath.Join(inside, "d"), filepath.Join(s.dir, "l")
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Rename(d, aside)
			_ = os.Symlink(out, link)
			_ = os.Rename(link, d)
			_ = os.Remove(d)
			_ = os.Rename(aside, d)
		}
	})

	c := s.client(t)
	old := time.Unix(1, 0)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if f, err := c.Open("/d/secret"); err == nil {
			got := make([]byte, 6)
			_, _ = f.Read(got)
			if string(got) == "secret" {
				t.Error("read the file outside")
			}
			_ = f.Close()
		}
		_ = c.Chmod("/d/secret", 0o666)
		_ = c.Chtimes("/d/secret", old, old)
		_ = c.Truncate("/d/secret", 8)
		_ = c.Mkdir("/d/new")
		_ = c.RemoveDirectory("/d/new")
		_ = c.PosixRename("/d/secret", "/d/other")
		_ = c.PosixRename("/d/other", "/d/secret")
	}
	close(stop)
	swapping.Wait()
}

// TestOddPackets sends what no client would; the server must answer or hang up,
// and go on serving others.
func TestOddPackets(t *testing.T) {
	s := start(t, nil)
	must(t, os.WriteFile(filepath.Join(s.dir, "a"), []byte("text"), 0o644))
	c := s.raw(t)
	for what, code := range map[string]uint32{
		"path with NUL":      c.status(fxpStat, str("/a\x00b")),
		"handle's own name":  c.status(fxpStat, str(handlePrefix+"99")),
		"open no flags":      c.status(fxpOpen, str("/a"), u32(0), u32(0)),
		"open marked":        c.status(fxpOpen, str("/a\x00b"), u32(1), perm(0o644)),
		"no such handle":     c.status(fxpClose, str("no")),
		"unknown extension":  c.status(fxpExtended, str("fsync@openssh.com"), str("1")),
		"size beyond off_t":  c.status(fxpSetstat, str("/a"), u32(attrSize), u64(1<<63)),
		"attributes missing": c.status(fxpSetstat, str("/a"), u32(attrSize)),
		"mkdir of the root":  c.status(fxpMkdir, str("/"), perm(0o700)),
		"rmdir of the root":  c.status(fxpRmdir, str("/")),
	} {
		if code == 0 {
			t.Errorf("%s: succeeded", what)
		}
	}
	for what, packet := range map[string][]byte{
		"empty":           {0, 0, 0, 0},
		"too long":        {0xff, 0xff, 0xff, 0xff, fxpOpen},
		"open cut short":  {0, 0, 0, 9, fxpOpen, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff},
		"mkdir cut short": {0, 0, 0, 3, fxpMkdir, 0, 0},
		"unknown type":    {0, 0, 0, 5, 99, 0, 0, 0, 1},
	} {
		odd := s.raw(t)
		if _, err := odd.rw.Write(packet); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if code := c.status(fxpRemove, str("/a")); code != 0 {
		t.Errorf("afterwards: status %d", code)
	}
}

// TestNoWaitingForPipes pins that opening a pipe does not wait for its other
// end, which would hold a worker of the session for ever.
func TestNoWaitingForPipes(t *testing.T) {
	s := start(t, nil)
	mkfifo(t, filepath.Join(s.dir, "pipe"))
	c := s.client(t)
	wantStatus(t, "open", second(c.Open("/pipe")), sftp.ErrSSHFxOpUnsupported)
	wantStatus(t, "write", second(c.OpenFile("/pipe", os.O_WRONLY)), sftp.ErrSSHFxOpUnsupported)
	wantStatus(t, "truncate", c.Truncate("/pipe", 0), sftp.ErrSSHFxOpUnsupported)
	wantStatus(t, "list", second(c.ReadDir("/pipe")), sftp.ErrSSHFxNoSuchFile)
	if info, err := c.Lstat("/pipe"); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("lstat: %v, %v", info, err)
	}
}
