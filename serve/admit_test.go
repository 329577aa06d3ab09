package serve

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// addressed is a connection that comes from wherever a test says.
type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

func from(text string) addressed {
	here, there := net.Pipe()
	_ = there.Close()
	return addressed{here, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text))}
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func logTo(l *lines) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func unserved(t testing.TB, cfg Config) *Server {
	t.Helper()
	cfg.Dir, cfg.AuthorizedKeys = t.TempDir(), []ssh.PublicKey{newKey(t).PublicKey()}
	s, err := New(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// Who floods the server pushes out his own connections, the oldest first; who has
// logged in is never pushed out.
func TestAdmit(t *testing.T) {
	s := unserved(t, Config{MaxConnections: 16, MaxPerAddress: 6})
	var all []*visit
	admit := func(text string, want *visit, in bool) *visit {
		t.Helper()
		v, out := s.admit(from(text))
		if out != want || (v != nil) != in {
			t.Errorf("%s: in %v, out %+v", text, v != nil, out)
		}
		if v != nil {
			all = append(all, v)
		}
		return v
	}
	good := admit("192.0.2.1:1", nil, true)
	var bad [4]*visit
	for i := range 3 {
		bad[i] = admit(fmt.Sprint("203.0.113.9:", i+1), nil, true)
	}
	// Four may wait. The fifth takes the place of the flooder's oldest.
	other := admit("192.0.2.2:1", bad[0], true)
	bad[3] = admit("203.0.113.9:9", bad[1], true)
	s.loggedIn(good)
	s.loggedIn(other)
	// One address has six at most.
	for i := range 5 {
		s.loggedIn(admit(fmt.Sprint("192.0.2.1:", i+2), nil, true))
	}
	admit("192.0.2.1:99", nil, false)
	admit("[::ffff:192.0.2.1]:99", nil, false)
	// An IPv6 network is one address.
	for i := range 6 {
		s.loggedIn(admit(fmt.Sprintf("[2001:db8::%x]:1", i+1), nil, true))
	}
	admit("[2001:db8::ffff]:1", nil, false)
	if admit("192.0.2.3:1", nil, true); s.visits != 16 {
		t.Errorf("%d visits", s.visits)
	}
	// Full: only who waits can be given up.
	admit("192.0.2.4:1", bad[2], true)
	for _, v := range all {
		s.leave(v)
	}
	if s.visits != 0 || len(s.waiting) != 0 || len(s.sources) != 0 || len(s.open) != 0 {
		t.Errorf("left: %d visits, %d waiting, %d addresses", s.visits, len(s.waiting), len(s.sources))
	}
}

// The addresses that failed are remembered, but not without bound.
func TestSourcesAreBounded(t *testing.T) {
	s := unserved(t, Config{})
	for i := range 3 * sourcesAtMost {
		v, _ := s.admit(from(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)))
		s.failed(v)
		s.leave(v)
	}
	if n := len(s.sources); n > sourcesAtMost || n < sourcesAtMost/2 {
		t.Errorf("%d addresses", n)
	}
}

// Connections that say nothing keep nobody out.
func TestSilentConnections(t *testing.T) {
	var log lines
	s := start(t, func(c *Config) { c.Log = logTo(&log) })
	var silent []net.Conn
	for range 3 * DefaultMaxConnections {
		c, err := net.Dial("tcp", s.addr)
		must(t, err)
		silent = append(silent, c)
	}
	for range 5 {
		c, err := s.dial(s.key)
		if err != nil {
			t.Fatalf("kept out: %v", err)
		}
		_ = c.Close()
	}
	for _, c := range silent {
		_ = c.Close()
	}
	if n := strings.Count(log.String(), "\n"); n == 0 || n > 3 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

// A failed login is told with its address, in one line, and what the client chose
// comes after it and cannot look like an address or begin a line.
func TestFailedLoginsAreLogged(t *testing.T) {
	filter, err := os.ReadFile("../packaging/fail2ban/filter.d/remotemount.conf")
	must(t, err)
	_, text, _ := strings.Cut(string(filter), "failregex = ")
	text, _, _ = strings.Cut(text, "\n")
	host := `(?P<host>[0-9a-fA-F.:]+)`
	failure := regexp.MustCompile(strings.ReplaceAll(text, "<HOST>", host))

	var log lines
	s := start(t, func(c *Config) { c.Log = logTo(&log) })
	users := []string{"root", "x from 198.51.100.1 port 22", "remotemount: warning: failed login from 198.51.100.1 port 22", "a\nwarning: failed login from 198.51.100.1 port 22"}
	began := time.Now()
	for _, user := range users {
		_, err := ssh.Dial("tcp", s.addr, &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(newKey(t))}, HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
		})
		if err == nil {
			t.Error("logged in")
		}
	}
	if took := time.Since(began); took < 7*firstPause {
		t.Errorf("four failures within %v", took)
	}
	waitFor(t, func() bool { return strings.Count(log.String(), "msg=\"failed login from") >= len(users) })
	for line := range strings.Lines(log.String()) {
		// As the program writes it; the test's handler puts the message in quotes.
		_, message, _ := strings.Cut(line, `msg="`)
		found := failure.FindStringSubmatch("remotemount: warning: " + message)
		if found == nil || found[failure.SubexpIndex("host")] != "127.0.0.1" {
			t.Errorf("not read by fail2ban's filter: %s", line)
		}
	}
	for _, bad := range []string{"warning: failed login from 198.51.100.1", "here remotemount[7]: remotemount: warning: other: remotemount: warning: failed login from 198.51.100.1 port 1"} {
		if failure.MatchString(bad) {
			t.Errorf("taken for a failed login: %s", bad)
		}
	}
	// A login that succeeds ends the pause.
	c, err := s.dial(s.key)
	must(t, err)
	_ = c.Close()
	began = time.Now()
	c, err = s.dial(s.key)
	must(t, err)
	_ = c.Close()
	if took := time.Since(began); took > firstPause+5*time.Second {
		t.Errorf("held up for %v after a login", took)
	}
}

func TestLoginTriesAreBounded(t *testing.T) {
	var log lines
	s := start(t, func(c *Config) { c.Log = logTo(&log) })
	keys := []ssh.Signer{}
	for range 20 {
		keys = append(keys, newKey(t))
	}
	_, err := ssh.Dial("tcp", s.addr, &ssh.ClientConfig{
		User: "me", Auth: []ssh.AuthMethod{ssh.PublicKeys(append(keys, s.key)...)}, HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
	})
	if err == nil {
		t.Error("the twenty-first key was let in")
	}
	// x/crypto/ssh counts the questions whether a key would do apart from the tries.
	tries := regexp.MustCompile(`tries=(\d+)`)
	waitFor(t, func() bool { return tries.MatchString(log.String()) })
	if n, err := strconv.Atoi(tries.FindStringSubmatch(log.String())[1]); err != nil || n < maxAuthTries || n > 2*maxAuthTries {
		t.Errorf("%d tries", n)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not come")
}

// A client that knows only SHA-1 is let in only when that was asked for.
func TestSHA1(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	sha1, err := ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	must(t, err)
	for _, allow := range []bool{false, true} {
		s := start(t, func(c *Config) {
			c.AllowSHA1, c.HostKey = allow, signer
			c.AuthorizedKeys = append(c.AuthorizedKeys, signer.PublicKey())
		})
		for what, change := range map[string]func(*ssh.ClientConfig){
			"key exchange": func(c *ssh.ClientConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1} },
			"MAC":          func(c *ssh.ClientConfig) { c.Ciphers, c.MACs = []string{ssh.CipherAES128CTR}, []string{ssh.HMACSHA1} },
			"host key":     func(c *ssh.ClientConfig) { c.HostKeyAlgorithms = []string{ssh.KeyAlgoRSA} },
			"signature":    func(c *ssh.ClientConfig) { c.Auth = []ssh.AuthMethod{ssh.PublicKeys(sha1)} },
		} {
			cfg := &ssh.ClientConfig{
				User: "me", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
			}
			change(cfg)
			c, err := ssh.Dial("tcp", s.addr, cfg)
			if (err == nil) != allow {
				t.Errorf("%s with SHA-1, allowed %v: %v", what, allow, err)
			}
			if err == nil {
				_ = c.Close()
			}
		}
	}
}

func TestShortKeysAreNotAuthorized(t *testing.T) {
	const name = "rsa-1024.pub" // a public key alone, whose private one was thrown away
	f, err := os.Open(filepath.Join("testdata", name))
	must(t, err)
	defer func() { _ = f.Close() }()
	if _, err := ParseAuthorizedKeys(f); err == nil || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("a key of 1024 bits: %v", err)
	}
}
