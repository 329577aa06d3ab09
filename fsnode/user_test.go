package fsnode_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is an ordinary user.
const nobody = 65534

// public is a temporary folder that every user can enter.
func public(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fsnode")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	check(t, os.Chmod(dir, 0o755))
	return dir
}

// asNobody has a command run as an ordinary user, from a copy of this binary
// that everyone may read.
func asNobody(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	copied := filepath.Join(public(t), "test")
	in, err := os.Open(os.Args[0])
	check(t, err)
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(copied, os.O_CREATE|os.O_WRONLY, 0o755)
	check(t, err)
	_, err = io.Copy(out, in)
	check(t, err)
	check(t, out.Close())
	cmd.Path = copied
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// needRoot skips a test that becomes another user: which is not to be had by
// installing something, and so never required.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("becoming another user takes root")
	}
}

// An ordinary user mounts through fusermount3, and unmounts, also by force.
func TestOrdinaryUser(t *testing.T) {
	needRoot(t)
	_, err := exec.LookPath("fusermount3")
	need(t, err == nil, "fusermount3")
	base := public(t)
	s := setup{AttrTimeout: cached, Dir: filepath.Join(base, "dir, with comma"), Point: filepath.Join(base, "m n t")}
	for _, dir := range []string{s.Dir, s.Point} {
		check(t, os.Mkdir(dir, 0o755))
		check(t, os.Chown(dir, nobody, nobody))
	}
	text, err := json.Marshal(s)
	check(t, err)
	server := exec.Command(os.Args[0])
	asNobody(t, server)
	m := start(t, s, server, string(text))
	table, err := os.ReadFile("/proc/self/mounts")
	check(t, err)
	for _, want := range []string{"fuse.sshfs", "nosuid", "nodev", "user_id=65534", "test:" + strings.ReplaceAll(s.Dir, " ", `\040`)} {
		if !strings.Contains(string(table), want) {
			t.Errorf("the mount table lacks %q", want)
		}
	}
	user := programOn(m, "everyday")
	asNobody(t, user)
	if err := user.Run(); err != nil {
		t.Error(err)
	}
	content(t, m.disk("d/f2"), "content")
	m.must(command{Op: "hold", Path: "lstat"})
	m.must(command{Op: "force"})
	if m.mounted() {
		t.Error("still mounted after force")
	}
}

// Every file is shown as the options say; what is created belongs to the caller
// with MultiUser.
func TestOwners(t *testing.T) {
	needRoot(t)
	uid, gid, umask := uint32(7), uint32(8), uint32(0o027)
	m := mount(t, setup{AttrTimeout: cached, UID: &uid, GID: &gid, Umask: &umask})
	write(t, m.disk("f"), "x")
	if st := lstat(t, m.path("f")); st.Uid != 7 || st.Gid != 8 || st.Mode&0o7777 != 0o750 {
		t.Errorf("shown as %d:%d, mode %o", st.Uid, st.Gid, st.Mode)
	}
	check(t, os.Chown(m.path("f"), 7, 8)) // as it is shown: no change
	if st := lstat(t, m.disk("f")); st.Uid != 0 || st.Gid != 0 {
		t.Errorf("changed to %d:%d", st.Uid, st.Gid)
	}
}

func TestMultiUser(t *testing.T) {
	needRoot(t)
	s := setup{AttrTimeout: cached, MultiUser: true, AllowOther: true, DefaultPermissions: true}
	s.Dir, s.Point = public(t), public(t)
	m := mount(t, s)
	check(t, os.Chmod(m.path("."), 0o777))
	user := programOn(m, "everyday")
	asNobody(t, user)
	if err := user.Run(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"d", "d/f2"} {
		if st := lstat(t, m.disk(name)); st.Uid != nobody || st.Gid != nobody {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
	}
	check(t, os.Chmod(m.path("."), 0o755))
	denied := programOn(m, "write")
	asNobody(t, denied)
	denied.Stderr = nil
	if err := denied.Run(); err == nil {
		t.Error("default_permissions lets a stranger write")
	}
}

// TestCreateOfWhatIsThere pins that O_CREAT, by a name that the kernel takes for absent
// and somebody has just made on the server, opens what is there to whom its mode allows
// it, and gives it to nobody.
func TestCreateOfWhatIsThere(t *testing.T) {
	needRoot(t)
	for _, multiUser := range []bool{false, true} {
		s := setup{AttrTimeout: time.Minute, AllowOther: true, DefaultPermissions: true, MultiUser: multiUser}
		s.Dir, s.Point = public(t), public(t)
		m := mount(t, s)
		check(t, os.Chmod(m.path("."), 0o777))
		made := func(data string, mode os.FileMode) {
			t.Helper()
			check(t, os.RemoveAll(m.path("f")))
			absent(t, m.path("f"))
			write(t, m.disk("f"), data)
			check(t, os.Chmod(m.disk("f"), mode))
		}
		asStranger := func() error {
			user := programOn(m, "write")
			asNobody(t, user)
			user.Stderr = nil
			return user.Run()
		}
		made("theirs", 0o600)
		if asStranger() == nil {
			t.Error("a stranger may write to a file of mode 0600")
		}
		content(t, m.disk("f"), "theirs")
		for _, data := range []string{"", "theirs"} {
			made(data, 0o666)
			check(t, asStranger())
			content(t, m.disk("f"), "data")
			if st := lstat(t, m.disk("f")); st.Uid != 0 || st.Mode&0o777 != 0o666 {
				t.Errorf("it belongs to %d now, with mode %o", st.Uid, st.Mode)
			}
		}
		made("theirs", 0o600)
		f, err := os.OpenFile(m.path("f"), os.O_CREATE|os.O_RDWR, 0o644)
		check(t, err)
		data, err := io.ReadAll(f)
		check(t, errors.Join(err, f.Close()))
		if string(data) != "theirs" {
			t.Errorf("its owner reads %q", data)
		}
		made("theirs", 0o600)
		_, err = os.OpenFile(m.path("f"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		wants(t, "O_EXCL", err, syscall.EEXIST)
		check(t, os.Remove(m.path("f")))
		check(t, asStranger())
		if st := lstat(t, m.disk("f")); multiUser && st.Uid != nobody {
			t.Errorf("what a stranger made belongs to %d", st.Uid)
		}
	}
}

func TestFollowSymlinks(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached, FollowSymlinks: true})
	check(t, os.Mkdir(m.disk("d"), 0o755))
	write(t, m.disk("d/f"), "content")
	check(t, os.Symlink("d/f", m.disk("l")))
	check(t, os.Symlink("d", m.disk("ld")))
	check(t, os.Symlink("nowhere", m.disk("dangling")))
	for _, name := range []string{"l", "ld/f"} {
		if st := lstat(t, m.path(name)); st.Mode&syscall.S_IFMT != syscall.S_IFREG || st.Size != 7 {
			t.Errorf("%s: mode %o size %d", name, st.Mode, st.Size)
		}
		content(t, m.path(name), "content")
	}
	check(t, os.Chmod(m.path("l"), 0o600))
	if st := lstat(t, m.disk("d/f")); st.Mode&0o7777 != 0o600 {
		t.Errorf("chmod through a link gave %o", st.Mode)
	}
	if st := lstat(t, m.path("dangling")); st.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		t.Errorf("a dangling link has mode %o", st.Mode)
	}
	check(t, os.Remove(m.path("l")))
	content(t, m.disk("d/f"), "content")
}

// TestFollowSymlinksUnanswered pins that a link is not shown as such because what it
// leads to cannot be asked: programs would follow it to a file of this machine.
func TestFollowSymlinksUnanswered(t *testing.T) {
	m := mount(t, setup{FollowSymlinks: true})
	write(t, m.disk("f"), "content")
	check(t, os.Symlink("f", m.disk("l")))
	check(t, os.Symlink("nowhere", m.disk("dangling")))
	check(t, os.Symlink("loop", m.disk("loop")))
	ino := lstat(t, m.path("l")).Ino
	for _, errno := range []syscall.Errno{syscall.ETIMEDOUT, syscall.EIO} {
		m.must(command{Op: "fail", Path: "stat", Errno: int(errno)})
		_, err := os.Lstat(m.path("l"))
		wants(t, "lstat", err, errno)
		wants(t, "write", os.WriteFile(m.path("l"), []byte("x"), 0o644), errno)
		m.must(command{Op: "fail", Path: "stat"})
	}
	content(t, m.path("l"), "content")
	if st := lstat(t, m.path("l")); st.Ino != ino {
		t.Errorf("it was %d, and is %d", ino, st.Ino)
	}
	for _, name := range []string{"dangling", "loop"} {
		if st := lstat(t, m.path(name)); st.Mode&syscall.S_IFMT != syscall.S_IFLNK {
			t.Errorf("%s has mode %o", name, st.Mode)
		}
	}
}
