// Package sshconfig reads ssh_config(5) as OpenSSH does, for one host: Host and
// Match, Include, quotes, the order in which lines win, and the second reading
// after a name was made canonical. What comes out are the values as they stand
// in the files; Expand and ExpandPath put in tokens and variables, which OpenSSH
// does late as well.
//
// A file that OpenSSH refuses is refused. There are three differences, all on
// purpose. Criteria and keywords of newer versions than the machine's are
// understood; and where even we do not know one, its block counts as not
// matching and is named in the log, since a person who has it in their file has
// an ssh that takes it. An algorithm of the system's files that is not known is
// left out of its list, for the same reason.
//
// Nothing is run and nobody is asked unless Query says how: Match exec needs
// Query.Exec, CanonicalizeHostname needs Query.Lookup.
package sshconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// A Query says whose configuration is wanted.
type Query struct {
	Host    string   // as it was typed
	User    string   // as the command line says, which wins; may be empty
	Port    int      // likewise
	Options []string // "Keyword=value", as ssh's -o takes them: they win over the files

	File      string // ssh's -F: that file alone; "none" for no file; empty for the user's and the system's
	Home      string
	LocalUser string
	UID       int

	// Exec runs the command of a Match exec, after it has put the tokens in, and
	// tells whether it succeeded. Nil: none is run, and such a block does not count.
	Exec func(ctx context.Context, command string, tokens map[byte]string) (bool, error)
	// Lookup resolves a name for CanonicalizeHostname, and gives the name that
	// its CNAME leads to. Nil: names are left as they are.
	Lookup func(ctx context.Context, host string) (cname string, err error)
	// LocalAddresses are this machine's, for Match localnetwork.
	LocalAddresses func() ([]netip.Addr, error)

	Log *slog.Logger
}

// A Config is what the files say for one host.
type Config struct {
	query  Query
	host   string // as HostName and canonicalisation make it
	values map[string][]string

	// Volatile: another place or another hour may give another Config, because a
	// command, a local network or a name server was asked.
	Volatile bool
}

// Host is the name or address to dial.
func (c *Config) Host() string { return c.host }

// Value is the value of a keyword in lower case, "" when it is not set. Yes and
// no are written so, times in seconds, algorithms as in the file.
func (c *Config) Value(keyword string) string {
	if v := c.values[keyword]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// List gives the values of a keyword that has several; nil when it is not set.
func (c *Config) List(keyword string) []string { return c.values[keyword] }

// Yes reports whether a keyword is set to yes.
func (c *Config) Yes(keyword string) bool { return c.Value(keyword) == "yes" }

// No reports whether a keyword is set to no.
func (c *Config) No(keyword string) bool { return c.Value(keyword) == "no" }

// Read reads the configuration.
func Read(ctx context.Context, q Query) (*Config, error) {
	c := &Config{query: q, values: map[string][]string{}}
	if q.User != "" {
		c.values["user"] = []string{q.User}
	}
	if q.Port != 0 {
		c.values["port"] = []string{strconv.Itoa(q.Port)}
	}
	r := &reader{ctx: ctx, config: c, host: q.Host, unknown: map[string]bool{}, ran: map[string]bool{}}
	for _, option := range q.Options {
		if err := r.commandLine(option); err != nil {
			return nil, err
		}
	}
	if err := r.files(); err != nil {
		return nil, err
	}
	if err := r.settleHost(); err != nil {
		return nil, err
	}
	if r.wantFinal {
		r.final, r.host = true, c.host
		c.values["hostname"] = []string{c.host}
		if err := r.files(); err != nil {
			return nil, err
		}
	}
	if alias := c.Value("hostkeyalias"); alias != "" {
		c.values["hostkeyalias"] = []string{strings.ToLower(alias)}
	}
	c.expandUser()
	return c, nil
}

// expandUser puts tokens and variables into a User of the files, as OpenSSH does from
// version 10 on. One in which that cannot be done was written for an older ssh, and
// stands as it is.
func (c *Config) expandUser() {
	if c.query.User != "" || c.Value("user") == "" {
		return
	}
	tokens := c.Tokens()
	delete(tokens, 'r') // these two are made of the user
	delete(tokens, 'C')
	name, err := Expand(c.Value("user"), tokens)
	if err == nil {
		name, err = expandEnvironment(name)
	}
	if err == nil {
		c.values["user"] = []string{name}
	}
}

// files reads what Query.File says. A missing file is empty, unless it was asked
// for by name.
func (r *reader) files() error {
	q := r.config.query
	if strings.EqualFold(q.File, "none") {
		return nil
	}
	user := filepath.Join(q.Home, ".ssh")
	if q.File != "" {
		file, err := ExpandHome(q.File, q.Home)
		if err != nil {
			return err
		}
		return r.file(file, source{folder: user, user: true, named: true})
	}
	for _, s := range []source{{file: filepath.Join(user, "config"), folder: user, user: true}, {file: "/etc/ssh/ssh_config", folder: "/etc/ssh"}} {
		if err := r.file(s.file, s); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// settleHost finds the name to dial, from HostName and by canonicalisation.
func (r *reader) settleHost() error {
	c := r.config
	c.host = r.host
	if name := c.Value("hostname"); name != "" {
		expanded, err := Expand(name, map[byte]string{'h': r.host})
		if err != nil {
			return fmt.Errorf("HostName %s: %w", name, err)
		}
		c.host = expanded
	}
	if !isAddress(c.host) {
		c.host = strings.ToLower(c.host)
	}
	if a, ok := shortAddress(c.host); ok {
		c.host = a
	}
	if canonical := c.Value("canonicalizehostname"); canonical == "yes" || canonical == "always" {
		r.wantFinal = true
	}
	return r.canonicalize()
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil
}

// shortAddress reads an IPv4 address in its old forms, as inet_aton does: 127.1,
// or one number for all four bytes; octal with a leading 0, hexadecimal with 0x.
func shortAddress(host string) (string, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return "", false
	}
	var sum uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 0, 32)
		room := uint(8)
		if i == len(parts)-1 {
			room = uint(8 * (4 - i)) // the last fills what is left
		}
		if err != nil || strings.ContainsAny(p, "_oObB") || n >= 1<<room {
			return "", false
		}
		sum = sum<<room | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}).String(), true
}
