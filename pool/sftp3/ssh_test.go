package sftp3

import (
	"bytes"
	"crypto/ed25519"
	"net"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// startSSH is a connection with an SSH server in this process, and an open
// channel to an SFTP server in it.
func startSSH(t testing.TB) (*ssh.Client, ssh.Channel) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, key, err := ed25519.GenerateKey(nil)
	ok(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	ok(t, err)
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	served := make(chan error, 1)
	go func() { served <- serveSSH(l, config) }()
	client, err := ssh.Dial("tcp", l.Addr().String(),
		&ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(signer.PublicKey()), Timeout: timeout})
	ok(t, err)
	t.Cleanup(func() {
		_ = client.Close()
		t.Logf("the server ends with %v", <-served)
	})
	ch, requests, err := client.OpenChannel("session", nil)
	ok(t, err)
	go ssh.DiscardRequests(requests)
	return client, ch
}

// serveSSH serves SFTP on the first channel of the first connection.
func serveSSH(l net.Listener, config *ssh.ServerConfig) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests)
	ch, requests, err := (<-channels).Accept()
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests)
	server, err := sftp.NewServer(ch)
	if err != nil {
		return err
	}
	err = server.Serve()
	_ = server.Close()
	return err
}

// On an SSH channel, Close ends the session though only the server's answer to
// the channel's close frees its reader.
func TestCloseSSHChannel(t *testing.T) {
	_, ch := startSSH(t)
	c := newSession(t, ch)
	dir := t.TempDir()
	want := makeFile(t, dir+"/f", 3<<20)
	h := mustOpen(t, c, dir+"/f", OpenRead)
	got := make([]byte, len(want))
	_, err := readAt(testContext(t), c, h, got, 0)
	ok(t, err)
	if !bytes.Equal(got, want) {
		t.Error("wrong data")
	}
	c.StartClose(h).Forget()
	_ = c.Close() // io.EOF when the server was the first to close
	wantLost(t, c, nil)
}

// When the connection goes, so does the session.
func TestSSHConnectionLost(t *testing.T) {
	client, ch := startSSH(t)
	c := newSession(t, ch)
	call := c.StartStat(".")
	ok(t, client.Close())
	_ = call.WaitStatus(testContext(t)) // answered or lost
	wantLost(t, c, nil)
}
