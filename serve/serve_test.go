package serve

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// newKey makes a throw-away key.
func newKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// served is a Server that serves dir on loopback until the test ends.
type served struct {
	*Server
	dir  string
	addr string
	key  ssh.Signer
	done chan error // the result of Serve
}

func start(t testing.TB, change func(*Config)) *served {
	t.Helper()
	s := &served{dir: t.TempDir(), key: newKey(t), done: make(chan error, 1)}
	cfg := Config{Dir: s.dir, AuthorizedKeys: []ssh.PublicKey{s.key.PublicKey()}}
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	go func() { s.done <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
		if err := <-s.done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func (s *served) dial(key ssh.Signer) (*ssh.Client, error) { return s.dialAs(key, "") }

// dialAs is a client that calls itself version.
func (s *served) dialAs(key ssh.Signer, version string) (*ssh.Client, error) {
	return ssh.Dial("tcp", s.addr, &ssh.ClientConfig{
		ClientVersion:   version,
		User:            "anybody",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
		Timeout:         10 * time.Second,
	})
}

func (s *served) client(t testing.TB) *sftp.Client {
	t.Helper()
	conn, err := s.dial(s.key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantStatus checks the SFTP status an error came from.
func wantStatus(t testing.TB, what string, err error, want error) {
	t.Helper()
	var s *sftp.StatusError
	switch {
	case want == sftp.ErrSSHFxNoSuchFile && errors.Is(err, os.ErrNotExist):
	case want == sftp.ErrSSHFxPermissionDenied && errors.Is(err, os.ErrPermission):
	case errors.As(err, &s) && s.FxCode() == want:
	default:
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestFilesAndFolders(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)

	must(t, c.Mkdir("/a"))
	f, err := c.Create("/a/file")
	must(t, err)
	big := strings.Repeat("0123456789abcdef", 1<<16)
	_, err = f.Write([]byte(big))
	must(t, err)
	must(t, f.Close())
	got, err := os.ReadFile(filepath.Join(s.dir, "a/file"))
	must(t, err)
	if string(got) != big {
		t.Errorf("wrote %d bytes, the file has %d", len(big), len(got))
	}

	for i := range 250 {
		must(t, os.WriteFile(filepath.Join(s.dir, "a", strings.Repeat("n", i+1)), nil, 0o600))
	}
	list, err := c.ReadDir("/a")
	must(t, err)
	if len(list) != 251 {
		t.Errorf("listing has %d names, want 251", len(list))
	}
	must(t, c.Remove("/a/file"))
	wantStatus(t, "stat after remove", second(c.Stat("/a/file")), sftp.ErrSSHFxNoSuchFile)
	wantStatus(t, "rmdir of a full folder", c.RemoveDirectory("/a"), sftp.ErrSSHFxFailure)
	wantStatus(t, "mkdir again", c.Mkdir("/a"), sftp.ErrSSHFxFailure)
}

func second[T any](_ T, err error) error { return err }

func TestRemoveTellsFilesFromFolders(t *testing.T) {
	s := start(t, nil)
	c := s.raw(t)
	must(t, os.Mkdir(filepath.Join(s.dir, "folder"), 0o755))
	must(t, os.WriteFile(filepath.Join(s.dir, "file"), nil, 0o644))
	if code := c.status(fxpRemove, str("/folder")); code == 0 {
		t.Error("REMOVE took a folder")
	}
	if code := c.status(fxpRmdir, str("/file")); code == 0 {
		t.Error("RMDIR took a file")
	}
}

// TestModes pins that the permissions of OPEN and MKDIR arrive, which the
// request server drops.
func TestModes(t *testing.T) {
	s := start(t, nil)
	c := s.raw(t)
	for name, mode := range map[string]uint32{"0700": 0o700, "0750": 0o750, "0500": 0o500, "sticky": 0o1700} {
		if code := c.status(fxpMkdir, str("/dir"+name), perm(mode)); code != 0 {
			t.Fatalf("mkdir %s: status %d", name, code)
		}
		s.wantMode(t, "dir"+name, mode)
		if mode == 0o1700 {
			continue
		}
		c.open("/file"+name, 0x1a, perm(mode)) // write, create, truncate
		s.wantMode(t, "file"+name, mode)
	}
	// The owner of a file comes before its permissions in the packet.
	c.open("/owned", 0x1a, u32(attrSize|attrUIDGID|attrPermissions), u32(0), u32(0), u32(7), u32(7), u32(0o640))
	s.wantMode(t, "owned", 0o640)
	if code := c.status(fxpMkdir, str("/trailing/"), perm(0o711)); code != 0 {
		t.Fatalf("mkdir with a slash at the end: status %d", code)
	}
	s.wantMode(t, "trailing", 0o711)
}

func (s *served) wantMode(t testing.TB, name string, mode uint32) {
	t.Helper()
	info, err := os.Lstat(filepath.Join(s.dir, name))
	must(t, err)
	got := uint32(info.Mode().Perm())
	if info.Mode()&os.ModeSticky != 0 {
		got |= 0o1000
	}
	if got != mode {
		t.Errorf("%s has mode %04o, want %04o", name, got, mode)
	}
}

// TestHandlesFollowTheFile pins that FSTAT and FSETSTAT reach the open file
// after it was renamed and another took its name; the request server would ask
// by the path.
func TestHandlesFollowTheFile(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	f, err := c.OpenFile("/old", os.O_RDWR|os.O_CREATE)
	must(t, err)
	_, err = f.Write([]byte("12345"))
	must(t, err)
	must(t, c.PosixRename("/old", "/new"))
	must(t, os.WriteFile(filepath.Join(s.dir, "old"), []byte("another"), 0o644))

	info, err := f.Stat()
	must(t, err)
	if info.Size() != 5 {
		t.Errorf("fstat after rename: size %d, want 5", info.Size())
	}
	must(t, f.Truncate(2))
	must(t, f.Chmod(0o600))
	s.wantMode(t, "new", 0o600)
	must(t, c.Remove("/new"))
	if info, err = f.Stat(); err != nil || info.Size() != 2 {
		t.Errorf("fstat after unlink: %v, %v", info, err)
	}
	must(t, f.Close())
	if got, _ := os.ReadFile(filepath.Join(s.dir, "old")); string(got) != "another" {
		t.Errorf("the other file was changed to %q", got)
	}
}

func TestRenames(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	path := func(name string) string { return filepath.Join(s.dir, name) }
	must(t, os.WriteFile(path("a"), []byte("a"), 0o644))
	must(t, os.WriteFile(path("b"), []byte("b"), 0o644))

	wantStatus(t, "rename onto a file", c.Rename("/a", "/b"), sftp.ErrSSHFxFailure)
	must(t, c.Rename("/a", "/c"))
	must(t, c.PosixRename("/c", "/b"))
	if got, _ := os.ReadFile(path("b")); string(got) != "a" {
		t.Errorf("posix-rename left %q", got)
	}
	must(t, os.MkdirAll(path("from/x"), 0o755))
	must(t, os.Mkdir(path("to"), 0o755))
	must(t, c.PosixRename("/from", "/to"))
	if _, err := os.Stat(path("to/x")); err != nil {
		t.Errorf("a folder did not replace an empty one: %v", err)
	}
	wantStatus(t, "rename of nothing", c.Rename("/nothing", "/d"), sftp.ErrSSHFxNoSuchFile)
}

func TestTimesLinksAndStatVFS(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	must(t, os.WriteFile(filepath.Join(s.dir, "file"), []byte("text"), 0o644))
	when := time.Unix(1_000_000_000, 0)
	must(t, c.Chtimes("/file", when, when))
	info, err := os.Stat(filepath.Join(s.dir, "file"))
	must(t, err)
	if !info.ModTime().Equal(when) {
		t.Errorf("mtime is %v, want %v", info.ModTime(), when)
	}

	must(t, c.Link("/file", "/hard"))
	if hard, _ := os.Stat(filepath.Join(s.dir, "hard")); !os.SameFile(info, hard) {
		t.Error("a hard link is another file")
	}
	must(t, c.Symlink("file", "/soft"))
	if target, err := c.ReadLink("/soft"); err != nil || target != "file" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	through, err := c.Stat("/soft")
	must(t, err)
	if through.Size() != 4 {
		t.Errorf("stat through a link: size %d", through.Size())
	}
	fs, err := c.StatVFS("/")
	must(t, err)
	if fs.Blocks == 0 || fs.Frsize == 0 || fs.Namemax == 0 {
		t.Errorf("statvfs says %+v", fs)
	}
}

// Clients of libssh and their like name the link before its target, all others after
// it; the link comes out the same.
func TestSymlinkOrders(t *testing.T) {
	s := start(t, nil)
	for version, draft := range map[string]bool{
		"": false, "SSH-2.0-OpenSSH_9.9": false, "SSH-2.0-libssh2_1.11.0": false,
		"SSH-2.0-libssh_0.10.6": true, "SSH-2.0-libssh-0.5.2": true, "SSH-2.0-WinSCP_release_6.3.3": true, "SSH-2.0-AsyncSSH_2.14.2": true,
	} {
		conn, err := s.dialAs(s.key, version)
		must(t, err)
		c, link := rawSession(t, conn), "/link "+version
		args := [][]byte{str("target"), str(link)}
		if draft {
			args = [][]byte{str(link), str("target")}
		}
		if code := c.status(fxpSymlink, args...); code != 0 {
			t.Errorf("%q: status %d", version, code)
		}
		if target, err := os.Readlink(filepath.Join(s.dir, link)); err != nil || target != "target" {
			t.Errorf("%q: the link leads to %q, %v", version, target, err)
		}
		_ = conn.Close()
	}
}

func TestReadOnly(t *testing.T) {
	s := start(t, func(c *Config) { c.ReadOnly = true })
	must(t, os.WriteFile(filepath.Join(s.dir, "file"), []byte("text"), 0o644))
	c := s.client(t)
	denied := sftp.ErrSSHFxPermissionDenied
	wantStatus(t, "create", second(c.Create("/new")), denied)
	wantStatus(t, "open for writing", second(c.OpenFile("/file", os.O_RDWR)), denied)
	wantStatus(t, "mkdir", c.Mkdir("/d"), denied)
	wantStatus(t, "remove", c.Remove("/file"), denied)
	wantStatus(t, "rename", c.Rename("/file", "/g"), denied)
	wantStatus(t, "posix-rename", c.PosixRename("/file", "/g"), denied)
	wantStatus(t, "chmod", c.Chmod("/file", 0o600), denied)
	wantStatus(t, "truncate", c.Truncate("/file", 0), denied)
	wantStatus(t, "symlink", c.Symlink("x", "/l"), denied)
	wantStatus(t, "link", c.Link("/file", "/l"), denied)
	f, err := c.Open("/file")
	must(t, err)
	wantStatus(t, "fchmod", f.Chmod(0o600), denied)
	if fs, err := c.StatVFS("/"); err != nil || fs.Flag&1 == 0 {
		t.Errorf("statvfs does not say read-only: %+v, %v", fs, err)
	}
}

// Appending goes to the end, also of what others append meanwhile, and whatever
// offset the client gives: curl begins at 0.
func TestAppendGoesToTheEnd(t *testing.T) {
	s := start(t, nil)
	log := filepath.Join(s.dir, "log")
	must(t, os.WriteFile(log, []byte("12345"), 0o644))
	c := s.raw(t)
	one, two := c.open("/log", 0x06, u32(0)), c.open("/log", 0x07, u32(0)) // write, append; and read
	for i, w := range []struct {
		handle string
		off    uint64
		text   string
	}{{one, 5, "a"}, {two, 5, "b"}, {one, 0, "c"}, {two, 100, "d"}} {
		if code := c.status(fxpWrite, str(w.handle), u64(w.off), str(w.text)); code != 0 {
			t.Errorf("append %d: status %d", i, code)
		}
	}
	if got, _ := os.ReadFile(log); string(got) != "12345abcd" {
		t.Errorf("the file is %q", got)
	}
	if kind, body := c.call(fxpRead, str(two), u64(4), u32(9)); kind == fxpStatus || string(body[4:]) != "5abcd" {
		t.Errorf("read: packet type %d, %q", kind, body)
	}
}
