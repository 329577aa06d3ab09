package keys

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/remotemount/remotemount/keys/nss"
	"github.com/remotemount/remotemount/keys/sshconfig"
)

// readSSHConfig settles what the flags left open.
func (c *Client) readSSHConfig(ctx context.Context) error {
	cfg := &c.cfg
	c.flags, c.typedHost = c.cfg, cfg.Host
	local, err := nss.Current()
	if err != nil {
		return fmt.Errorf("find the user name: %w", err)
	}
	q := sshconfig.Query{
		Host: cfg.Host, User: cfg.User, Port: cfg.Port, Options: cfg.Options,
		File: cfg.ConfigFile, Home: cfg.Home, LocalUser: local.Username, UID: os.Getuid(),
		LocalAddresses: localAddresses, Log: cfg.Log,
	}
	if len(cfg.Jump) > 0 {
		q.Options = append([]string{"ProxyJump=" + strings.Join(cfg.Jump, ",")}, q.Options...)
	}
	if cfg.Commands {
		q.Exec, q.Lookup = matchExec, lookup
	}
	if c.ssh, err = sshconfig.Read(ctx, q); err != nil {
		return fmt.Errorf("ssh_config: %w", err)
	}
	cfg.Host, c.settings.Host = c.ssh.Host(), c.ssh.Host()
	setDefault(&cfg.User, c.ssh.Value("user"))
	setDefault(&cfg.User, local.Username)
	setDefault(&cfg.Port, c.number("port"))
	for _, apply := range []func() error{c.applyTimes, c.applyHostKeys, c.applyProxy, c.applyIdentities} {
		if err := apply(); err != nil {
			return fmt.Errorf("ssh_config: %w", err)
		}
	}
	return nil
}

// number is a value that sshconfig has found to be a number; 0 when it is not set.
func (c *Client) number(keyword string) int {
	n, _ := strconv.Atoi(c.ssh.Value(keyword))
	return n
}

func (c *Client) applyTimes() error {
	alive := 3 // ssh_config(5)
	if c.ssh.Value("serveralivecountmax") != "" {
		alive = c.number("serveralivecountmax")
	}
	c.settings.AliveTimeout = time.Duration(c.number("serveraliveinterval")*alive) * time.Second
	c.settings.ConnectTimeout = time.Duration(c.number("connecttimeout")) * time.Second
	c.family = map[string]string{"inet": "tcp4", "inet6": "tcp6"}[c.ssh.Value("addressfamily")]
	setDefault(&c.family, "tcp")
	setDefault(&c.cfg.BindAddress, c.ssh.Value("bindaddress"))
	c.asks = maxAsked
	if c.ssh.Value("numberofpasswordprompts") != "" {
		c.asks = c.number("numberofpasswordprompts")
	}
	return nil
}

func (c *Client) applyHostKeys() (err error) {
	cfg := &c.cfg
	setDefault(&cfg.Policy, policyFromSSH(c.ssh.Value("stricthostkeychecking")))
	if cfg.KnownHosts == nil {
		if cfg.KnownHosts, err = c.expandFiles("userknownhostsfile"); err != nil {
			return err
		}
	}
	if cfg.GlobalKnownHosts == nil {
		if cfg.GlobalKnownHosts, err = c.expandFiles("globalknownhostsfile"); err != nil {
			return err
		}
	}
	if command := c.ssh.Value("knownhostscommand"); !isNone(command) {
		cfg.Log.Warn("KnownHostsCommand of ssh_config is not run", "command", command)
	}
	return nil
}

// expandFiles is for lists of files of which "none" means an empty one.
func (c *Client) expandFiles(keyword string) ([]string, error) {
	files := c.ssh.List(keyword)
	if files == nil {
		return nil, nil
	}
	out := []string{}
	for _, f := range files {
		if isNone(f) {
			continue
		}
		path, err := c.ssh.ExpandPath(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keyword, err)
		}
		out = append(out, path)
	}
	return out, nil
}

func isNone(s string) bool { return s == "" || strings.EqualFold(s, "none") }

// applyProxy takes what is set of ProxyJump and ProxyCommand; the first of them
// won when the files were read.
func (c *Client) applyProxy() error {
	c.cfg.Jump = nil
	c.settings.Direct = isNone(c.ssh.Value("proxyjump")) && isNone(c.ssh.Value("proxycommand"))
	jump, command := c.ssh.Value("proxyjump"), c.ssh.Value("proxycommand")
	switch {
	case !isNone(jump):
		hops, err := sshconfig.Expand(jump, c.ssh.ProxyTokens())
		if err != nil {
			return fmt.Errorf("ProxyJump: %w", err)
		}
		c.cfg.Jump = strings.Split(hops, ",")
	case isNone(command):
	case c.ssh.Yes("proxyusefdpass"):
		return errors.New(`ProxyUseFdpass: the command's connection cannot be taken over here; --ssh-command ssh has the system's ssh do it`)
	default:
		expanded, err := expandCommand(command, c.ssh.ProxyTokens())
		if err != nil {
			return fmt.Errorf("ProxyCommand: %w", err)
		}
		c.proxyCommand = expanded
	}
	return nil
}

func (c *Client) applyIdentities() error {
	cfg := &c.cfg
	if cfg.Agent == "" {
		agent, err := c.identityAgent(c.ssh.Value("identityagent"))
		if err != nil {
			return fmt.Errorf("IdentityAgent: %w", err)
		}
		cfg.Agent = agent
	} else {
		agent, err := sshconfig.ExpandHome(cfg.Agent, cfg.Home)
		if err != nil {
			return fmt.Errorf("agent: %w", err)
		}
		cfg.Agent = agent
	}
	named, err := c.expandFiles("identityfile")
	if err != nil {
		return err
	}
	c.noDefaults = named != nil || len(cfg.Identities) > 0
	for _, file := range named {
		if missing(file) && missing(file+".pub") {
			cfg.Log.Debug("an IdentityFile of ssh_config is not there", "file", file)
			continue
		}
		cfg.Identities = append(cfg.Identities, file)
	}
	c.certificates, err = c.expandFiles("certificatefile")
	return err
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return err != nil
}

// identityAgent is a socket, "none", the word SSH_AUTH_SOCK, or $NAME for what a
// variable holds.
func (c *Client) identityAgent(value string) (string, error) {
	if name, ok := strings.CutPrefix(value, "$"); ok && !strings.HasPrefix(name, "{") {
		if value = os.Getenv(name); value == "" {
			return "none", nil
		}
		return value, nil
	}
	if value == "" || value == "SSH_AUTH_SOCK" || isNone(value) {
		return strings.ToLower(strings.TrimPrefix(value, "SSH_AUTH_SOCK")), nil
	}
	return c.ssh.ExpandPath(value)
}

func defaultIdentityFiles(home string) []string {
	var files []string
	for _, name := range defaultIdentities {
		files = append(files, filepath.Join(home, ".ssh", name))
	}
	return files
}

// lookup resolves a name, and gives what its CNAME leads to.
func lookup(ctx context.Context, host string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := nss.LookupHost(ctx, host); err != nil {
		return "", err
	}
	cname, err := net.DefaultResolver.LookupCNAME(ctx, host)
	if err != nil { // the name is there, and from a file that knows no CNAME
		return host, ctx.Err()
	}
	return cname, nil
}

// localAddresses are this machine's, as Match localnetwork sees them.
func localAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out, nil
}
