package pool

import (
	"context"
	"log/slog"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config says which server a Pool is for and how it behaves. Dial and SSH are
// called for each connection; instead of both, tests give a Transport.
type Config struct {
	// Dial opens the stream that SSH runs on: TCP, a proxy command, a jump host.
	Dial func(ctx context.Context) (net.Conn, error)
	// SSH gives the client configuration for the login over a stream of Dial's.
	SSH func(ctx context.Context, over net.Conn) (*ssh.ClientConfig, error)
	// Addr is the host:port that the host key is checked for.
	Addr string
	// Transport, when set, is used in place of Dial and SSH.
	Transport func(ctx context.Context) (Conn, error)
	// SFTP is the subsystem that is asked for, or, with a / or a blank in it, the
	// command that is run on the server in its place; "" is sftp.
	SFTP string
	// Sessions is how many SFTP channels a connection carries, 4 when 0.
	Sessions int
	// Refused says what a failed dial means; nil means TryAgain always.
	Refused func(error) Refusal

	// Dir is the folder on the server: absolute, or from where the user lands.
	Dir string

	// Name is what this remote is known by on this machine: user, host and port.
	Name string
	// User is the remote user, where files of that user are to be told from others
	// before anything was made; "" asks for none.
	User string
	// Replacing is the folder where stands which files are being replaced by moving
	// the old one aside, on a server that cannot rename over a file; "" leaves that
	// undone: EOPNOTSUPP.
	Replacing string

	// MaxConnections is the cap on SSH connections to this remote, 25 when 0.
	MaxConnections int
	// SlotDir holds the lock files that make the cap hold over all processes;
	// "" counts this Pool only.
	SlotDir string
	// Timeout is how long a connection may owe an answer without a byte, and how
	// long a call waits for a remote that is away; 30 s when 0.
	Timeout time.Duration
	// Retry is how long written data waits for a remote that is away, 10 min
	// when 0.
	Retry time.Duration
	// Idle is how long a connection without work stays open, 1 min when 0.
	Idle time.Duration
	// WriteMemory bounds the memory that what is written and not yet acknowledged
	// takes, 64 MiB when 0. A file that has nothing there gets some beyond it.
	WriteMemory int64

	Log *slog.Logger // nil discards
}

// Refusal is what a failed dial means for the next one.
type Refusal int

const (
	// TryAgain: the network or the server's state; dialled again with backoff.
	TryAgain Refusal = iota
	// AuthRefused: the server refused who we are. Never repeated on its own.
	AuthRefused
	// HostKeyRefused: not the server we know. The remote is disabled.
	HostKeyRefused
	// Fatal: our own configuration is wrong; repeating cannot help.
	Fatal
)

// maxSessions is how many SFTP channels a connection carries: x/crypto/ssh
// bounds a channel to a window of 2 MiB per round trip, and OpenSSH's
// MaxSessions is 10.
const maxSessions = 4

func (c Config) withDefaults() Config {
	if c.MaxConnections <= 0 {
		c.MaxConnections = 25
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Sessions <= 0 {
		c.Sessions = maxSessions
	}
	if c.SFTP == "" {
		c.SFTP = "sftp"
	}
	if c.Retry <= 0 {
		c.Retry = 10 * time.Minute
	}
	if c.Idle <= 0 {
		c.Idle = time.Minute
	}
	if c.WriteMemory <= 0 {
		c.WriteMemory = 64 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Refused == nil {
		c.Refused = func(error) Refusal { return TryAgain }
	}
	if c.Transport == nil {
		c.Transport = c.dialSSH
	}
	return c
}
