package sshconfig

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/remotemount/remotemount/keys/nss"
)

// Expand puts values in for ssh's %-tokens. One that the keyword does not have is
// an error, as with ssh: the value would mean something else.
func Expand(s string, tokens map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", fmt.Errorf("%q ends in a single %%; %%%% stands for one", s)
		}
		value, ok := tokens[s[i]]
		switch {
		case s[i] == '%':
			b.WriteByte('%')
		case ok:
			b.WriteString(value)
		default:
			return "", fmt.Errorf("%q: %%%c has no meaning here; %%%% stands for %%", s, s[i])
		}
	}
	return b.String(), nil
}

// tokens are those that files and Match exec know, as far as the files have been
// read.
func (r *reader) tokens() (map[byte]string, error) {
	c := r.config
	host := r.host
	if name := c.Value("hostname"); name != "" && !r.final {
		var err error
		if host, err = Expand(name, map[byte]string{'h': r.host}); err != nil {
			return nil, err
		}
	}
	return c.tokens(host, host), nil
}

// Tokens are what ssh puts in for %h and its like, by their letter.
func (c *Config) Tokens() map[byte]string { return c.tokens(c.host, c.query.Host) }

// tokens takes the host's name, and what %k is without a HostKeyAlias: ssh has the
// name there as it was typed, but in Match exec and Include the real one.
func (c *Config) tokens(host, alias string) map[byte]string {
	q := c.query
	port, user := c.Value("port"), c.Value("user")
	if port == "" {
		port = "22"
	}
	if user == "" {
		user = q.LocalUser
	}
	local, err := os.Hostname()
	if err != nil {
		local = "localhost"
	}
	short, _, _ := strings.Cut(local, ".")
	jump := ""
	if v := c.Value("proxyjump"); !strings.EqualFold(v, "none") {
		jump = v
	}
	sum := sha1.Sum([]byte(local + host + port + user + jump))
	if v := c.Value("hostkeyalias"); v != "" {
		alias = v
	}
	return map[byte]string{
		'C': hex.EncodeToString(sum[:]), 'L': short, 'd': q.Home, 'h': host, 'i': strconv.Itoa(q.UID), 'j': jump,
		'k': alias, 'l': local, 'n': q.Host, 'p': port, 'r': user, 'u': q.LocalUser,
	}
}

// ExpandPath puts in the home folder, the tokens and the variables of a file
// name.
func (c *Config) ExpandPath(path string) (string, error) {
	expanded, err := ExpandHome(path, c.query.Home)
	if err == nil {
		expanded, err = Expand(expanded, c.Tokens())
	}
	if err == nil {
		expanded, err = expandEnvironment(expanded)
	}
	if err != nil {
		return "", err
	}
	return expanded, nil
}

// ProxyTokens are the few that ProxyCommand and ProxyJump have.
func (c *Config) ProxyTokens() map[byte]string {
	all, few := c.Tokens(), map[byte]string{}
	for _, letter := range []byte("hnpr") {
		few[letter] = all[letter]
	}
	return few
}

// expandEnvironment replaces ${NAME}; a variable that is not set is an error, as
// with ssh.
func expandEnvironment(s string) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("${%s is not closed", after)
		}
		value, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("the variable %s is not set", name)
		}
		b.WriteString(value)
		s = rest
	}
}

// ExpandHome puts in the home folder for ~, and another user's for ~name.
func ExpandHome(path, home string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok {
		return path, nil
	}
	name, rest, _ := strings.Cut(rest, "/")
	if name != "" {
		u, err := nss.LookupUser(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		home = u.HomeDir
	}
	return filepath.Join(home, rest), nil
}
