package integration

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/link"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A server is one that histories are played on. It has the site's folder at
// path, and is reached at port by the site's key and with its host key.
type server struct {
	port int
	path string
}

// openSSH is the site's own server, which keeps the order of requests.
func openSSH(_ testing.TB, s *site) server { return server{s.sshd.Port, s.remote} }

// farOpenSSH is behind a link of 20 ms.
func farOpenSSH(t testing.TB, s *site) server { return far(t, openSSH(t, s)) }

func far(t testing.TB, to server) server {
	t.Helper()
	l := linkTo(t, to)
	l.SetDelay(10 * time.Millisecond)
	return server{l.Port(), to.path}
}

func linkTo(t testing.TB, to server) *link.Link {
	t.Helper()
	l, err := link.New("127.0.0.1:" + strconv.Itoa(to.port))
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

// serving is our own gateway, which executes the WRITEs of a session in parallel.
func serving(t testing.TB, s *site) server {
	t.Helper()
	keys := filepath.Dir(s.sshd.Identity)
	cmd := s.Command(context.Background(), binary, "serve", "--listen", "127.0.0.1:0",
		"--authorized-keys", filepath.Join(keys, "authorized_keys"), "--host-key-file", filepath.Join(keys, "host_key"), s.remote)
	said, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // how a server ends is another test's matter
	})
	text := make([]byte, 4096)
	n, err := said.Read(text)
	must(t, err)
	go func() { _, _ = io.Copy(io.Discard, said) }() // ends with the server
	_, after, _ := strings.Cut(string(text[:n]), " at 127.0.0.1:")
	digits, _, _ := strings.Cut(after, ",")
	port, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("serve said %q", text[:n])
	}
	return server{port, "/"}
}

// foreign is a server that executes what reaches it together in the reverse
// order: the worst that the protocol allows. It is a child, as a mount is.
func foreign(t testing.TB, s *site) server { return server{s.child(t, "foreign"), s.remote} }

// child runs a job that is a server, and gives the port that it tells.
func (s *site) child(t testing.TB, job string) (port int) {
	t.Helper()
	cmd := s.childJob(t, job)
	orders, err := cmd.StdinPipe()
	must(t, err)
	said, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, orders.Close())
		_, _ = io.Copy(io.Discard, said)
		must(t, cmd.Wait())
	})
	if _, err := fmt.Fscanln(said, &port); err != nil {
		t.Fatalf("the server %s does not tell its port: %v", job, err)
	}
	return port
}

func init() { jobs["foreign"] = foreignJob }

// foreignJob is the foreign server, of the folder "remote" in a lab.
func foreignJob(t *testing.T, dir string) { scriptedJob(t, dir, remotetest.Quirks{}) }

// scriptedJob is a scripted server that is not OpenSSH's.
func scriptedJob(t *testing.T, dir string, q remotetest.Quirks, without ...string) {
	scripted := remotetest.NewServer(t, filepath.Join(dir, "remote"))
	scripted.Identification, scripted.Quirks = "SSH-2.0-Foreign", q
	for _, name := range without {
		if name == "all" {
			clear(scripted.Extensions)
		}
		delete(scripted.Extensions, name)
	}
	servers(t, dir, scripted.Identification, func(ch io.ReadWriteCloser) error {
		to, err := scripted.Connect(context.Background())
		if err != nil {
			return err
		}
		session, err := to.OpenSFTP(context.Background())
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(session, ch)
			_ = session.Close()
		}()
		_, err = io.Copy(ch, session)
		_ = to.Close()
		scripted.Forget() // it remembers every request
		return err
	})
}
