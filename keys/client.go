package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// ClientConfig is what the user said of a remote's login, by flags and by a
// named remote. What is left at its zero value is taken from ssh_config, and
// then from ssh's defaults.
type ClientConfig struct {
	User         string
	Host         string // as typed: it may be an alias of ssh_config
	Port         int
	HostKeyAlias string

	// ConfigFile is ssh's -F: that file alone; "none" for no file; empty for
	// ~/.ssh/config and then /etc/ssh/ssh_config.
	ConfigFile string
	Home       string // the user's home; found when empty

	Identities     []string // files; "-" is read from Stdin. Relative to the working directory, "~" is Home
	Certificates   []string // certificates beside those named FILE-cert.pub
	IdentitiesOnly bool     // offer nothing of the agent but the Identities
	Agent          string   // socket; empty is $SSH_AUTH_SOCK, "none" is no agent
	Stdin          io.Reader
	AllowSHA1      bool // also sign with ssh-rsa, for servers older than 2016
	MaxAuthTries   int  // attempts a server allows; 6 when zero, as OpenSSH

	// Password gives the password of --password-file or --password-command, or
	// the keyring's. Nil when there is none. Called once, until refused.
	Password func(ctx context.Context) (string, error)
	// PasswordAsks: Password asks a person, who is spared while there are keys.
	PasswordAsks bool
	// Prompt asks the user. Nil: nobody is asked.
	Prompt Prompter

	KnownHosts       []string // files; the first is written to. Empty: ~/.ssh/known_hosts, ~/.ssh/known_hosts2
	GlobalKnownHosts []string // only read. Empty: /etc/ssh/ssh_known_hosts, /etc/ssh/ssh_known_hosts2
	HashKnownHosts   bool
	HostKeys         []string // pins: "SHA256:..." or "type base64". When there are any, nothing else counts
	Policy           Policy   // empty: StrictHostKeyChecking, else auto
	StateDir         string   // folder for disabled-hosts. Empty: $XDG_STATE_HOME/remotemount

	HostKeyAlgorithms []string // as in ssh_config, split at commas: +, - and ^ work
	Ciphers           []string

	Jump         []string // ssh's -J: [user@]host[:port], the first hop first; ["none"] for no jump
	ProxyCommand string   // "none" for none
	Dir          string   // where the proxy command is run; empty is the working directory
	BindAddress  string

	Log *slog.Logger // nil: nothing is logged
	Now func() time.Time
}

// Settings is what came out for the parts a caller needs to know.
type Settings struct {
	User           string
	Host           string // the name or address that is dialled
	Port           int
	HostKeyName    string        // the host as known_hosts spells it
	AliveTimeout   time.Duration // ssh_config's ServerAliveInterval times ServerAliveCountMax; 0: not said
	ConnectTimeout time.Duration
}

// A Client connects to one remote host and logs in. It may be used from several
// goroutines at once.
type Client struct {
	cfg        ClientConfig // merged with ssh_config and the defaults
	flags      ClientConfig // as given
	typedHost  string       // the host as given; cfg.Host is the real one
	settings   Settings
	family     string // "tcp", "tcp4", "tcp6"
	checker    *hostChecker
	identities []*identity
	secrets    *vault
	jump       *Client // the last jump host, which may have jump hosts of its own; nil for none
	pending    openConns

	quiet      atomic.Bool  // nobody is asked any more
	lastSigned atomic.Value // string: fingerprint of the key that signed last, offered first the next time
	pinnedType atomic.Value // string: the type of the key a fingerprint pin belongs to
	pwRefused  atomic.Bool  // what cfg.Password gives was refused
}

// NewClient settles the configuration and reads the identities. It does not
// touch the network, and asks nothing.
func NewClient(cfg ClientConfig) (*Client, error) {
	return newClient(cfg, newVault(), 0)
}

// maxJumps ends chains of ProxyJump that lead in a circle.
const maxJumps = 8

func newClient(cfg ClientConfig, secrets *vault, depth int) (*Client, error) {
	if depth > maxJumps {
		return nil, fmt.Errorf("more than %d jump hosts: does ProxyJump lead in a circle?", maxJumps)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Home == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("find the home folder: %w", err)
		}
		cfg.Home = home
	}
	c := &Client{secrets: secrets, family: "tcp"}
	c.pending.conns = map[*conn]struct{}{}
	if err := c.configure(cfg); err != nil {
		return nil, err
	}
	if err := c.makeChecker(); err != nil {
		return nil, err
	}
	if err := c.readIdentities(); err != nil {
		return nil, err
	}
	return c, c.makeJump(depth)
}

// configure merges ssh_config into the flags and fills in the defaults.
func (c *Client) configure(cfg ClientConfig) error {
	c.cfg = cfg
	if err := errors.Join(CheckUser(cfg.User), CheckHost(cfg.Host)); err != nil {
		return err
	}
	if err := c.applySSHConfig(); err != nil {
		return err
	}
	if c.cfg.User == "" { // ssh_config said nothing either
		u, err := user.Current()
		if err != nil {
			return fmt.Errorf("find the user name: %w", err)
		}
		c.cfg.User = u.Username
	}
	setDefault(&c.cfg.Port, 22)
	setDefault(&c.cfg.MaxAuthTries, 6)
	setDefault(&c.cfg.Policy, PolicyAuto)
	if c.cfg.Port < 1 || c.cfg.Port > 65535 {
		return fmt.Errorf("port %d is not one", c.cfg.Port)
	}
	c.settings.User, c.settings.Port = c.cfg.User, c.cfg.Port
	c.settings.HostKeyName = hostName(c.cfg.Host, c.cfg.Port)
	if c.cfg.HostKeyAlias != "" {
		c.settings.HostKeyName = hostName(c.cfg.HostKeyAlias, 0)
	}
	return nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (c *Client) makeChecker() error {
	cfg := &c.cfg
	if cfg.StateDir == "" {
		cfg.StateDir = defaultStateDir(cfg.Home)
	}
	if cfg.KnownHosts == nil {
		cfg.KnownHosts = []string{filepath.Join(cfg.Home, ".ssh/known_hosts"), filepath.Join(cfg.Home, ".ssh/known_hosts2")}
	}
	if cfg.GlobalKnownHosts == nil {
		cfg.GlobalKnownHosts = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	var pins []pin
	for _, text := range cfg.HostKeys {
		p, err := parsePin(text)
		if err != nil {
			return err
		}
		pins = append(pins, p)
	}
	c.checker = &hostChecker{
		known: &KnownHosts{
			Files: c.expand(cfg.KnownHosts), Global: c.expand(cfg.GlobalKnownHosts),
			StateDir: cfg.StateDir, Hashed: cfg.HashKnownHosts, Log: cfg.Log,
		},
		name: c.settings.HostKeyName, pins: pins, policy: cfg.Policy, now: cfg.Now, log: cfg.Log,
	}
	if cfg.Prompt != nil {
		c.checker.ask = c.ask
	}
	return nil
}

func defaultStateDir(home string) string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "remotemount")
	}
	return filepath.Join(home, ".local/state/remotemount")
}

// Settings tells what the configuration came to.
func (c *Client) Settings() Settings { return c.settings }

// Hosts is what this client knows of host keys.
func (c *Client) Hosts() *KnownHosts { return c.checker.known }

// Blocked gives the standing refusal of a host whose key changed, without
// touching the network; nil when there is none. It turns nil again when the
// host was accepted, in whichever process.
func (c *Client) Blocked() error {
	if c.jump != nil {
		if err := c.jump.Blocked(); err != nil {
			return err
		}
	}
	if len(c.checker.pins) > 0 || c.cfg.Policy == PolicyInsecure {
		return nil
	}
	return c.checker.blocked()
}

// StopAsking makes the client silent: from now on only what is known is used.
// For a mount that has gone into the background, where a question would never
// be answered.
func (c *Client) StopAsking() {
	c.quiet.Store(true)
	if c.jump != nil {
		c.jump.StopAsking()
	}
}

// SSHConfig is the configuration for one connection attempt to the remote. ctx
// bounds the questions asked and the agent's answers during the handshake; it
// must live as long as that.
func (c *Client) SSHConfig(ctx context.Context) (*ssh.ClientConfig, error) {
	if err := c.Blocked(); err != nil {
		return nil, err
	}
	if err := c.resolvePins(ctx); err != nil {
		return nil, err
	}
	config, _, err := c.attemptConfig(ctx)
	return config, err
}

func (c *Client) attemptConfig(ctx context.Context) (*ssh.ClientConfig, *attempt, error) {
	algorithms, err := c.hostKeyAlgorithms()
	if err != nil {
		return nil, nil, err
	}
	a := &attempt{client: c, ctx: ctx}
	config := &ssh.ClientConfig{
		User:              c.cfg.User,
		HostKeyCallback:   c.checker.callback(ctx),
		HostKeyAlgorithms: algorithms,
		AuthCallback:      a.next,
		BannerCallback:    c.banner,
		ClientVersion:     clientVersion,
	}
	config.Ciphers, err = c.ciphers()
	return config, a, err
}

func (c *Client) hostKeyAlgorithms() ([]string, error) {
	chosen, unknown := chooseAlgorithms(c.cfg.HostKeyAlgorithms, hostKeyAlgorithms(), supportedHostKeys())
	if len(unknown) > 0 {
		c.cfg.Log.Debug("host key algorithms not supported here", "names", unknown)
	}
	if len(chosen) == 0 {
		return nil, errors.New("none of the host key algorithms asked for is supported")
	}
	chosen = c.checker.algorithms(chosen)
	if keyType, ok := c.pinnedType.Load().(string); ok {
		chosen = orderAlgorithms(chosen, algorithmsOf(keyType), false)
	}
	return chosen, nil
}

func (c *Client) ciphers() ([]string, error) {
	chosen, unknown := chooseAlgorithms(c.cfg.Ciphers, nil, supportedCiphers())
	if len(unknown) > 0 {
		c.cfg.Log.Debug("ciphers not supported here", "names", unknown)
	}
	if len(c.cfg.Ciphers) > 0 && len(chosen) == 0 {
		return nil, errors.New("none of the ciphers asked for is supported")
	}
	return chosen, nil
}

func (c *Client) banner(message string) error {
	c.cfg.Log.Info("the server says", "banner", printable(message))
	return nil
}

// address is what is dialled.
func (c *Client) address() string {
	return net.JoinHostPort(c.cfg.Host, strconv.Itoa(c.cfg.Port))
}

func (c *Client) expand(files []string) []string {
	out := slices.Clone(files)
	for i, f := range out {
		out[i] = expandHome(f, c.cfg.Home)
	}
	return out
}

// clientVersion is how we present ourselves. Servers' logs show it.
const clientVersion = "SSH-2.0-remotemount"
