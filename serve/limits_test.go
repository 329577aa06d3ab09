package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

func mkfifo(t testing.TB, path string) {
	t.Helper()
	must(t, unix.Mkfifo(path, 0o600))
}

func TestOnlyAuthorizedKeys(t *testing.T) {
	s := start(t, nil)
	if _, err := s.dial(newKey(t)); err == nil {
		t.Error("an unknown key got in")
	}
	_, err := ssh.Dial("tcp", s.addr, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password("")}, HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
	})
	if err == nil {
		t.Error("an empty password got in")
	}
	if _, err := New(Config{Dir: t.TempDir()}); err == nil {
		t.Error("a server without keys was made")
	}
	if _, err := New(Config{Dir: "/nonexistent", AuthorizedKeys: []ssh.PublicKey{s.key.PublicKey()}}); err == nil {
		t.Error("a server of nothing was made")
	}
}

// Who may log in is asked at each login. A connection that is there goes on.
func TestKeysAreReadAtEachLogin(t *testing.T) {
	one, two := newKey(t), newKey(t)
	var keys []ssh.PublicKey
	var failure error
	var mu sync.Mutex
	s := start(t, func(c *Config) {
		c.AuthorizedKeys = nil
		c.ReadKeys = func() ([]ssh.PublicKey, error) { mu.Lock(); defer mu.Unlock(); return keys, failure }
	})
	set := func(err error, list ...ssh.PublicKey) { mu.Lock(); defer mu.Unlock(); keys, failure = list, err }
	in := func(key ssh.Signer) bool {
		conn, err := s.dial(key)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	set(nil, one.PublicKey())
	stays, err := s.dial(one)
	must(t, err)
	defer func() { _ = stays.Close() }()
	if !in(one) || in(two) {
		t.Error("not the key that was given first")
	}
	set(nil, two.PublicKey())
	if in(one) || !in(two) {
		t.Error("not the key that was given then")
	}
	set(errors.New("cannot be read"), two.PublicKey())
	if in(one) || in(two) {
		t.Error("let in when the keys could not be read")
	}
	rawSession(t, stays)
}

// Keys that cannot be read for a moment keep nobody out, and those that cannot be read
// at all are no fault of the client.
func TestKeysThatCannotBeRead(t *testing.T) {
	var log lines
	var fail atomic.Int32
	key := newKey(t)
	s := start(t, func(c *Config) {
		c.Log = logTo(&log)
		c.ReadKeys = func() ([]ssh.PublicKey, error) {
			if fail.Add(-1) >= 0 {
				return nil, errors.New("half written")
			}
			return []ssh.PublicKey{key.PublicKey()}, nil
		}
	})
	fail.Store(1)
	conn, err := s.dial(key)
	must(t, err)
	_ = conn.Close()
	fail.Store(1000)
	if _, err := s.dial(key); err == nil {
		t.Error("let in")
	}
	if text := log.String(); strings.Contains(text, "failed login") || strings.Count(text, "half written") != 1 {
		t.Errorf("the log says %q", text)
	}
}

func TestOnlySFTP(t *testing.T) {
	s := start(t, nil)
	conn, err := s.dial(s.key)
	must(t, err)
	defer func() { _ = conn.Close() }()
	if _, _, err := conn.OpenChannel("direct-tcpip", nil); err == nil {
		t.Error("forwarding was allowed")
	}
	for _, request := range []string{"shell", "exec", "pty-req", "env", "subsystem"} {
		session, err := conn.NewSession()
		must(t, err)
		ok, err := session.SendRequest(request, true, ssh.Marshal(struct{ Name string }{"netconf"}))
		if ok || err != nil {
			t.Errorf("%s: %v, %v", request, ok, err)
		}
		_ = session.Close()
	}
}

func TestLimits(t *testing.T) {
	s := start(t, func(c *Config) {
		c.MaxConnections, c.MaxSessions, c.HandshakeTimeout = 2, 2, 200*time.Millisecond
	})
	silent, err := net.Dial("tcp", s.addr)
	must(t, err)
	begin := time.Now()
	if _, err := io.Copy(io.Discard, silent); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a silent connection lasted %v", took)
	}
	must(t, silent.Close())

	first := dialSoon(t, s)
	for range 2 {
		_, _, err := first.OpenChannel("session", nil)
		must(t, err)
	}
	if _, _, err := first.OpenChannel("session", nil); err == nil {
		t.Error("a third session was opened")
	}
	dialSoon(t, s)
	if _, err := s.dial(s.key); err == nil {
		t.Error("a third connection was let in")
	}
}

// dialSoon retries for a moment: the server notices the end of a connection a
// little later than its client.
func dialSoon(t testing.TB, s *served) *ssh.Client {
	t.Helper()
	var err error
	for range 50 {
		var conn *ssh.Client
		if conn, err = s.dial(s.key); err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal(err)
	return nil
}

// The handle that is one too many is refused, and what it would have opened stays as
// it was.
func TestHandlesAreBounded(t *testing.T) {
	s := start(t, nil)
	must(t, os.WriteFile(filepath.Join(s.dir, "a"), []byte("text"), 0o644))
	c := s.raw(t)
	var last string
	for range maxHandles {
		last = c.open("/a", 1, u32(0))
	}
	if code := c.status(fxpOpen, str("/a"), u32(1), u32(0)); code == 0 {
		t.Error("one handle too many was given")
	}
	for _, name := range []string{"/a", "/new"} { // write, create, truncate
		if code := c.status(fxpOpen, str(name), u32(0x1a), u32(0)); code == 0 {
			t.Error("one handle too many was given")
		}
	}
	if got, err := os.ReadFile(filepath.Join(s.dir, "a")); err != nil || string(got) != "text" {
		t.Errorf("an OPEN that was refused left %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "new")); err == nil {
		t.Error("an OPEN that was refused made a file")
	}
	if code := c.status(fxpOpendir, str("/")); code == 0 {
		t.Error("one handle too many was given, of a folder")
	}
	if code := c.status(fxpClose, str(last)); code != 0 {
		t.Errorf("close: status %d", code)
	}
	c.open("/a", 1, u32(0))
}

// TestNothingLeaks lets clients go away in the middle of things, and looks for
// goroutines and descriptors that stayed.
func TestNothingLeaks(t *testing.T) {
	s := start(t, nil)
	must(t, os.WriteFile(filepath.Join(s.dir, "big"), make([]byte, 8<<20), 0o644))
	files := descriptors(t)
	goroutines := runtime.NumGoroutine()
	for range 10 {
		conn, err := net.Dial("tcp", s.addr)
		must(t, err)
		c, chans, reqs, err := ssh.NewClientConn(conn, s.addr, &ssh.ClientConfig{
			Auth:            []ssh.AuthMethod{ssh.PublicKeys(s.key)},
			HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
		})
		must(t, err)
		client := ssh.NewClient(c, chans, reqs)
		r := rawSession(t, client)
		h := r.open("/big", 1, u32(0))
		for i := range 2 * maxReads { // more than fits the window; the answers are not read, so the rest waits for its turn
			r.write(append(append(append([]byte{5}, u32(uint32(i))...), str(h)...), append(u64(0), u32(maxRead)...)...))
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
		_ = client.Wait()
	}
	for range 600 {
		if runtime.NumGoroutine() <= goroutines && descriptors(t) <= files {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d goroutines (before: %d), %d descriptors (before: %d)\n%s", runtime.NumGoroutine(), goroutines,
		descriptors(t), files, stacks[:runtime.Stack(stacks, true)])
}

func descriptors(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(fds)
}

func TestServeEndsWithItsContext(t *testing.T) {
	s := start(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	conn, err := (&served{Server: s.Server, addr: l.Addr().String()}).dial(s.key)
	must(t, err)
	client, err := sftp.NewClient(conn)
	must(t, err)
	cancel()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("Serve went on")
	}
	if _, err := client.Stat("/"); err == nil {
		t.Error("the connection went on")
	}
	if _, err := s.client(t).Stat("/"); err != nil {
		t.Errorf("the other listener ended too: %v", err)
	}
}
