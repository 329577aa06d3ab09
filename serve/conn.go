package serve

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// version is what the server calls itself. It must not look like OpenSSH:
// clients take that name for a promise about the order of requests.
const version = "SSH-2.0-remotemount"

// readBuffer is how much is read from a socket at once; x/crypto/ssh alone
// reads 4 KiB, and a call to the kernel each is what then bounds the speed.
const readBuffer = 256 << 10

func (s *Server) sshConfig() *ssh.ServerConfig {
	authorized := make(map[string]bool, len(s.cfg.AuthorizedKeys))
	for _, key := range s.cfg.AuthorizedKeys {
		authorized[string(key.Marshal())] = true
	}
	cfg := &ssh.ServerConfig{
		ServerVersion: version,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			print := ssh.FingerprintSHA256(key)
			if !authorized[string(key.Marshal())] {
				return nil, fmt.Errorf("key %s is not authorized", print)
			}
			return &ssh.Permissions{Extensions: map[string]string{"key": print}}, nil
		},
	}
	cfg.AddHostKey(s.cfg.HostKey)
	return cfg
}

// serveConn speaks SSH on a connection until it ends.
func (s *Server) serveConn(conn net.Conn) {
	log := s.log.With("remote", conn.RemoteAddr().String())
	server, channels, requests, err := s.handshake(conn)
	s.loggedIn()
	if err != nil {
		log.Info("not logged in", "err", err)
		return
	}
	log.Info("logged in", "user", server.User(), "key", server.Permissions.Extensions["key"])
	defer log.Info("connection ended")

	var sessions sync.WaitGroup
	defer sessions.Wait()
	sessions.Go(func() { ssh.DiscardRequests(requests) })
	room := make(chan struct{}, s.cfg.MaxSessions)
	for ch := range channels {
		if reason, text, ok := s.refuse(ch, room); ok {
			if err := ch.Reject(reason, text); err != nil {
				log.Debug("reject channel", "err", err)
			}
			continue
		}
		sessions.Go(func() {
			defer func() { <-room }()
			s.serveChannel(log, ch)
		})
	}
}

// handshake is bounded in time: ssh.NewServerConn itself waits for ever.
func (s *Server) handshake(conn net.Conn) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	if err := setKeepAlive(conn); err != nil {
		return nil, nil, nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout)); err != nil {
		return nil, nil, nil, err
	}
	server, channels, requests, err := ssh.NewServerConn(buffered(conn), s.ssh)
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
