package keys

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
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
	c, err := NewClient(t.Context(), cfg)
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
  HostKeyAlgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com
  Ciphers aes256-ctr,aes128-ctr
  KexAlgorithms -ecdh*
  MACs ^hmac-sha2-512
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
	c, _, err := withConfig(t, exampleConfig, func(c *ClientConfig) { c.Host = "work" })
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
		"only":    {c.ssh.Yes("identitiesonly"), true},
		"agent":   {c.agentSocket(), home + "/agent.some body"},
		"jump":    {c.jump.Settings().Host, "jump2"},
		"jump 2":  {c.jump.jump.Settings().Host, "jump1"},
		"command": {c.proxyCommand, ""},
		"ciphers": {c.chosen.ciphers, []string{"aes256-ctr", "aes128-ctr"}},
		"kex":     {slices.Contains(c.chosen.kex, ssh.KeyExchangeECDHP256), false},
		"macs":    {c.chosen.macs[0], "hmac-sha2-512"},
		"keys":    {c.hostKeyAlgorithms(), []string{"ssh-ed25519"}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
	if _, err := os.Stat(filepath.Join(home, "executed")); err == nil {
		t.Error("a Match exec was run without a login")
	}
}

// Flags win over the file, and a pattern that excludes a host does.
func TestSSHConfigPrecedence(t *testing.T) {
	c, _, err := withConfig(t, exampleConfig, func(c *ClientConfig) {
		c.Host, c.User, c.Port, c.Policy = "work", "flag", 22, PolicyAuto
		c.Jump, c.KnownHosts, c.BindAddress, c.Agent = []string{"none"}, []string{"/flag"}, "127.0.0.1", "none"
		c.Options = []string{"HostKeyAlias=Alias", "IdentitiesOnly no"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Settings(); s.User != "flag" || s.Port != 22 || c.jump != nil || c.checker.known.Files[0] != "/flag" || c.cfg.Policy != PolicyAuto {
		t.Errorf("got %+v", s)
	}
	if c.Settings().HostKeyName != "alias" || c.ssh.Yes("identitiesonly") {
		t.Errorf("options do not win: %q", c.Settings().HostKeyName)
	}
	c, _, err = withConfig(t, exampleConfig, func(c *ClientConfig) { c.Host = "elsewhere" })
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Settings(); s.User != "late" || s.Port != 99 || s.Host != "elsewhere" || c.proxyCommand != "never elsewhere" {
		t.Errorf("got %+v, %q", s, c.proxyCommand)
	}
}

func TestSSHConfigIdentities(t *testing.T) {
	file, public := newKeyFile(t, "")
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"one of two is there": {"IdentityFile " + file + "\nIdentityFile HOME/absent\n", 1},
		"none is there":       {"IdentityFile HOME/absent\n", 0},
		"none":                {"IdentityFile none\n", 0},
		"default":             {"", 1},
	} {
		client, _, err := withConfig(t, c.text, func(cfg *ClientConfig) {
			cfg.Host = "h"
			if err := os.MkdirAll(filepath.Join(cfg.Home, ".ssh"), 0o700); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(filepath.Join(cfg.Home, ".ssh/id_ed25519"), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		if err != nil || len(client.identities) != c.want {
			t.Errorf("%s: %d identities, %v", name, len(client.identities), err)
		} else if c.want == 1 && !sameKey(client.identities[0].public, public) {
			t.Errorf("%s: another key", name)
		}
	}
}

// The second table: what stands in the files with the tokens put in.
func TestSSHConfigExpansions(t *testing.T) {
	t.Setenv("KEYS_TEST", "value")
	t.Setenv("SOCK_TEST", "/run/sock")
	for text, want := range map[string]func(c *Client) (got, want string){
		"User u\nPort 7\nProxyCommand nc %h %p %r %n %%": func(c *Client) (string, string) { return c.proxyCommand, "nc real 7 u h %" },
		"User u\nProxyJump %r@%n-jump":                   func(c *Client) (string, string) { return c.cfg.Jump[0], "u@h-jump" },
		"ProxyCommand none\nProxyJump x":                 func(c *Client) (string, string) { return strings.Join(c.cfg.Jump, ","), "" },
		"ProxyJump none\nProxyCommand nc":                func(c *Client) (string, string) { return c.proxyCommand, "nc" },
		"UserKnownHostsFile ~/%k ${KEYS_TEST}/%h": func(c *Client) (string, string) {
			return strings.Join(c.cfg.KnownHosts, " "), c.cfg.Home + "/h value/real"
		},
		"HostKeyAlias kk\nCertificateFile %d/%k-%p-%n": func(c *Client) (string, string) { return c.certificates[0], c.cfg.Home + "/kk-22-h" },
		"IdentityAgent $SOCK_TEST":                     func(c *Client) (string, string) { return c.agentSocket(), "/run/sock" },
		"IdentityAgent ${SOCK_TEST}.%i":                func(c *Client) (string, string) { return c.agentSocket(), "/run/sock." + c.ssh.Tokens()['i'] },
		"IdentityAgent $NOT_SET_X":                     func(c *Client) (string, string) { return c.agentSocket(), "" },
		"ProxyJump a,b\nCertificateFile /%j":           func(c *Client) (string, string) { return c.certificates[0], "/a,b" },
		"CertificateFile /%L/%l/%u/%C": func(c *Client) (string, string) {
			return strings.ReplaceAll(c.certificates[0], "%", "-"), c.certificates[0]
		},
		"UserKnownHostsFile ~root/kh":                       func(c *Client) (string, string) { return c.checker.known.Files[0], rootHome(t) + "/kh" },
		"IdentityAgent ~root/agent":                         func(c *Client) (string, string) { return c.agentSocket(), rootHome(t) + "/agent" },
		"RevokedHostKeys ~/%k.${KEYS_TEST}":                 func(c *Client) (string, string) { return c.checker.revoked, c.cfg.Home + "/h.value" },
		"User %u.%n.%h":                                     func(c *Client) (string, string) { return c.Settings().User, c.ssh.Tokens()['u'] + ".h.real" },
		"User ${KEYS_TEST}%%x":                              func(c *Client) (string, string) { return c.Settings().User, "value%x" },
		"User a%r":                                          func(c *Client) (string, string) { return c.Settings().User, "a%r" },
		"User 50%":                                          func(c *Client) (string, string) { return c.Settings().User, "50%" },
		"User ${NOT_SET_X}%u":                               func(c *Client) (string, string) { return c.Settings().User, "${NOT_SET_X}%u" },
		"User %n-x\nCertificateFile /%r":                    func(c *Client) (string, string) { return c.certificates[0], "/h-x" },
		"User %p\nPort 7\nProxyCommand %r":                  func(c *Client) (string, string) { return c.proxyCommand, "7" },
		"NumberOfPasswordPrompts 1\nServerAliveInterval 1m": func(c *Client) (string, string) { return c.Settings().AliveTimeout.String(), "3m0s" },
	} {
		c, _, err := withConfig(t, "Host h\nHostName real\n"+text+"\n", func(c *ClientConfig) { c.Host = "h" })
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, want := want(c); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func rootHome(t *testing.T) string {
	t.Helper()
	u, err := user.Lookup("root")
	if err != nil {
		t.Fatal(err)
	}
	return u.HomeDir
}

// A file of a flag may be another user's too.
func TestHomeOfAnother(t *testing.T) {
	c, _, err := withConfig(t, "", func(c *ClientConfig) {
		c.Host, c.Agent, c.KnownHosts = "h", "~root/agent", []string{"~root/kh"}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := append([]string{c.agentSocket()}, c.checker.known.Files...)
	if want := []string{rootHome(t) + "/agent", rootHome(t) + "/kh"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	noGetent(t)
	for what, set := range map[string]func(*ClientConfig){
		"known_hosts":  func(c *ClientConfig) { c.KnownHosts = []string{"~no.such.user/x"} },
		"the system's": func(c *ClientConfig) { c.GlobalKnownHosts = []string{"~no.such.user/x"} },
		"identity":     func(c *ClientConfig) { c.Identities = []string{"~no.such.user/x"} },
		"agent":        func(c *ClientConfig) { c.Agent = "~no.such.user/x" },
	} {
		_, _, err := withConfig(t, "", func(c *ClientConfig) { c.Host = "h"; set(c) })
		if err == nil || !strings.Contains(err.Error(), "no.such.user") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// noGetent puts a getent into PATH that knows nobody, where the machine's may wait for a
// server.
func noGetent(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "getent"), []byte("#!/bin/sh\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// A name of the command line is taken as it is.
func TestUserFlagHasNoTokens(t *testing.T) {
	c, _, err := withConfig(t, "User other\n", func(c *ClientConfig) { c.Host, c.User = "h", "%u" })
	if err != nil || c.Settings().User != "%u" {
		t.Errorf("%v, %q", err, c.Settings().User)
	}
}

func TestSSHConfigErrors(t *testing.T) {
	noGetent(t)
	for text, want := range map[string]string{
		"Include HOME/config":                "too deep",
		"User \"x":                           "quote",
		"Port no-such-service":               "port",
		"ProxyCommand nc %d":                 "%d has no meaning",
		"IdentityFile ${NOT_SET_X}":          "NOT_SET_X",
		"UserKnownHostsFile %z":              "%z",
		"RevokedHostKeys %z":                 "RevokedHostKeys",
		"UserKnownHostsFile ~no.such.user/x": "no.such.user",
		"Ciphers chacha20":                   "chacha20",
		"MACs umac-64@openssh.com":           "none of these is supported",
		"BindAddress":                        "no value",
		"ProxyCommand x\nProxyUseFdpass yes": "--ssh-command",
	} {
		_, _, err := withConfig(t, text+"\n", func(c *ClientConfig) { c.Host = "h" })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, _, err := withConfig(t, "", func(c *ClientConfig) { c.Host, c.ConfigFile = "h", "/nonexistent/config" }); err == nil {
		t.Error("a file asked for and not there is no error")
	}
	if _, _, err := withConfig(t, "", func(c *ClientConfig) { c.Host, c.Options = "h", []string{"Match all"} }); err == nil {
		t.Error("Match as an option is no error")
	}
}

// What is safe is on, what rests on SHA-1 is not, unless it is named.
func TestDefaultAlgorithms(t *testing.T) {
	c, _, err := withConfig(t, "", func(c *ClientConfig) { c.Host = "h" })
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(c.chosen.ciphers, c.chosen.kex, c.chosen.macs, c.chosen.hostKeys, c.chosen.authorities, c.chosen.signatures)
	for _, a := range all {
		if strings.Contains(a, "sha1") || strings.Contains(a, "cbc") || strings.HasPrefix(a, "ssh-rsa") || strings.HasPrefix(a, "ssh-dss") {
			t.Errorf("%s is on by default", a)
		}
	}
	for _, a := range []string{ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDHGEXSHA256, ssh.HMACSHA512ETM, ssh.CipherAES256CTR, ssh.KeyAlgoRSASHA512} {
		if !slices.Contains(all, a) {
			t.Errorf("%s is off by default", a)
		}
	}
	c, _, err = withConfig(t, "KexAlgorithms +diffie-hellman-group14-sha1\nMACs +hmac-sha1\nHostKeyAlgorithms +ssh-rsa\n", func(c *ClientConfig) { c.Host = "h" })
	if err != nil || !slices.Contains(c.chosen.kex, "diffie-hellman-group14-sha1") || !slices.Contains(c.chosen.macs, "hmac-sha1") || !slices.Contains(c.chosen.hostKeys, "ssh-rsa") {
		t.Errorf("by name: %v, %v", err, c.chosen)
	}
}

// A command of Match exec runs for a login, and again when no connection is left.
func TestMatchExecIsAskedAgain(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startSSHD(t)
	server.authorize(public)
	cfg := server.config()
	home := filepath.Join(cfg.Home, "at-home")
	cfg.ConfigFile, cfg.Commands, cfg.Identities = filepath.Join(cfg.Home, "config"), true, []string{file}
	text := "Match exec \"test -e " + home + "\"\nUser wrong-user-here\n"
	if err := os.WriteFile(cfg.ConfigFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.User = ""
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	was := client.Settings().User
	first, err := client.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := client.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := client.Settings().User; got != was {
		t.Errorf("asked again while connected: %q", got)
	}
	_, _ = first.Close(), second.Close()
	third, err := client.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = third.Close() }()
	if got := client.Settings().User; got != "wrong-user-here" {
		t.Errorf("not asked again after an absence: %q", got)
	}
	config, err := client.SSHConfig(t.Context(), third)
	if err != nil || config.User != "wrong-user-here" {
		t.Errorf("the login is another's than the connection: %v, %v", config, err)
	}
}

// AddKeysToAgent puts a key there once it was needed.
func TestAddKeysToAgent(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startSSHD(t)
	server.authorize(public)
	for how, want := range map[string]int{"yes": 1, "no": 0, "1h": 1, "confirm 5m": 1, "ask": 1} {
		cfg := server.config()
		socket := startAgent(t)
		cfg.Identities, cfg.Agent, cfg.Options = []string{file}, socket, []string{"AddKeysToAgent=" + how}
		cfg.Prompt = &scripted{answers: []string{"yes"}}
		if err := login(t, cfg); err != nil {
			t.Fatal(err)
		}
		var held []*agent.Key
		err := withAgent(t.Context(), socket, agentListTime, func(a agent.ExtendedAgent) (err error) {
			held, err = a.List()
			return err
		})
		if err != nil || len(held) != want {
			t.Errorf("%s: %d keys in the agent, %v", how, len(held), err)
		}
	}
}

// Methods that ssh_config switches off are not tried.
func TestMethodsOff(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) { s.takePasswords("right") })
	for _, option := range []string{"PasswordAuthentication=no", "PreferredAuthentications=publickey", "BatchMode=yes", "NumberOfPasswordPrompts=0"} {
		cfg := server.clientConfig()
		prompt := &scripted{answers: []string{"right"}}
		cfg.Prompt, cfg.Options = prompt, []string{option}
		if err := login(t, cfg); !IsAuthFailure(err) || len(prompt.asked) != 0 {
			t.Errorf("%s: %v, %d questions", option, err, len(prompt.asked))
		}
	}
}

// Keys that are too short are refused on both sides, unless asked for.
func TestShortRSA(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	data, err := Marshal(&Key{Private: short}, FormatPEM, nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&short.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id_rsa")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	server := startSSHD(t, "RequiredRSASize 1024")
	server.authorize(public)
	cfg := server.config()
	cfg.Identities = []string{file}
	if err := login(t, cfg); !IsAuthFailure(err) || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("a short key: %v", err)
	}
	cfg.Options = []string{"RequiredRSASize=1024"}
	if err := login(t, cfg); err != nil {
		t.Errorf("asked for: %v", err)
	}
	c, _, err := withConfig(t, "", func(c *ClientConfig) { c.Host = "h" })
	if err != nil {
		t.Fatal(err)
	}
	var refused *HostKeyError
	if err := c.checker.check(t.Context(), public); !errors.As(err, &refused) || refused.Kind != HostKeyWeak {
		t.Errorf("a short host key: %v", err)
	}
}

func TestRevokedHostKeys(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startSSHD(t)
	server.authorize(public)
	list := filepath.Join(t.TempDir(), "revoked")
	for name, c := range map[string]struct {
		text    string
		refused bool
	}{
		"another key":  {PublicLine(public, "") + "\n", false},
		"its key":      {"# gone\n" + PublicLine(server.hostKeys[ssh.KeyAlgoED25519], "x") + "\n", true},
		"a binary KRL": {"SSHKRL\n\x00\x00", true},
		"no key":       {"what\n", true},
	} {
		if err := os.WriteFile(list, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := server.config()
		cfg.Identities, cfg.Options = []string{file}, []string{"RevokedHostKeys=" + list, "HostKeyAlgorithms=ssh-ed25519"}
		if err := login(t, cfg); IsHostKeyFailure(err) != c.refused || !c.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// NoHostAuthenticationForLocalhost lets any key be, but for what was said of this server
// all the same: a pin, an alias, a list of revoked keys.
func TestNoHostAuthenticationForLocalhost(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) { s.takePasswords("right") })
	cfg := server.clientConfig()
	cfg.Policy = PolicyInsecure
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := client.ScanHostKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := testSigner(t).PublicKey()
	revoked := filepath.Join(t.TempDir(), "revoked")
	if err := os.WriteFile(revoked, []byte(PublicLine(shown[0], "")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options []string
		pins    []string
		known   string
		want    HostKeyKind
	}{
		"another key on file": {known: hostName("127.0.0.1", cfg.Port) + " " + PublicLine(other, "")},
		"not the pinned key":  {pins: []string{PublicLine(other, "")}, want: HostKeyMismatch},
		"the pinned key":      {pins: []string{PublicLine(shown[0], "")}},
		"under an alias":      {options: []string{"HostKeyAlias=server"}, known: "server " + PublicLine(other, ""), want: HostKeyChanged},
		"a revoked key":       {options: []string{"RevokedHostKeys=" + revoked}, want: HostKeyRevoked},
	} {
		cfg := server.clientConfig()
		cfg.Password = func(context.Context) (string, error) { return "right", nil }
		cfg.Policy, cfg.HostKeys = PolicyStrict, c.pins
		cfg.Options = append(c.options, "NoHostAuthenticationForLocalhost=yes")
		if err := os.WriteFile(cfg.KnownHosts[0], []byte(c.known+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := login(t, cfg); kindOf(err) != c.want || c.want == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key of a security key in one of ssh's places names the agent's, and is not offered
// where no agent has it.
func TestDefaultTokenIdentity(t *testing.T) {
	public := ssh.Marshal(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, strings.Repeat("k", 32), "ssh:"})
	body := opensshMagic + string(ssh.Marshal(struct {
		Cipher, KDF, Options string
		Count                uint32
		Public, Private      []byte
	}{"none", "none", "", 1, public, make([]byte, 8)}))
	client, _, err := withConfig(t, "", func(c *ClientConfig) {
		c.Host, c.Agent = "h", "none"
		file := filepath.Join(c.Home, ".ssh/id_ed25519_sk")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte(body)}), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(client.identities) != 1 || string(client.identities[0].public.Marshal()) != string(public) {
		t.Fatalf("%d identities", len(client.identities))
	}
	if list, err := client.candidates(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	held := &agentKey{public: client.identities[0].public}
	if client.identities[0].candidate([]*agentKey{held}) == nil {
		t.Error("the agent's key is not taken")
	}
}
