package keys

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usedOptions are the keywords of ssh_config that mean something here.
var usedOptions = map[string]bool{
	"hostname": true, "user": true, "port": true, "hostkeyalias": true,
	"identityfile": true, "certificatefile": true, "identitiesonly": true, "identityagent": true,
	"userknownhostsfile": true, "globalknownhostsfile": true, "hashknownhosts": true,
	"stricthostkeychecking": true, "hostkeyalgorithms": true, "ciphers": true,
	"pubkeyacceptedalgorithms": true, "pubkeyacceptedkeytypes": true,
	"proxyjump": true, "proxycommand": true, "bindaddress": true, "addressfamily": true,
	"serveraliveinterval": true, "serveralivecountmax": true, "connecttimeout": true,
}

// applySSHConfig fills in what the flags left open.
func (c *Client) applySSHConfig() error {
	cfg := &c.cfg
	c.flags, c.typedHost = c.cfg, cfg.Host
	o, err := readSSHConfig(cfg.ConfigFile, cfg.Host, cfg.Home, cfg.Log)
	if err != nil {
		return fmt.Errorf("ssh_config: %w", err)
	}
	setDefault(&cfg.User, o.value("user"))
	if err := c.applyNumbers(o); err != nil {
		return err
	}
	if name := o.value("hostname"); name != "" {
		cfg.Host = expandTokens(name, map[byte]string{'h': c.typedHost})
	}
	c.settings.Host = cfg.Host
	c.applyHostKeys(o)
	c.applyProxy(o)
	return c.applyIdentities(o)
}

func (c *Client) applyNumbers(o sshOptions) error {
	if text := o.value("port"); text != "" && c.cfg.Port == 0 {
		port, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("ssh_config: Port %q is not a number", text)
		}
		c.cfg.Port = port
	}
	alive := 3 // ssh_config(5)
	if text := o.value("serveralivecountmax"); text != "" {
		var err error
		if alive, err = strconv.Atoi(text); err != nil || alive < 0 {
			return fmt.Errorf("ssh_config: ServerAliveCountMax %q is not a number", text)
		}
	}
	for keyword, to := range map[string]*time.Duration{
		"serveraliveinterval": &c.settings.AliveTimeout,
		"connecttimeout":      &c.settings.ConnectTimeout,
	} {
		if text := o.value(keyword); text != "" && text != "none" {
			d, err := parseSSHTime(text)
			if err != nil {
				return fmt.Errorf("ssh_config: %s %q: %w", keyword, text, err)
			}
			*to = d
		}
	}
	c.settings.AliveTimeout *= time.Duration(alive)
	switch strings.ToLower(o.value("addressfamily")) {
	case "inet":
		c.family = "tcp4"
	case "inet6":
		c.family = "tcp6"
	}
	return nil
}

// parseSSHTime reads sshd_config(5)'s TIME FORMATS: seconds, or 1h30m.
func parseSSHTime(text string) (time.Duration, error) {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	return time.ParseDuration(strings.ToLower(text))
}

func (c *Client) applyHostKeys(o sshOptions) {
	cfg := &c.cfg
	setDefault(&cfg.HostKeyAlias, o.value("hostkeyalias"))
	setDefault(&cfg.Policy, policyFromSSH(o.value("stricthostkeychecking")))
	cfg.HashKnownHosts = cfg.HashKnownHosts || o.yes("hashknownhosts")
	if cfg.KnownHosts == nil {
		cfg.KnownHosts = c.expandFiles(o.first("userknownhostsfile"))
	}
	if cfg.GlobalKnownHosts == nil {
		cfg.GlobalKnownHosts = c.expandFiles(o.first("globalknownhostsfile"))
	}
	if len(cfg.HostKeyAlgorithms) == 0 {
		cfg.HostKeyAlgorithms = splitList(o.value("hostkeyalgorithms"))
	}
	if len(cfg.Ciphers) == 0 {
		cfg.Ciphers = splitList(o.value("ciphers"))
	}
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// expandFiles is for lists of files of which "none" means an empty one.
func (c *Client) expandFiles(files []string) []string {
	if files == nil {
		return nil
	}
	out := []string{}
	for _, f := range files {
		if !strings.EqualFold(f, "none") {
			out = append(out, c.expandPath(f))
		}
	}
	return out
}

// applyProxy takes the first of ProxyJump and ProxyCommand, unless a flag said
// something; ssh lets whichever stands first win, and so do we as far as that
// can be told: a jump before a command.
func (c *Client) applyProxy(o sshOptions) {
	cfg := &c.cfg
	setDefault(&cfg.BindAddress, o.value("bindaddress"))
	if len(cfg.Jump) > 0 || cfg.ProxyCommand != "" {
		return
	}
	if jump := o.value("proxyjump"); jump != "" {
		for _, hop := range splitList(jump) {
			cfg.Jump = append(cfg.Jump, expandTokens(hop, map[byte]string{'h': cfg.Host, 'n': c.typedHost}))
		}
		return
	}
	cfg.ProxyCommand = o.value("proxycommand")
}

func (c *Client) applyIdentities(o sshOptions) error {
	cfg := &c.cfg
	cfg.IdentitiesOnly = cfg.IdentitiesOnly || o.yes("identitiesonly")
	setDefault(&cfg.Agent, c.expandPath(o.value("identityagent")))
	accepted := slices.Concat(splitList(o.value("pubkeyacceptedalgorithms")), splitList(o.value("pubkeyacceptedkeytypes")))
	cfg.AllowSHA1 = cfg.AllowSHA1 || slices.Contains(accepted, "+ssh-rsa") || slices.Contains(accepted, "ssh-rsa")
	for _, args := range o["identityfile"] {
		if strings.EqualFold(args[0], "none") {
			continue
		}
		file := c.expandPath(args[0])
		if _, err := os.Stat(file); err != nil {
			if _, err := os.Stat(file + ".pub"); err != nil {
				cfg.Log.Debug("an IdentityFile of ssh_config is not there", "file", file)
				continue
			}
		}
		cfg.Identities = append(cfg.Identities, file)
	}
	for _, args := range o["certificatefile"] {
		cfg.Certificates = append(cfg.Certificates, c.expandPath(args[0]))
	}
	return nil
}

// expandPath replaces "~", ${NAME} and ssh's %-tokens in a file name.
func (c *Client) expandPath(path string) string {
	if path == "" {
		return ""
	}
	local, host := "", c.cfg.Host
	if u, err := user.Current(); err == nil {
		local = u.Username
	}
	path = expandTokens(path, map[byte]string{
		'd': c.cfg.Home, 'h': host, 'n': c.typedHost, 'r': c.cfg.User, 'u': local,
		'p': strconv.Itoa(c.cfg.Port), 'i': strconv.Itoa(os.Getuid()),
	})
	return expandHome(expandEnvironment(path), c.cfg.Home)
}

// expandEnvironment replaces ${NAME}; a bare $NAME stays, as in ssh, except the
// agent's "$SSH_AUTH_SOCK".
func expandEnvironment(s string) string {
	if rest, ok := strings.CutPrefix(s, "$"); ok && !strings.HasPrefix(rest, "{") {
		return os.Getenv(rest)
	}
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "${")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			b.WriteString("${" + after)
			return b.String()
		}
		b.WriteString(os.Getenv(name))
		s = rest
	}
}
