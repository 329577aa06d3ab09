package keys

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// withConfig makes a client of an ssh_config with "HOME" replaced by its home.
func withConfig(t *testing.T, text string, set func(*ClientConfig)) (*Client, *lockedBuffer, error) {
	t.Helper()
	cfg := isolated(t)
	cfg.KnownHosts, cfg.GlobalKnownHosts, cfg.Agent = nil, nil, ""
	cfg.ConfigFile = filepath.Join(cfg.Home, "config")
	if err := os.WriteFile(cfg.ConfigFile, []byte(strings.ReplaceAll(text, "HOME", cfg.Home)), 0o600); err != nil {
		t.Fatal(err)
	}
	log, out := captureLog()
	cfg.Log = log
	set(&cfg)
	c, err := NewClient(cfg)
	return c, out, err
}

const exampleConfig = `# a comment
Host work  other
  HostName %h.example.com
  User = "some body"
  Port 2222
  BindAddress 127.0.0.9
  ServerAliveInterval 15
  ServerAliveCountMax 4
  ConnectTimeout 1m30s
  HostKeyAlgorithms ssh-ed25519,no-such-algorithm
  Ciphers aes256-ctr,aes128-ctr
  UserKnownHostsFile ~/kh1 "HOME/kh 2"
  GlobalKnownHostsFile none
  HashKnownHosts yes
  StrictHostKeyChecking yes
  IdentitiesOnly yes
  IdentityAgent ~/agent.%r
  ProxyJump jump1,me@jump2:23
  ForwardX11 yes
  ControlMaster auto
Match exec "touch HOME/executed"
  User nobody
Host !work *
  Port 99
Host *
  User late
  ProxyCommand never %h
`

func TestSSHConfig(t *testing.T) {
	c, log, err := withConfig(t, exampleConfig, func(c *ClientConfig) { c.Host = "work" })
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		User: "some body", Host: "work.example.com", Port: 2222, HostKeyName: "[work.example.com]:2222",
		AliveTimeout: time.Minute, ConnectTimeout: 90 * time.Second,
	}
	if c.Settings() != want {
		t.Errorf("got %+v", c.Settings())
	}
	home := c.cfg.Home
	for name, pair := range map[string][2]any{
		"bind":    {c.cfg.BindAddress, "127.0.0.9"},
		"known":   {c.checker.known.Files, []string{home + "/kh1", home + "/kh 2"}},
		"global":  {len(c.checker.known.Global), 0},
		"hashed":  {c.checker.known.Hashed, true},
		"policy":  {c.cfg.Policy, PolicyStrict},
		"only":    {c.cfg.IdentitiesOnly, true},
		"agent":   {c.agentSocket(), home + "/agent.some body"},
		"jump":    {c.jump.Settings().Host, "jump2"},
		"jump 2":  {c.jump.jump.Settings().Host, "jump1"},
		"command": {c.cfg.ProxyCommand, ""},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
	conf, err := c.SSHConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(conf.Ciphers, []string{"aes256-ctr", "aes128-ctr"}) || !reflect.DeepEqual(conf.HostKeyAlgorithms, []string{"ssh-ed25519"}) {
		t.Errorf("%v %v", conf.Ciphers, conf.HostKeyAlgorithms)
	}
	if _, err := os.Stat(filepath.Join(home, "executed")); err == nil {
		t.Error("a Match exec was run")
	}
	for _, ignored := range []string{"forwardx11", "controlmaster", "Match", "no-such-algorithm"} {
		if !strings.Contains(log.String(), ignored) {
			t.Errorf("the log does not say that %s is ignored:\n%s", ignored, log)
		}
	}
}

// Flags win over the file, and a pattern that excludes a host does.
func TestSSHConfigPrecedence(t *testing.T) {
	c, _, err := withConfig(t, exampleConfig, func(c *ClientConfig) {
		c.Host, c.User, c.Port, c.Policy = "work", "flag", 22, PolicyAuto
		c.Jump, c.KnownHosts, c.BindAddress, c.Agent = []string{"none"}, []string{"/flag"}, "127.0.0.1", "none"
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Settings(); s.User != "flag" || s.Port != 22 || c.jump != nil || c.checker.known.Files[0] != "/flag" || c.cfg.Policy != PolicyAuto {
		t.Errorf("got %+v", s)
	}
	c, _, err = withConfig(t, exampleConfig, func(c *ClientConfig) { c.Host = "elsewhere" })
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Settings(); s.User != "late" || s.Port != 99 || s.Host != "elsewhere" || c.cfg.ProxyCommand != "never %h" {
		t.Errorf("got %+v, %q", s, c.cfg.ProxyCommand)
	}
}

func TestSSHConfigInclude(t *testing.T) {
	file, public := newKeyFile(t, "")
	c, _, err := withConfig(t, "Include HOME/conf.d/*.conf\nHost h\nIdentityFile "+file+"\nIdentityFile HOME/absent\nUser outer\n",
		func(c *ClientConfig) {
			c.Host = "h"
			if err := os.MkdirAll(filepath.Join(c.Home, "conf.d"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(c.Home, "conf.d/a.conf"), []byte("Host h\nUser inner\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	if c.Settings().User != "inner" || len(c.identities) != 1 || !sameKey(c.identities[0].public, public) {
		t.Errorf("got %+v, %d identities", c.Settings(), len(c.identities))
	}
}

func TestSSHConfigErrors(t *testing.T) {
	host := func(c *ClientConfig) { c.Host = "h" }
	for name, text := range map[string]string{
		"endless":  "Include HOME/config\n",
		"quote":    "Host h\nUser \"x\n",
		"port":     "Port ssh\n",
		"interval": "ServerAliveInterval soon\n",
		"count":    "ServerAliveCountMax few\n",
	} {
		if _, _, err := withConfig(t, text, host); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	_, _, err := withConfig(t, "", func(c *ClientConfig) {
		host(c)
		if err := os.Chmod(c.ConfigFile, 0o622); err != nil {
			t.Fatal(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "write") {
		t.Errorf("a file others can write: %v", err)
	}
	if _, _, err := withConfig(t, "", func(c *ClientConfig) { host(c); c.ConfigFile = "/nonexistent/config" }); err == nil {
		t.Error("a file asked for and not there is no error")
	}
}

func TestExpandTokens(t *testing.T) {
	tokens := map[byte]string{'h': "host", 'p': "22"}
	for in, want := range map[string]string{"%h:%p": "host:22", "%%h": "%h", "100%": "100%", "%x%h": "%xhost"} {
		if got := expandTokens(in, tokens); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	t.Setenv("KEYS_TEST", "value")
	for in, want := range map[string]string{"${KEYS_TEST}/x": "value/x", "$KEYS_TEST": "value", "${KEYS_TEST": "${KEYS_TEST", "a${NOT_SET_X}b": "ab"} {
		if got := expandEnvironment(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestWildcards(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "x", true}, {"?", "", false}, {"a*b*c", "a-b-b-c", true}, {"a*b", "a-b-c", false},
		{"*.com", "x.com", true}, {"*.com", ".com", true}, {"", "", true}, {"", "x", false}, {"a?c", "abc", true},
		{strings.Repeat("*a", 50), strings.Repeat("a", 49), false},
	} {
		if got := matchWildcard(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q, %q: %v", tt.pattern, tt.s, got)
		}
	}
}

func TestChooseAlgorithms(t *testing.T) {
	defaults, supported := []string{"a", "b"}, []string{"a", "b", "c"}
	for _, tt := range []struct{ spec, want, unknown []string }{
		{nil, defaults, nil},
		{[]string{"c", "a", "x"}, []string{"c", "a"}, []string{"x"}},
		{[]string{"+c", "a"}, []string{"a", "b", "c"}, nil},
		{[]string{"^b"}, []string{"b", "a"}, nil},
		{[]string{"-b*"}, []string{"a"}, nil},
	} {
		got, unknown := chooseAlgorithms(tt.spec, defaults, supported)
		if !reflect.DeepEqual(got, tt.want) || !reflect.DeepEqual(unknown, tt.unknown) {
			t.Errorf("%q: %q, %q", tt.spec, got, unknown)
		}
	}
}
