package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// version is what the server calls itself. It must not look like OpenSSH:
// clients take that name for a promise about the order of requests.
const version = "SSH-2.0-remotemount"

// draftLinks are how clients call themselves that send the arguments of a SYMLINK in
// the order of draft-ietf-secsh-filexfer-02, the link before its target, to every
// server that does not call itself OpenSSH (AsyncSSH: or paramiko). All others send
// them the other way round, as OpenSSH takes them. libssh2 is one of those.
var draftLinks = []string{"SSH-2.0-libssh_", "SSH-2.0-libssh-", "SSH-2.0-WinSCP_", "SSH-2.0-AsyncSSH_"}

func hasDraftLinks(clientVersion string) bool {
	return slices.ContainsFunc(draftLinks, func(name string) bool { return strings.HasPrefix(clientVersion, name) })
}

// maxAuthTries is OpenSSH's: who has more keys than that in the agent names one.
const maxAuthTries = 6

// readBuffer is how much is read from a socket at once; x/crypto/ssh alone
// reads 4 KiB, and a call to the kernel each is what then bounds the speed.
const readBuffer = 256 << 10

func (s *Server) sshConfig() *ssh.ServerConfig {
	cfg := &ssh.ServerConfig{
		ServerVersion: version,
		MaxAuthTries:  maxAuthTries,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if err := s.authorized(key); err != nil {
				return nil, err
			}
			return &ssh.Permissions{Extensions: map[string]string{"key": ssh.FingerprintSHA256(key)}}, nil
		},
	}
	a := ssh.SupportedAlgorithms()
	hostKey := s.cfg.HostKey
	if s.cfg.AllowSHA1 {
		a.KeyExchanges = append(a.KeyExchanges, ssh.InsecureKeyExchangeDH14SHA1)
		a.PublicKeyAuths = append(a.PublicKeyAuths, ssh.KeyAlgoRSA)
	} else {
		a.KeyExchanges, a.MACs, a.PublicKeyAuths = withoutSHA1(a.KeyExchanges), withoutSHA1(a.MACs), withoutSHA1(a.PublicKeyAuths)
		hostKey = signWithoutSHA1(hostKey)
	}
	cfg.KeyExchanges, cfg.Ciphers, cfg.MACs, cfg.PublicKeyAuthAlgorithms = a.KeyExchanges, a.Ciphers, a.MACs, a.PublicKeyAuths
	cfg.AddHostKey(hostKey)
	return cfg
}

const readAgain = 100 * time.Millisecond

// An unreadError keeps everybody out, and is no fault of the client.
type unreadError struct{ err error }

func (e *unreadError) Error() string { return "nobody is authorized: " + e.err.Error() }
func (e *unreadError) Unwrap() error { return e.err }

// authorized says whether a key may log in now.
func (s *Server) authorized(key ssh.PublicKey) error {
	keys := s.cfg.AuthorizedKeys
	if s.cfg.ReadKeys != nil {
		var err error
		if keys, err = s.cfg.ReadKeys(); err != nil { // somebody may be writing the file
			time.Sleep(readAgain)
			keys, err = s.cfg.ReadKeys()
		}
		if err != nil {
			s.unread.tell(s.log, "who may log in cannot be read", "err", &unreadError{err})
			return &unreadError{err}
		}
	}
	same := func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }
	if !slices.ContainsFunc(keys, same) {
		return fmt.Errorf("key %s is not authorized", ssh.FingerprintSHA256(key))
	}
	return nil
}

func withoutSHA1(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		return strings.Contains(name, "sha1") || name == ssh.KeyAlgoRSA || name == ssh.CertAlgoRSAv01
	})
}

// signWithoutSHA1 is an RSA key that is not used with SHA-1. Others are not.
func signWithoutSHA1(key ssh.Signer) ssh.Signer {
	if by, ok := key.(ssh.AlgorithmSigner); ok && key.PublicKey().Type() == ssh.KeyAlgoRSA {
		if s, err := ssh.NewSignerWithAlgorithms(by, []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}); err == nil {
			return s
		}
	}
	return key
}

// serveConn speaks SSH on a connection until it ends.
func (s *Server) serveConn(ctx context.Context, v *visit) {
	log := s.log.With("remote", v.conn.RemoteAddr().String())
	s.pause(ctx, v)
	tries := &loginTries{server: s, visit: v}
	server, channels, requests, err := s.handshake(v.conn, tries)
	if err != nil {
		if tries.failed > 0 {
			s.log.Warn(failedLogin(v.conn.RemoteAddr()), "user", strconv.Quote(tries.user), "tries", tries.failed, "err", tries.last)
		} else {
			log.Info("not logged in", "err", err)
		}
		return
	}
	log.Info("logged in", "user", strconv.Quote(server.User()), "key", server.Permissions.Extensions["key"])
	defer log.Info("connection ended")

	var sessions sync.WaitGroup
	defer sessions.Wait()
	sessions.Go(func() { ssh.DiscardRequests(requests) })
	room := make(chan struct{}, s.cfg.MaxSessions)
	draft := hasDraftLinks(string(server.ClientVersion()))
	for ch := range channels {
		if reason, text, ok := s.refuse(ch, room); ok {
			if err := ch.Reject(reason, text); err != nil {
				log.Debug("reject channel", "err", err)
			}
			continue
		}
		sessions.Go(func() {
			defer func() { <-room }()
			s.serveChannel(log, ch, draft)
		})
	}
}

// loginTries are those of one connection.
type loginTries struct {
	server *Server
	visit  *visit
	user   string
	failed int
	last   error
}

// note is an ssh.ServerConfig's AuthLogCallback, called before the client hears of
// it. Asking with "none" what methods there are is no try, and neither is one that
// could not be judged.
func (t *loginTries) note(conn ssh.ConnMetadata, method string, err error) {
	var unread *unreadError
	switch {
	case err == nil:
		t.server.loggedIn(t.visit)
	case errors.As(err, &unread):
	case method != "none":
		if t.failed == 0 {
			t.server.failed(t.visit)
		}
		t.user, t.failed, t.last = conn.User(), t.failed+1, err
	}
}

// failedLogin is how the line of a failed login begins. Programs that ban
// addresses look for it (packaging/fail2ban): the address comes before anything
// that the client chose.
func failedLogin(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return "failed login from " + addr.String()
	}
	return fmt.Sprintf("failed login from %s port %d", ap.Addr().Unmap().WithZone(""), ap.Port())
}

// handshake is bounded in time: ssh.NewServerConn itself waits for ever.
func (s *Server) handshake(conn net.Conn, tries *loginTries) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	if err := setKeepAlive(conn); err != nil {
		return nil, nil, nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout)); err != nil {
		return nil, nil, nil, err
	}
	cfg := *s.ssh
	cfg.AuthLogCallback = tries.note
	server, channels, requests, err := ssh.NewServerConn(buffered(conn), &cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, nil, nil, errors.Join(err, server.Close())
	}
	return server, channels, requests, nil
}

// refuse takes a place in room for a session, or says why the channel is
// refused.
func (s *Server) refuse(ch ssh.NewChannel, room chan struct{}) (ssh.RejectionReason, string, bool) {
	if ch.ChannelType() != "session" {
		return ssh.UnknownChannelType, "only sessions are served here", true
	}
	select {
	case room <- struct{}{}:
		return 0, "", false
	default:
		return ssh.ResourceShortage, "too many sessions on this connection", true
	}
}

// setKeepAlive lets the kernel end connections whose other side is gone: after
// a minute without a sign of life, when idle and when data is on the way.
func setKeepAlive(conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	err := tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3,
	})
	return errors.Join(err, setUserTimeout(tcp, time.Minute))
}

// bufferedConn reads ahead from the socket.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func buffered(conn net.Conn) net.Conn {
	return &bufferedConn{conn, bufio.NewReaderSize(conn, readBuffer)}
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }
