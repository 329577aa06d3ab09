package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys/sshconfig"
)

// ClientConfig is what the user said of a remote's login, by flags and by a
// named remote. What is left at its zero value is taken from ssh_config, and
// then from ssh's defaults.
type ClientConfig struct {
	User string
	Host string // as typed: it may be an alias of ssh_config
	Port int

	// ConfigFile is ssh's -F: that file alone; "none" for no file; empty for
	// ~/.ssh/config and then /etc/ssh/ssh_config.
	ConfigFile string
	Home       string // the user's home; found when empty
	// Options are settings of ssh_config, "Keyword=value" as ssh's -o takes them.
	// They win over the files.
	Options []string
	// Commands lets the commands of Match exec run and names be looked up for
	// CanonicalizeHostname. For a login, and for nothing else.
	Commands bool

	Identities   []string // files; "-" is read from Stdin. Relative to the working directory, "~" is Home
	Agent        string   // socket; empty is $SSH_AUTH_SOCK, "none" is no agent
	Stdin        io.Reader
	MaxAuthTries int // attempts a server allows; 6 when zero, as OpenSSH

	// Password gives the password of --password-file or --password-command, or
	// the keyring's. Nil when there is none. Called once, until refused.
	Password func(ctx context.Context) (string, error)
	// PasswordAsks: Password asks a person, who is spared while there are keys.
	PasswordAsks bool
	// Prompt asks the user. Nil: nobody is asked.
	Prompt Prompter

	KnownHosts       []string // files; the first is written to. Empty: ~/.ssh/known_hosts, ~/.ssh/known_hosts2
	GlobalKnownHosts []string // only read. Empty: /etc/ssh/ssh_known_hosts, /etc/ssh/ssh_known_hosts2
	HostKeys         []string // pins: "SHA256:..." or "type base64". When there are any, nothing else counts
	Policy           Policy   // empty: StrictHostKeyChecking, else auto
	StateDir         string   // folder for disabled-hosts. Empty: $XDG_STATE_HOME/remotemount

	Jump        []string // ssh's -J: [user@]host[:port], the first hop first; ["none"] for no jump
	Dir         string   // where the proxy command is run; empty is the working directory
	BindAddress string

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
	Direct         bool // no jump host and no proxy command stand between
}

// A Client connects to one remote host and logs in. It may be used from several
// goroutines at once.
type Client struct {
	cfg        ClientConfig // merged with ssh_config and the defaults
	flags      ClientConfig // as given
	typedHost  string       // the host as given; cfg.Host is the real one
	ssh        *sshconfig.Config
	settings   Settings
	checker    *hostChecker
	identities []*identity
	secrets    *vault
	jump       *Client // the last jump host, which may have jump hosts of its own; nil for none
	depth      int     // of jump hosts above this one
	stdin      []byte  // the key that standard input held

	family       string             // "tcp", "tcp4", "tcp6"
	proxyCommand string             // with its tokens put in; "" for none
	certificates []string           // the files of CertificateFile
	named        []*ssh.Certificate // what they hold
	noDefaults   bool               // identities were named, if only to say that there are none
	asks         int                // how often a person is asked for a password or passphrase
	chosen       chosenAlgorithms

	// What follows is shared with the clients that take this one's place.
	pending *openConns
	quiet   *atomic.Bool // nobody is asked any more

	renewing chan struct{}          // holds one token while nobody settles the configuration anew
	latest   atomic.Pointer[Client] // in this one's place; nil for itself
	dialled  atomic.Bool

	lastSigned atomic.Value // string: fingerprint of the key that signed last, offered first the next time
	pinnedType atomic.Value // string: the type of the key a fingerprint pin belongs to
	pwRefused  atomic.Bool  // what cfg.Password gives was refused
}

// NewClient settles the configuration and reads the identities. It asks nothing,
// and without cfg.Commands touches no network and runs no command.
func NewClient(ctx context.Context, cfg ClientConfig) (*Client, error) {
	pending := &openConns{conns: map[*conn]struct{}{}}
	return newClient(ctx, cfg, &Client{secrets: newVault(), pending: pending, quiet: new(atomic.Bool)})
}

// maxJumps ends chains of ProxyJump that lead in a circle.
const maxJumps = 8

// newClient makes a client that shares secrets, connections and silence with
// another one.
func newClient(ctx context.Context, cfg ClientConfig, with *Client) (*Client, error) {
	if with.depth > maxJumps {
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
	c := &Client{secrets: with.secrets, pending: with.pending, quiet: with.quiet, depth: with.depth, stdin: with.stdin, renewing: make(chan struct{}, 1)}
	if err := c.configure(ctx, cfg); err != nil {
		return nil, err
	}
	if err := c.chooseAlgorithms(); err != nil {
		return nil, err
	}
	if err := c.makeChecker(); err != nil {
		return nil, err
	}
	if err := c.readIdentities(); err != nil {
		return nil, err
	}
	return c, c.makeJump(ctx)
}

// configure merges ssh_config into the flags and fills in the defaults.
func (c *Client) configure(ctx context.Context, cfg ClientConfig) error {
	c.cfg = cfg
	if err := errors.Join(CheckUser(cfg.User), CheckHost(cfg.Host)); err != nil {
		return err
	}
	if err := c.readSSHConfig(ctx); err != nil {
		return err
	}
	setDefault(&c.cfg.Port, 22)
	setDefault(&c.cfg.MaxAuthTries, 6)
	setDefault(&c.cfg.Policy, PolicyAuto)
	if c.cfg.Port < 1 || c.cfg.Port > 65535 {
		return fmt.Errorf("port %d is not one", c.cfg.Port)
	}
	c.settings.User, c.settings.Port = c.cfg.User, c.cfg.Port
	c.settings.HostKeyName = hostName(c.cfg.Host, c.cfg.Port)
	if alias := c.ssh.Value("hostkeyalias"); alias != "" {
		c.settings.HostKeyName = hostName(alias, 0)
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
	files, err1 := c.expand(cfg.KnownHosts)
	global, err2 := c.expand(cfg.GlobalKnownHosts)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	c.checker = &hostChecker{
		known: &KnownHosts{
			Files: files, Global: global,
			StateDir: cfg.StateDir, Hashed: c.ssh.Yes("hashknownhosts"), Log: cfg.Log,
		},
		name: c.settings.HostKeyName, pins: pins, policy: cfg.Policy, now: cfg.Now, log: cfg.Log,
		strong: c.longEnough, authorities: c.chosen.authorities,
		notLoopback: c.ssh.Yes("nohostauthenticationforlocalhost") && c.ssh.Value("hostkeyalias") == "",
	}
	if revoked := c.ssh.Value("revokedhostkeys"); !isNone(revoked) {
		file, err := c.ssh.ExpandPath(revoked)
		if err != nil {
			return fmt.Errorf("ssh_config: RevokedHostKeys: %w", err)
		}
		c.checker.revoked = file
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
func (c *Client) Settings() Settings { return c.now().settings }

// Hosts is what this client knows of host keys.
func (c *Client) Hosts() *KnownHosts { return c.now().checker.known }

// Blocked gives the standing refusal of a host whose key changed, without
// touching the network; nil when there is none. It turns nil again when the
// host was accepted, in whichever process.
func (c *Client) Blocked() error {
	c = c.now()
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
func (c *Client) StopAsking() { c.quiet.Store(true) }

// StartAsking ends that: somebody is there to answer again.
func (c *Client) StartAsking() { c.quiet.Store(false) }

// SSHConfig is the configuration for the login over a connection that Dial made.
// ctx bounds the questions asked and the agent's answers during the handshake; it
// must live as long as that.
func (c *Client) SSHConfig(ctx context.Context, over net.Conn) (*ssh.ClientConfig, error) {
	if made, ok := over.(*conn); ok {
		c = made.client
	}
	if err := c.Blocked(); err != nil {
		return nil, err
	}
	if err := c.resolvePins(ctx); err != nil {
		return nil, err
	}
	config, _ := c.attemptConfig(ctx)
	return config, nil
}

func (c *Client) attemptConfig(ctx context.Context) (*ssh.ClientConfig, *attempt) {
	a := &attempt{client: c, ctx: ctx}
	config := &ssh.ClientConfig{
		Config:            c.chosen.config(),
		User:              c.cfg.User,
		HostKeyCallback:   c.checker.callback(ctx),
		HostKeyAlgorithms: c.hostKeyAlgorithms(),
		AuthCallback:      a.next,
		BannerCallback:    c.banner,
		ClientVersion:     clientVersion,
	}
	return config, a
}

// hostKeyAlgorithms puts the types first that can be compared.
func (c *Client) hostKeyAlgorithms() []string {
	order := c.checker.algorithms(c.chosen.hostKeys)
	if keyType, ok := c.pinnedType.Load().(string); ok {
		order = orderAlgorithms(order, algorithmsOf(keyType), false)
	}
	return order
}

func (c *Client) banner(message string) error {
	c.cfg.Log.Info("the server says", "banner", printable(message))
	return nil
}

// address is what is dialled.
func (c *Client) address() string {
	return net.JoinHostPort(c.cfg.Host, strconv.Itoa(c.cfg.Port))
}

// expand puts home folders into names of files.
func (c *Client) expand(files []string) ([]string, error) {
	out := slices.Clone(files)
	for i, f := range out {
		var err error
		if out[i], err = sshconfig.ExpandHome(f, c.cfg.Home); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// clientVersion is how we present ourselves. Servers' logs show it.
const clientVersion = "SSH-2.0-remotemount"
