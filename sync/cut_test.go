package sync

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/integration/link"
	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/serve"
)

// served is a folder behind an SFTP server, a link that can be cut, and a pool.
func served(t *testing.T, dir string) (*link.Link, *pool.Pool) {
	t.Helper()
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	key, err := ssh.NewSignerFromKey(secret)
	must(t, err)
	server, err := serve.New(serve.Config{Dir: dir, AuthorizedKeys: []ssh.PublicKey{key.PublicKey()}})
	must(t, err)
	at, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(context.Background(), at) // ends by Close
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Close() // the listener is gone already
		<-ended
	})
	between, err := link.New(at.Addr().String())
	must(t, err)
	t.Cleanup(func() { must(t, between.Close()) })
	return between, dialled(t, between.Addr(), key)
}

func dialled(t *testing.T, addr string, key ssh.Signer) *pool.Pool {
	t.Helper()
	p, err := pool.New(pool.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		},
		SSH: func(context.Context, net.Conn) (*ssh.ClientConfig, error) {
			return &ssh.ClientConfig{User: "u", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}, nil
		},
		Addr: addr, SlotDir: t.TempDir(), Timeout: 30 * time.Second,
	})
	must(t, err)
	t.Cleanup(p.Abort)
	must(t, p.Connect(t.Context()))
	return p
}

// The link is cut twice a second, under runs in both directions, until they are
// through.
func TestLinkCutAgainAndAgain(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newPairing(t, Options{Mode: mode})
			from := map[Mode]string{Push: p.local, Pull: p.remote}[mode]
			for i := range 300 {
				put(t, from, fmt.Sprintf("d%d/f%d", i/30, i), fmt.Sprint("text ", i), old)
			}
			put(t, from, "large", string(bytes.Repeat(pattern(1, 1<<20), 24)), old)
			between, remote := served(t, p.remote)
			between.SetDelay(10 * time.Millisecond)
			between.SetRate(16 << 20)
			stop := between.CutEvery(500*time.Millisecond, 64<<10)
			defer stop()
			p.untilDone(remote)
			sameTrees(t, p.local, p.remote, true)
			noTemps(t, p.local, p.remote)
			if n := between.Stats().Connections; n < 2 {
				t.Errorf("%d connections: nothing was cut", n)
			}
		})
	}
}

// untilDone runs until a run has nothing left to do.
func (p *pairing) untilDone(remote remote.Remote) {
	p.t.Helper()
	c := p.config()
	c.Remote = remote
	r, err := New(c)
	must(p.t, err)
	for range 20 {
		res, err := r.Run(p.t.Context())
		if err == nil && !res.Partial() {
			return
		}
		if errors.Is(err, context.Canceled) {
			p.t.Fatal(err)
		}
		if err != nil {
			p.t.Log(err)
			continue
		}
		for _, f := range res.Failures {
			p.t.Logf("failed: %s, %s side: %v", f.Path, f.Side, f.Err)
		}
	}
	p.t.Fatal("never done")
}
