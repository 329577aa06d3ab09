package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/keys"
)

// Connection is how a remote is reached: what the connection flags say, and
// what a named remote keeps. The zero value of a field means "not said". There
// is no field for a password or a passphrase, on purpose: neither is ever
// written here.
type Connection struct {
	User            string   `toml:"user,omitempty"`
	Port            int      `toml:"port,omitempty"`
	Identities      []string `toml:"identity,omitempty"`
	PasswordFile    string   `toml:"password_file,omitempty"`
	PasswordCommand string   `toml:"password_command,omitempty"`
	AskPassword     bool     `toml:"ask_password,omitempty"`
	Keyring         bool     `toml:"keyring,omitempty"` // the password is in the desktop's keyring
	SSHConfig       string   `toml:"ssh_config,omitempty"`
	Jump            string   `toml:"jump,omitempty"`
	BindAddress     string   `toml:"bind_address,omitempty"`
	KnownHosts      []string `toml:"known_hosts,omitempty"`
	HostKeys        []string `toml:"host_key,omitempty"` // pinned: SHA256:... or "type base64"
	HostKeyPolicy   string   `toml:"host_key_policy,omitempty"`
	MaxConnections  int      `toml:"max_connections,omitempty"`
	SFTPCommand     string   `toml:"sftp_command,omitempty"` // a subsystem, or a command on the server
	SSHCommand      string   `toml:"ssh_command,omitempty"`  // a program here, in place of the built-in SSH
	Timeout         Duration `toml:"timeout,omitempty"`
	Retry           Duration `toml:"retry,omitempty"`

	// SSH holds settings with ssh_config's names (Ciphers, HostKeyAlgorithms,
	// ProxyCommand, ...), which go before the files.
	SSH map[string]string `toml:"ssh,omitempty"`
}

// Policies are the values of host_key_policy.
var Policies = [...]string{"auto", "ask", "strict", "insecure"}

// Check says what is wrong with the values themselves.
func (c Connection) Check() error {
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("port %d: 1 to 65535", c.Port)
	}
	if c.MaxConnections < 0 || c.MaxConnections > 1000 {
		return fmt.Errorf("max-connections %d: 1 to 1000", c.MaxConnections)
	}
	if p := c.HostKeyPolicy; p != "" && !slices.Contains(Policies[:], p) {
		return fmt.Errorf("host-key-policy %q: auto, ask, strict or insecure", p)
	}
	if err := keys.CheckUser(c.User); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if err := keys.CheckJump(c.Jump); err != nil {
		return fmt.Errorf("jump: %w", err)
	}
	return nil
}

// Over gives c where it says something, else base.
func (c Connection) Over(base Connection) Connection {
	said, out := reflect.ValueOf(c), reflect.ValueOf(&base).Elem()
	for i := range said.NumField() {
		if !said.Field(i).IsZero() {
			out.Field(i).Set(said.Field(i))
		}
	}
	return base
}

// Flags writes the settings as flags, as far as there are any: all that are set, or
// those of these names.
func (c Connection) Flags(names ...string) []string {
	var out []string
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		name = strings.ReplaceAll(name, "_", "-")
		if v.Field(i).IsZero() || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		switch value := v.Field(i).Interface().(type) {
		case bool:
			out = append(out, "--"+name)
		case []string:
			for _, one := range value {
				out = append(out, "--"+name, one)
			}
		case Duration:
			out = append(out, "--"+name, value.String())
		case string, int:
			out = append(out, "--"+name, fmt.Sprint(value))
		}
	}
	return out
}

// A Remote is one named remote.
type Remote struct {
	Address string `toml:"address"` // user@host:path or a URL, never a name
	Connection
}

// Check says what is wrong with a remote.
func (r Remote) Check() error {
	if _, err := address.Parse(r.Address, nil); err != nil {
		return err
	}
	return r.Connection.Check()
}
