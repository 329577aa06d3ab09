package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys/nss"
	"github.com/remotemount/remotemount/keys/sshconfig"
)

// defaultHandshake bounds a handshake whose context has no deadline.
const defaultHandshake = 30 * time.Second

// Dial makes a connection to the server's SSH port, unless its host is blocked:
// directly, from the bind address, through jump hosts (each with its host key checked and logged in
// to), or through a proxy command. ctx bounds the dialling alone. Closing the
// connection also ends what carried it.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	c, err := c.renewed(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.Blocked(); err != nil {
		return nil, err
	}
	return c.dialUnchecked(ctx)
}

// dialUnchecked is for those who only look at the server's key.
func (c *Client) dialUnchecked(ctx context.Context) (net.Conn, error) {
	switch {
	case c.jump != nil:
		return c.dialJump(ctx)
	case c.proxyCommand != "":
		return c.dialCommand()
	}
	return c.dialDirect(ctx)
}

// dialDirect goes over the network, from the bind address or from those of the
// bind interface.
func (c *Client) dialDirect(ctx context.Context) (net.Conn, error) {
	from, err := c.localAddresses()
	if err != nil {
		return nil, err
	}
	var failed error
	for _, local := range from {
		d := net.Dialer{Timeout: c.settings.ConnectTimeout}
		network := c.family
		if local != nil {
			d.LocalAddr = local
			network = "tcp6"
			if local.IP.To4() != nil {
				network = "tcp4"
			}
		}
		nc, err := nss.Dial(ctx, &d, network, c.address())
		if err == nil {
			return c.pending.add(&conn{Conn: nc, client: c, timed: true}), nil
		}
		if failed == nil || len(from) == 1 {
			failed = err
		}
	}
	return nil, failed
}

// localAddresses are what the connection may come from; one nil for any.
func (c *Client) localAddresses() ([]*net.TCPAddr, error) {
	if c.cfg.BindAddress != "" {
		local, err := net.ResolveTCPAddr(c.family, net.JoinHostPort(c.cfg.BindAddress, "0"))
		if err != nil {
			return nil, fmt.Errorf("bind address: %w", err)
		}
		return []*net.TCPAddr{local}, nil
	}
	name := c.ssh.Value("bindinterface")
	if name == "" {
		return []*net.TCPAddr{nil}, nil
	}
	device, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("BindInterface %s: %w", name, err)
	}
	all, err := device.Addrs()
	if err != nil {
		return nil, fmt.Errorf("BindInterface %s: %w", name, err)
	}
	var out []*net.TCPAddr
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		v4 := ok && n.IP.To4() != nil
		if !ok || n.IP.IsLinkLocalUnicast() || v4 && c.family == "tcp6" || !v4 && c.family == "tcp4" {
			continue
		}
		out = append(out, &net.TCPAddr{IP: n.IP})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("BindInterface %s: it has no address to connect from", name)
	}
	return out, nil
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
	return c.pending.add(&conn{Conn: nc, client: c, under: under, done: func() { _ = carrier.Close() }}), nil
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
	if made, ok := nc.(*conn); ok {
		c = made.client
	}
	fail := func(err error) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
		return nil, nil, nil, errors.Join(err, closeQuietly(nc))
	}
	if err := c.Blocked(); err != nil {
		return fail(err)
	}
	if err := c.resolvePins(ctx); err != nil {
		return fail(err)
	}
	config, attempt := c.attemptConfig(ctx)
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
func (c *Client) makeJump(ctx context.Context) error {
	hops := c.cfg.Jump
	if len(hops) == 0 {
		return nil
	}
	last := hops[len(hops)-1]
	user, host, port, err := sshconfig.ParseHop(last)
	if err != nil {
		return err
	}
	cfg := ClientConfig{
		User: user, Host: host, Port: port, ConfigFile: c.cfg.ConfigFile, Home: c.cfg.Home, Commands: c.cfg.Commands,
		Dir: c.cfg.Dir, Jump: hops[:len(hops)-1], Agent: c.flags.Agent,
		Prompt: c.cfg.Prompt, KnownHosts: c.flags.KnownHosts, GlobalKnownHosts: c.flags.GlobalKnownHosts,
		Policy: c.flags.Policy, StateDir: c.cfg.StateDir, MaxAuthTries: c.cfg.MaxAuthTries,
		BindAddress: c.flags.BindAddress, Log: c.cfg.Log, Now: c.cfg.Now,
		Identities: jumpIdentities(c.flags.Identities),
	}
	with := &Client{secrets: c.secrets, pending: c.pending, quiet: c.quiet, depth: c.depth + 1}
	if c.jump, err = newClient(ctx, cfg, with); err != nil {
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
