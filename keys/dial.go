package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// defaultHandshake bounds a handshake whose context has no deadline.
const defaultHandshake = 30 * time.Second

// Dial makes a connection to the server's SSH port: directly, from the bind
// address, through jump hosts (each with its host key checked and logged in
// to), or through a proxy command. ctx bounds the dialling alone. Closing the
// connection also ends what carried it.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	switch {
	case c.jump != nil:
		return c.dialJump(ctx)
	case c.cfg.ProxyCommand != "" && c.cfg.ProxyCommand != "none":
		return c.dialCommand()
	}
	d := net.Dialer{Timeout: c.settings.ConnectTimeout}
	if c.cfg.BindAddress != "" {
		local, err := net.ResolveTCPAddr(c.family, net.JoinHostPort(c.cfg.BindAddress, "0"))
		if err != nil {
			return nil, fmt.Errorf("bind address: %w", err)
		}
		d.LocalAddr = local
	}
	nc, err := d.DialContext(ctx, c.family, c.address())
	if err != nil {
		return nil, err
	}
	return c.pending.add(&conn{Conn: nc, timed: true}), nil
}

func (c *Client) dialJump(ctx context.Context) (net.Conn, error) {
	carrier, under, err := c.jump.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("jump host %s: %w", c.jump.settings.HostKeyName, err)
	}
	nc, err := carrier.DialContext(ctx, "tcp", c.address())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("from jump host %s: %w", c.jump.settings.HostKeyName, err), closeQuietly(carrier))
	}
	return c.pending.add(&conn{Conn: nc, under: under, done: func() { _ = carrier.Close() }}), nil
}

// closeQuietly closes a connection that has served; that it is gone already is
// no error worth telling.
func closeQuietly(c io.Closer) error {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// connect dials and logs in, and gives the connection underneath as well.
func (c *Client) connect(ctx context.Context) (*ssh.Client, net.Conn, error) {
	nc, err := c.Dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	sc, channels, requests, err := c.Handshake(ctx, nc)
	if err != nil {
		return nil, nil, err
	}
	return ssh.NewClient(sc, channels, requests), nc, nil
}

// Handshake runs the SSH handshake and the login over a connection that Dial
// made (wrapped or not), and closes it on failure. It may take half a minute,
// or until the deadline of ctx; questions to the user do not count where nc
// came from Dial. What the server does to the login while it hangs up is told
// as an AuthError, which SSHConfig alone cannot do.
func (c *Client) Handshake(ctx context.Context, nc net.Conn) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	fail := func(err error) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
		return nil, nil, nil, errors.Join(err, closeQuietly(nc))
	}
	if err := c.Blocked(); err != nil {
		return fail(err)
	}
	if err := c.resolvePins(ctx); err != nil {
		return fail(err)
	}
	config, attempt, err := c.attemptConfig(ctx)
	if err != nil {
		return fail(err)
	}
	sc, channels, requests, err := handshake(ctx, nc, c.address(), config)
	if err != nil {
		return nil, nil, nil, attempt.explain(err)
	}
	return sc, channels, requests, nil
}

// handshake bounds x/crypto's handshake, which has neither a context nor a
// deadline of its own.
func handshake(ctx context.Context, nc net.Conn, address string, config *ssh.ClientConfig) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	limit := time.Now().Add(defaultHandshake)
	if t, ok := ctx.Deadline(); ok {
		limit = t
	}
	if err := nc.SetDeadline(limit); err != nil {
		return nil, nil, nil, errors.Join(err, closeQuietly(nc))
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	sc, channels, requests, err := ssh.NewClientConn(nc, address, config)
	if !stop() && err == nil {
		err = errors.Join(ctx.Err(), closeQuietly(sc))
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	switch {
	case err == nil || IsHostKeyFailure(err):
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	case errors.Is(err, os.ErrDeadlineExceeded): // a moment before ctx
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return sc, channels, requests, err
}

// explain turns a connection that broke during authentication into what it
// was: servers hang up after too many refusals, some without a word.
func (a *attempt) explain(err error) error {
	var auth *AuthError
	if errors.As(err, &auth) || a.ctx.Err() != nil || !a.ready {
		return err
	}
	hungUp := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if !IsAuthFailure(err) && (!hungUp || len(a.offered) == 0) {
		return err
	}
	for _, s := range a.inFlight {
		a.client.refuse(s)
	}
	return &AuthError{
		User: a.client.cfg.User, Host: a.client.settings.HostKeyName,
		Offered: a.offered, Unoffered: len(a.keys), Err: err,
	}
}

// makeJump builds the client of the last jump host; the hops before it are its
// own jump hosts.
func (c *Client) makeJump(depth int) error {
	hops := c.cfg.Jump
	if len(hops) == 0 || hops[0] == "none" || hops[0] == "" {
		return nil
	}
	last := hops[len(hops)-1]
	user, host, port, err := parseHop(last)
	if err != nil {
		return err
	}
	cfg := ClientConfig{
		User: user, Host: host, Port: port, ConfigFile: c.cfg.ConfigFile, Home: c.cfg.Home,
		Dir: c.cfg.Dir, Jump: hops[:len(hops)-1], Agent: c.cfg.Agent, AllowSHA1: c.cfg.AllowSHA1,
		Prompt: c.cfg.Prompt, KnownHosts: c.flags.KnownHosts, GlobalKnownHosts: c.flags.GlobalKnownHosts,
		Policy: c.flags.Policy, StateDir: c.cfg.StateDir, MaxAuthTries: c.cfg.MaxAuthTries,
		BindAddress: c.flags.BindAddress, Log: c.cfg.Log, Now: c.cfg.Now,
		Identities: jumpIdentities(c.flags.Identities), IdentitiesOnly: c.flags.IdentitiesOnly,
	}
	c.jump, err = newClient(cfg, c.secrets, depth+1)
	if err != nil {
		return fmt.Errorf("jump host %s: %w", last, err)
	}
	return nil
}

// jumpIdentities are the identities given on the command line, but for one from
// standard input, which can be read only once.
func jumpIdentities(files []string) []string {
	var out []string
	for _, f := range files {
		if f != "-" {
			out = append(out, f)
		}
	}
	return out
}

// parseHop reads a jump host: [user@]host[:port], [user@][v6]:port, or
// ssh://[user@]host[:port].
func parseHop(text string) (user, host string, port int, err error) {
	rest := strings.TrimPrefix(strings.TrimSpace(text), "ssh://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		user, rest = rest[:i], rest[i+1:]
	}
	host = rest
	if h, p, serr := net.SplitHostPort(rest); serr == nil {
		host = h
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return "", "", 0, fmt.Errorf("jump host %q: bad port", text)
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-") {
		return "", "", 0, fmt.Errorf("jump host %q: want [user@]host[:port]", text)
	}
	return user, host, port, nil
}
