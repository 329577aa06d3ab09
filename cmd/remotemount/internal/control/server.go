// Package control is the socket through which a running mount is seen and ended.
//
// Each mount listens on a Unix socket in the runtime folder, named by a hash of
// its mountpoint, and speaks HTTP there: GET /status (JSON), GET /metrics
// (Prometheus), POST /unmount, POST /reconnect. A mount is ours when its socket answers; the
// filesystem type says sshfs to please desktop programs, and is never asked.
//
// The folder is closed to other users, and the socket asks the kernel who is
// calling, too. Requests change nothing but the mount's end and its connections, and
// the answers hold no secret.
package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Config is what a mount answers with.
type Config struct {
	Dir        string // from RuntimeDir
	Mountpoint string // absolute, without symbolic links

	Status func() Status
	// Unmount ends the mount. Without force it fails with EBUSY while files are
	// open; with force it always ends, within two seconds.
	Unmount func(ctx context.Context, force bool) (Unmounted, error)
	// Reconnect has the mount connect now, also after a login that was refused. ask is
	// nil when the caller answers no questions.
	Reconnect func(ctx context.Context, ask Ask) Reconnected
}

// Reconnected is what a reconnect has come to.
type Reconnected struct {
	Error string `json:"error,omitempty"` // "" when the mount is connected
	Hint  string `json:"hint,omitempty"`
	Code  int    `json:"code,omitempty"` // exit code for that error
}

// Unmounted is what an unmount has come to. The mount is gone from the mountpoint.
type Unmounted struct {
	Device string `json:"device"`           // "MAJOR:MINOR" of the mount in every mount table
	InUse  int    `json:"in_use,omitempty"` // files open in a copy of the mount; with none the process ends now
}

// A Server answers for one mount.
type Server struct {
	config Config
	http   *http.Server
	name   string
	inode  uint64 // of our socket, to remove no other's
	done   chan struct{}

	life context.Context // ends with Close; conversations do not count as requests
	end  context.CancelFunc

	ended chan struct{} // closed by Ended
	lost  string        // set before that
}

func socketName(mountpoint string) string {
	sum := sha256.Sum256([]byte(mountpoint))
	return hex.EncodeToString(sum[:12]) + ".sock"
}

// Listen begins to answer. The socket appears under its name only when it can
// be asked, and replaces one that a killed mount left.
func Listen(c Config) (*Server, error) {
	s := &Server{config: c, name: socketName(c.Mountpoint), done: make(chan struct{})}
	s.life, s.end = context.WithCancel(context.Background())
	s.ended = make(chan struct{})
	early := fmt.Sprintf(".%d.%s", os.Getpid(), s.name)
	var listener *net.UnixListener
	err := withDir(c.Dir, early, func(path string) (err error) {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	if err := s.place(early); err != nil {
		return nil, fmt.Errorf("control socket: %w", errors.Join(err, listener.Close(), os.Remove(filepath.Join(c.Dir, early))))
	}
	s.http = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(ownUserOnly{listener}) // always http.ErrServerClosed
	}()
	return s, nil
}

func (s *Server) place(early string) error {
	info, err := os.Lstat(filepath.Join(s.config.Dir, early))
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = st.Ino
	}
	if unlock, err := lockDir(s.config.Dir, time.Second); err == nil { // or without: the mount is worth more
		defer unlock()
	}
	return os.Rename(filepath.Join(s.config.Dir, early), s.path())
}

func (s *Server) path() string { return filepath.Join(s.config.Dir, s.name) }

// Close stops answering, lets answers under way go out, and removes the socket
// if it is still ours.
func (s *Server) Close() error {
	defer s.end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	if unlock, lockErr := lockDir(s.config.Dir, time.Second); lockErr == nil {
		defer unlock()
	}
	if info, statErr := os.Lstat(s.path()); statErr == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Ino == s.inode {
			err = errors.Join(err, os.Remove(s.path()))
		}
	} else if !errors.Is(statErr, fs.ErrNotExist) {
		err = errors.Join(err, statErr)
	}
	return err
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.config.Status()) // the caller went away
	})
	mux.Handle("GET /metrics", Metrics(s.config.Status))
	mux.HandleFunc("POST /unmount", s.unmount)
	mux.HandleFunc("POST /reconnect", s.reconnect)
	mux.HandleFunc("GET /outcome", s.outcome)
	return mux
}

// Metrics answers with a mount's figures, for the socket and for --metrics.
func Metrics(status func() Status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = status().WriteMetrics(w) // the caller went away
	})
}

// An unmount's error goes over the socket with its errno, so that the caller can
// tell "busy" from the rest.
type failure struct {
	Error string `json:"error"`
	Errno int    `json:"errno,omitempty"`
}

func (s *Server) unmount(w http.ResponseWriter, r *http.Request) {
	done, err := s.config.Unmount(r.Context(), r.URL.Query().Get("force") == "1")
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(done) // the caller went away
		return
	}
	f := failure{Error: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(f) // the caller went away
}

// Ended tells whoever waits for the mount's end what was lost; nil, nothing was. It is
// called once, before Close.
func (s *Server) Ended(lost error) {
	if lost != nil {
		s.lost = lost.Error()
	}
	close(s.ended)
}

// An Outcome is what a mount has come to.
type Outcome struct {
	Lost string `json:"lost,omitempty"` // what was written and did not reach the server, or ""
}

func (s *Server) outcome(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.ended:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Outcome{s.lost}) // the caller went away
	case <-r.Context().Done():
	}
}

// ownUserOnly takes connections of our user and of root alone.
type ownUserOnly struct{ *net.UnixListener }

func (l ownUserOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if cred, err := peer(c); err == nil && (cred.Uid == 0 || cred.Uid == uint32(os.Getuid())) {
			return c, nil
		}
		_ = c.Close() // not one of ours
	}
}

// peer is the process at the other end, as the kernel knows it.
func peer(c *net.UnixConn) (cred *syscall.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return cred, errors.Join(err, ctlErr)
}
