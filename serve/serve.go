package serve

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Limits that a Config of zero values has.
const (
	DefaultMaxConnections   = 64
	DefaultMaxPerAddress    = 32 // a mount makes up to 25
	DefaultMaxSessions      = 10 // sessions a connection, as OpenSSH has it
	DefaultHandshakeTimeout = 30 * time.Second
)

// Config says what is served, and to whom.
type Config struct {
	// Dir is the folder served. It must exist.
	Dir string

	// HostKey is the server's key. One is made for the life of the Server when
	// it is nil.
	HostKey ssh.Signer

	// AuthorizedKeys may log in, under any user name. At least one.
	AuthorizedKeys []ssh.PublicKey

	// ReadKeys, where it is given, tells at each login what AuthorizedKeys are by
	// then. Nobody may log in while it fails, also when it is tried again.
	ReadKeys func() ([]ssh.PublicKey, error)

	// ReadOnly refuses every change.
	ReadOnly bool

	// Log hears of connections and refusals; nil discards.
	Log *slog.Logger

	// MaxConnections bounds the connections at one time, and MaxPerAddress those
	// of one address. At most a quarter of them may be without a login. Where there
	// is no room, the oldest without a login is closed, or else the new one.
	MaxConnections, MaxPerAddress int

	// AllowSHA1 takes clients that know only algorithms with SHA-1.
	AllowSHA1 bool

	// MaxSessions bounds the SFTP sessions of a connection.
	MaxSessions int

	// HandshakeTimeout bounds the time from connecting to being logged in.
	HandshakeTimeout time.Duration
}

// A Server serves one folder.
type Server struct {
	cfg     Config
	root    *os.Root
	ssh     *ssh.ServerConfig
	hostKey ssh.PublicKey
	log     *slog.Logger

	mu      sync.Mutex
	closed  bool                                    // guarded by mu
	open    map[interface{ Close() error }]struct{} // listeners and connections; guarded by mu
	visits  int                                     // connections; guarded by mu
	waiting []*visit                                // those not logged in yet, the oldest first; guarded by mu
	sources map[string]*source                      // guarded by mu

	running sync.WaitGroup // connections
	full    seldom
	leftOut seldom // names of listings
	unread  seldom // that ReadKeys failed
}

// New opens the folder and prepares to serve it. The Server must be closed.
func New(cfg Config) (*Server, error) {
	if len(cfg.AuthorizedKeys) == 0 && cfg.ReadKeys == nil {
		return nil, errors.New("serve: no authorized keys: nobody could log in")
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	s := &Server{
		cfg:     cfg,
		root:    root,
		hostKey: cfg.HostKey.PublicKey(),
		log:     cfg.Log,
		open:    make(map[interface{ Close() error }]struct{}),
		sources: make(map[string]*source),
	}
	s.ssh = s.sshConfig()
	return s, nil
}

func (c *Config) setDefaults() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxConnections <= 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.MaxPerAddress <= 0 {
		c.MaxPerAddress = min(DefaultMaxPerAddress, c.MaxConnections)
	}
	if c.MaxSessions <= 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if c.HostKey != nil {
		return nil
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		c.HostKey, err = ssh.NewSignerFromKey(key)
	}
	if err != nil {
		return fmt.Errorf("serve: generate host key: %w", err)
	}
	return nil
}

// HostKey is the public key the Server shows to its clients.
func (s *Server) HostKey() ssh.PublicKey { return s.hostKey }

// Fingerprint is the host key's fingerprint as ssh shows it, "SHA256:...".
func (s *Server) Fingerprint() string { return ssh.FingerprintSHA256(s.hostKey) }

// Serve accepts connections from l until ctx ends or the Server is closed, and
// then returns nil, after its connections have ended; earlier only with the
// error that accepting came to. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if !s.track(l) {
		return errors.Join(errors.New("serve: closed"), l.Close())
	}
	defer s.untrack(l)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.closeQuietly(l) })
	defer stop()

	var mine sync.WaitGroup
	err := s.accept(ctx, l, &mine)
	cancel()
	mine.Wait()
	return err
}

// accept gives every connection a goroutine. A passing shortage, of
// descriptors above all, is waited out: ending the server would not help.
func (s *Server) accept(ctx context.Context, l net.Listener, mine *sync.WaitGroup) error {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil || s.isClosed():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve: accept: %w", err)
		default:
			s.log.Warn("cannot accept a connection", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		s.start(ctx, conn, mine)
	}
}

// start serves conn if there is room for it.
func (s *Server) start(ctx context.Context, conn net.Conn, mine *sync.WaitGroup) {
	v, out := s.admit(conn)
	if out != nil {
		s.closeQuietly(out.conn)
		s.full.tell(s.log, "a connection that had not logged in is given up for another one", "remote", out.conn.RemoteAddr())
	}
	if v == nil {
		s.closeQuietly(conn)
		s.full.tell(s.log, "too many connections", "remote", conn.RemoteAddr())
		return
	}
	mine.Add(1)
	go func() {
		defer mine.Done()
		defer s.leave(v)
		stop := context.AfterFunc(ctx, func() { s.closeQuietly(conn) })
		defer stop()
		s.serveConn(ctx, v)
	}()
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[l] = struct{}{}
	return true
}

func (s *Server) untrack(l net.Listener) {
	s.closeQuietly(l)
	s.mu.Lock()
	delete(s.open, l)
	s.mu.Unlock()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close ends every connection and waits until their requests have ended.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for c := range s.open {
		s.closeQuietly(c)
	}
	s.mu.Unlock()

	s.running.Wait()
	return s.root.Close()
}

// closeQuietly closes what somebody else may have closed already.
func (s *Server) closeQuietly(c interface{ Close() error }) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("close", "err", err)
	}
}
