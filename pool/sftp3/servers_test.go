package sftp3

import (
	"context"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/pkg/sftp"
)

// timeout is for what must not hang; nothing here takes long.
const timeout = 20 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// duplex makes a channel of two pipes.
type duplex struct {
	io.ReadCloser
	w io.WriteCloser
}

func (d duplex) Write(p []byte) (int, error) { return d.w.Write(p) }

func (d duplex) Close() error {
	werr := d.w.Close()
	if err := d.ReadCloser.Close(); err != nil {
		return err
	}
	return werr
}

// missing skips a test on a laptop, and fails it where everything must be there.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is missing", what)
}

// startOpenSSH is a session with OpenSSH's sftp-server over pipes.
func startOpenSSH(t testing.TB) *Client {
	t.Helper()
	for _, path := range []string{
		"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
		"/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/ssh/sftp-server",
	} {
		if _, err := os.Stat(path); err == nil {
			return startServer(t, path)
		}
	}
	missing(t, "OpenSSH's sftp-server")
	return nil
}

func startServer(t testing.TB, program string) *Client {
	t.Helper()
	cmd := exec.Command(program)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := newSession(t, duplex{stdout, stdin})
	t.Cleanup(func() {
		_ = c.Close()
		if err := cmd.Wait(); err != nil {
			t.Logf("sftp-server: %v", err)
		}
	})
	return c
}

// startPkgSFTP is a session with the server of github.com/pkg/sftp, which runs
// requests at the same time and in any order.
func startPkgSFTP(t testing.TB) *Client {
	t.Helper()
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	server, err := sftp.NewServer(duplex{toServer, fromServer})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	c := newSession(t, duplex{toClient, fromClient})
	t.Cleanup(func() {
		_ = c.Close()
		t.Logf("pkg/sftp's server: %v", <-served) // cut in a packet when we close
	})
	return c
}

func newSession(t testing.TB, ch io.ReadWriteCloser) *Client {
	t.Helper()
	c, err := New(testContext(t), ch, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
