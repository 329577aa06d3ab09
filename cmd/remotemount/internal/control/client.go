package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNone: no mount of ours is there.
var ErrNone = errors.New("no mount of remotemount's")

// A Client asks the mounts of this user.
type Client struct{ dirs []string }

// NewClient looks in every place where a mount of this user may have its socket.
func NewClient(getenv func(string) string) *Client {
	c := &Client{}
	for _, dir := range candidates(getenv) {
		if checkDir(dir) == nil {
			c.dirs = append(c.dirs, dir)
		}
	}
	return c
}

// answerTime bounds a question to a mount: status is answered from memory.
const answerTime = 2 * time.Second

// Status asks the mount at mountpoint; ErrNone when there is none.
func (c *Client) Status(ctx context.Context, mountpoint string) (Status, error) {
	for _, dir := range c.dirs {
		s, err := ask(ctx, dir, socketName(mountpoint))
		if !gone(err) && !Died(err) {
			return s, err
		}
	}
	return Status{}, ErrNone
}

// A SilentError is a mount that is there and does not answer.
type SilentError struct {
	Socket string // its name in the runtime folder
	Err    error
}

func (e *SilentError) Error() string { return e.Err.Error() }
func (e *SilentError) Unwrap() error { return e.Err }

// At tells whether it is the mount at a mountpoint.
func (e *SilentError) At(mountpoint string) bool { return e.Socket == socketName(mountpoint) }

// All asks every mount, all at once, and gives them in the order of mountpoints. Sockets
// that nobody answers on any more, because the mount was killed, are removed.
func (c *Client) All(ctx context.Context) ([]Status, error) {
	var mu sync.Mutex
	var all []Status // guarded by mu until all have answered
	var errs error   // likewise
	var asked sync.WaitGroup
	for _, dir := range c.dirs {
		for _, name := range sockets(dir) {
			asked.Go(func() {
				s, err := ask(ctx, dir, name)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					all = append(all, s)
				case errors.Is(err, syscall.ECONNREFUSED):
					removeDead(ctx, dir, name)
				case !gone(err) && !Died(err):
					errs = errors.Join(errs, err)
				}
			})
		}
	}
	asked.Wait()
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	return all, errs
}

// removeDead removes a socket that nobody answers on, unless a mount puts its own there
// meanwhile. Another may be doing the same, and nothing is waited for.
func removeDead(ctx context.Context, dir, name string) {
	unlock, err := lockDir(dir, 0)
	if err != nil {
		return
	}
	defer unlock()
	conn, _, err := dial(ctx, dir, name)
	if err == nil {
		_ = conn.Close() // a new one
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(filepath.Join(dir, name)) // the next one tries again
	}
}

func sockets(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // made by the first mount
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sock") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

func gone(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// Died: the mount's process took the question and ended, as when it is killed.
func Died(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func ask(ctx context.Context, dir, name string) (s Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	pid, err := call(ctx, dir, name, http.MethodGet, "/status", &s)
	// Its own number is another one where it runs in a container.
	s.PID = pid
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = &SilentError{name, err}
	}
	return s, err
}

// Unmount ends the mount at mountpoint: ErrNone when there is none, EBUSY while
// it is in use and force is not set.
func (c *Client) Unmount(ctx context.Context, mountpoint string, force bool) (u Unmounted, err error) {
	path := "/unmount"
	if force {
		path += "?force=1"
	}
	for _, dir := range c.dirs {
		if _, err = call(ctx, dir, socketName(mountpoint), http.MethodPost, path, &u); !gone(err) {
			return u, err
		}
	}
	return u, ErrNone
}

// Outcome waits for the end of the mount at mountpoint, and tells what it came to:
// ErrNone when there is none, or it was ended before it could say.
func (c *Client) Outcome(ctx context.Context, mountpoint string) (o Outcome, err error) {
	for _, dir := range c.dirs {
		if _, err = call(ctx, dir, socketName(mountpoint), http.MethodGet, "/outcome", &o); !gone(err) && !Died(err) {
			return o, err
		}
	}
	return o, ErrNone
}

// call sends one request, reads the answer into to, and gives the id of the
// process that answered; 0 where it cannot be seen from here.
func call(ctx context.Context, dir, name, method, path string, to any) (pid int, err error) {
	conn, pid, err := dial(ctx, dir, name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // all is said
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	req, err := http.NewRequestWithContext(ctx, method, "http://mount"+path, nil)
	if err != nil {
		return pid, err
	}
	req.Close = true
	status, body, err := exchange(conn, req)
	if err != nil {
		return pid, fmt.Errorf("%s %s: %w", method, filepath.Join(dir, name), errors.Join(ctx.Err(), err))
	}
	if status >= 300 {
		return pid, refusal(body)
	}
	if err := json.Unmarshal(body, to); err != nil {
		return pid, fmt.Errorf("answer of %s: %w", filepath.Join(dir, name), err)
	}
	return pid, nil
}

func dial(ctx context.Context, dir, name string) (conn *net.UnixConn, pid int, err error) {
	err = withDir(dir, name, func(path string) error {
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		conn, _ = c.(*net.UnixConn)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	cred, err := peer(conn)
	if err != nil {
		return nil, 0, errors.Join(err, conn.Close())
	}
	return conn, int(cred.Pid), nil
}

// exchange does what http.Client would, whose errors do not tell when the other
// side has ended. An answer is bounded: it comes from a process of our own, but a
// confused one must not fill our memory.
func exchange(conn net.Conn, req *http.Request) (status int, body []byte, err error) {
	if err := req.Write(conn); err != nil {
		return 0, nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, 16<<20))
	return res.StatusCode, body, errors.Join(err, res.Body.Close())
}

func refusal(body []byte) error {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil {
		return errors.New(strings.TrimSpace(string(body)))
	}
	if f.Errno != 0 {
		return &answered{f.Error, syscall.Errno(f.Errno)}
	}
	return errors.New(f.Error)
}

// answered is an error of the mount's, with the errno it had there.
type answered struct {
	text  string
	errno syscall.Errno
}

func (e *answered) Error() string { return e.text }
func (e *answered) Unwrap() error { return e.errno }
