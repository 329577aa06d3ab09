package keys

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// An ownServer is an SSH server made of x/crypto's, for what sshd without PAM
// cannot do: passwords of our choosing, and keyboard-interactive in rounds.
type ownServer struct {
	t        testing.TB
	listener net.Listener
	config   ssh.ServerConfig

	mu        sync.Mutex
	password  string   // guarded by mu
	passwords []string // guarded by mu: every password that came, by either method
	keys      int      // guarded by mu: public keys offered
}

func startOwnServer(t testing.TB, setup func(*ownServer)) *ownServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &ownServer{t: t, listener: l}
	s.config.MaxAuthTries = 6
	s.config.AddHostKey(testSigner(t))
	setup(s)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(nc) })
		}
	})
	return s
}

func (s *ownServer) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	conn, channels, requests, err := ssh.NewServerConn(nc, &s.config)
	if err != nil {
		return
	}
	go func() {
		for r := range requests {
			_ = r.Reply(true, nil)
		}
	}()
	go func() {
		for c := range channels {
			_ = c.Reject(ssh.Prohibited, "nothing here")
		}
	}()
	_ = conn.Wait()
}

// takePasswords makes the server take one password.
func (s *ownServer) takePasswords(password string) {
	s.password = password
	s.config.PasswordCallback = func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return nil, s.judge(string(p)) }
}

func (s *ownServer) judge(password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passwords = append(s.passwords, password)
	if password != s.password {
		return fmt.Errorf("wrong")
	}
	return nil
}

func (s *ownServer) setPassword(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

func (s *ownServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.passwords...)
}

// refuseKeys makes the server ask for keys and take none.
func (s *ownServer) refuseKeys() {
	s.config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keys++
		return nil, fmt.Errorf("no")
	}
}

func (s *ownServer) keysOffered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

func (s *ownServer) clientConfig() ClientConfig {
	cfg := isolated(s.t)
	cfg.User, cfg.Host, cfg.Port = "somebody", "127.0.0.1", s.listener.Addr().(*net.TCPAddr).Port
	return cfg
}

// texts is for comparing what was asked.
func texts(prompts []Prompt) string {
	var all []string
	for _, p := range prompts {
		all = append(all, fmt.Sprintf("%q echo=%v", p.Text, p.Echo))
	}
	return strings.Join(all, "; ")
}
