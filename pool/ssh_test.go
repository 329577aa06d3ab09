package pool_test

import (
	"context"
	"crypto/ed25519"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
	"github.com/remotemount/remotemount/serve"
)

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// gateway serves a folder with our own server, which is not known to keep
// order, and gives the configuration of a Pool for it.
func gateway(t testing.TB, dir string) pool.Config {
	t.Helper()
	client := newSigner(t)
	server, err := serve.New(serve.Config{Dir: dir, AuthorizedKeys: []ssh.PublicKey{client.PublicKey()}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	addr := l.Addr().String()
	return pool.Config{
		Addr:    addr,
		Timeout: 10 * time.Second,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		SSH: func(context.Context, net.Conn) (*ssh.ClientConfig, error) {
			return &ssh.ClientConfig{
				User: "someone", Auth: []ssh.AuthMethod{ssh.PublicKeys(client)},
				HostKeyCallback: ssh.FixedHostKey(server.HostKey()),
			}, nil
		},
	}
}

func TestContractOnOurServer(t *testing.T) {
	can := remotetest.Capabilities{Hardlinks: true, StatFS: true, PosixRename: true, NoAtime: true}
	remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
		dir := t.TempDir()
		return remotetest.Fixture{Remote: connect(t, gateway(t, dir)), Path: dir, Capabilities: can}
	})
}
