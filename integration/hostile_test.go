package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A liar is a site whose server answers as a test says.
type liar struct {
	*lab.Lab
	server *remotetest.Server
	point  string
	args   []string // that every verb needs
	remote string   // REMOTE

	password atomic.Pointer[string] // that lets in; nil: any
	open     sync.Map               // net.Conn of each connection
}

func newLiar(t testing.TB) *liar {
	t.Helper()
	return newLiarAs(t, "SSH-2.0-OpenSSH_9.2p1")
}

// newLiarAs is a liar that presents itself as something.
func newLiarAs(t testing.TB, identification string) *liar {
	t.Helper()
	need(t)
	l, err := lab.New(ordinary(t))
	must(t, err)
	t.Cleanup(func() { closeLab(t, l) })
	root := l.Path("root")
	for _, dir := range []string{"root", "root/bad", "root/bad/folder", "root/good", "mnt", "here"} {
		must(t, l.Mkdir(dir, 0o755))
	}
	must(t, l.WriteFile("root/bad/file", []byte(strings.Repeat("x", 100_000)), 0o644))
	must(t, l.WriteFile("root/good/file", []byte("good"), 0o644))
	must(t, os.Symlink("file", filepath.Join(root, "bad/link")))
	x := &liar{Lab: l, server: remotetest.NewServer(t, root), point: l.Path("mnt")}
	x.server.Identification = identification
	hostKey := newSigner(t)
	port := x.listen(t, hostKey)
	must(t, l.WriteFile("password", []byte("password\n"), 0o600))
	x.args = []string{"--port", strconv.Itoa(port), "--password-file", l.Path("password"), "--ssh-config", "none",
		"--host-key", ssh.FingerprintSHA256(hostKey.PublicKey()), "--timeout", "3s"}
	x.remote = "me@127.0.0.1:" + root
	return x
}

// listen lets everybody in and joins each session to one of the server's.
func (x *liar) listen(t testing.TB, hostKey ssh.Signer) (port int) {
	t.Helper()
	config := &ssh.ServerConfig{
		ServerVersion: x.server.Identification,
		PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			if want := x.password.Load(); want != nil && *want != string(given) {
				return nil, errors.New("another password is wanted")
			}
			return nil, nil
		},
	}
	config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go x.connection(nc, config)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func (x *liar) connection(nc net.Conn, config *ssh.ServerConfig) {
	defer func() { _ = nc.Close() }()
	x.open.Store(nc, nil)
	defer x.open.Delete(nc)
	_, channels, requests, err := ssh.NewServerConn(nc, config)
	if err != nil {
		return
	}
	go answerAll(requests, true)
	conn, err := x.server.Connect(context.Background())
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for newChannel := range channels {
		ch, requests, err := newChannel.Accept()
		if err != nil {
			return
		}
		go answerAll(requests, true)
		session, err := conn.OpenSFTP(context.Background())
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(session, ch)
			_ = session.Close()
		}()
		go func() {
			_, _ = io.Copy(ch, session)
			_ = ch.Close()
		}()
	}
}

// hangUp ends every connection.
func (x *liar) hangUp() {
	for nc := range x.open.Range {
		_ = nc.(net.Conn).Close()
	}
}

// answerAll says yes, or no, to requests: keepalives, and the one for SFTP.
func answerAll(requests <-chan *ssh.Request, ok bool) {
	for r := range requests {
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
}

// lie tells a lie in answer to requests of a type that are about the folder "bad".
func (x *liar) lie(kind string, lie remotetest.Lie) {
	x.server.Corrupt(func(r remotetest.Request, answer []byte) ([]byte, bool) {
		if r.Type != kind || r.Path != "bad" && !strings.HasPrefix(r.Path, "bad/") {
			return answer, false
		}
		return lie.Tell(r, answer)
	})
}

// toldTo are the lies that get through to the kernel, and some of those that end
// a session, told of each type of request.
func toldTo(use func(kind string, lie remotetest.Lie)) (count int) {
	for _, kind := range []string{"LSTAT", "STAT", "FSTAT", "READDIR", "READLINK", "OPEN", "OPENDIR", "READ", "WRITE", "MKDIR", "statvfs@openssh.com"} {
		for i, lie := range remotetest.Lies() {
			special := lie.Types != "" && lie.Fits(kind)
			sample := lie.Types == "" && i%11 == len(kind)%11
			if lie.Stalls || !special && !sample {
				continue
			}
			count++
			use(kind, lie)
		}
	}
	return count
}

// One lie in so many is told to a mount, for so long.
const (
	hostileStep = 6
	hostileTime = 30 * time.Second
)

// TestHostileMount mounts what the liar serves. Programs end, whatever they are
// told; the rest of the mount works; the process neither grows nor breaks.
func TestHostileMount(t *testing.T) {
	t.Parallel() // it takes long
	x := newLiar(t)
	args := append([]string{"mount", "--foreground", "--attr-timeout", "0", "--retry", "5s"}, x.args...)
	m, err := x.StartMount(x.Command(context.Background(), binary, append(args, x.remote, x.point)...), x.point)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endMount(t, m) })
	s := &site{Lab: x.Lab, point: x.point, remote: x.Path("root")}
	slowest := time.Duration(0)
	tried, told, begun := 0, 0, time.Now()
	toldTo(func(kind string, lie remotetest.Lie) {
		script := `cd "$1" || exit 0
			ls -l bad | head -n 2000; cat bad/file | wc -c; cat bad/link | wc -c; readlink bad/link; stat bad/file
			echo x >bad/new; mkdir bad/made; rmdir bad/made; rm -f bad/new; df bad; true`
		if lie.Endless {
			script = `cd "$1" && timeout -s KILL 4 ls -U bad >/dev/null; true`
		} else if tried++; tried%hostileStep != 1 || time.Since(begun) > hostileTime {
			// A lie may cost its reader a minute, so there is time for some of them
			// only; the tests of the pool tell all.
			return
		}
		told++
		x.lie(kind, lie)
		began := time.Now()
		_, _, code := s.run(t, "timeout", "-s", "KILL", "60", "sh", "-c", script, "sh", x.point)
		took := time.Since(began)
		slowest = max(slowest, took)
		if code != 0 || took > time.Minute {
			t.Errorf("%s answered %s: exit code %d after %v", kind, lie.Name, code, took)
		}
		x.server.Corrupt(nil)
		if out, stderr, code := s.run(t, "timeout", "-s", "KILL", "60", "cat", x.point+"/good/file"); code != 0 || out != "good" {
			t.Errorf("%s answered %s, and then the rest of the mount: %q %s", kind, lie.Name, out, stderr)
		}
	})
	if strings.ContainsAny(m.Output(), "\x1b\x07\u202e\u0085") {
		t.Errorf("the mount speaks to the terminal: %q", tail(m.Output()))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.PID()))
	must(t, err)
	_, rss, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rss)
	kib, err := strconv.Atoi(fields[0])
	must(t, err)
	if kib > 400<<10 {
		t.Errorf("the mount took %d MiB", kib>>10)
	}
	t.Logf("%d lies of %d, the slowest script %v, %d MiB at the peak", told, tried, slowest.Round(time.Millisecond), kib>>10)
}

// TestHostileVerbs tells the same to browse and doctor, and to sync both ways.
func TestHostileVerbs(t *testing.T) {
	t.Parallel() // it takes long
	x := newLiar(t)
	s := &site{Lab: x.Lab, point: x.point, remote: x.Path("root")}
	must(t, x.WriteFile("outside", []byte("outside"), 0o644))
	must(t, x.WriteFile("here/mine", []byte("mine"), 0o644))
	bad := x.remote + "/bad"
	count, runs := 0, 0
	toldTo(func(kind string, lie remotetest.Lie) {
		if lie.Types == "" || kind == "STAT" {
			return // as for the mount
		}
		verbs := [][]string{{"sync", "pull", bad, x.Path("here")}}
		if kind == "READDIR" {
			verbs = append(verbs, []string{"browse", bad})
		}
		if count++; count%5 == 0 {
			verbs = append(verbs, []string{"doctor", bad}, []string{"sync", "two-way", x.Path("here"), bad})
		}
		x.lie(kind, lie)
		for _, verb := range verbs {
			runs++
			limit := "60"
			if lie.Endless {
				limit = "5"
			}
			args := append(append([]string{"-s", "KILL", limit, binary}, verb...), x.args...)
			stdout, stderr, code := s.run(t, "timeout", args...)
			if (code < 0 || code > 7) && !lie.Endless {
				t.Errorf("%v: %s answered %s: exit code %d: %s", verb[:2], kind, lie.Name, code, tail(stderr))
			}
			if said := stdout + stderr; strings.ContainsAny(said, "\x1b\x07\u202e\u0085") || strings.Contains(said, "panic:") {
				t.Errorf("%v: %s answered %s: says %q", verb[:2], kind, lie.Name, tail(said))
			}
		}
		x.server.Corrupt(nil)
	})
	if got, err := os.ReadFile(x.Path("outside")); err != nil || string(got) != "outside" {
		t.Errorf("outside the folder: %q, %v", got, err)
	}
	for _, path := range []string{"out", "etc", "passwd"} {
		if _, err := os.Lstat(x.Path(path)); err == nil {
			t.Errorf("%s was made outside the folder", path)
		}
	}
	t.Logf("%d lies, %d runs", count, runs)
}
