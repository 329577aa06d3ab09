package keys

import (
	"slices"
	"strings"
	"testing"
)

// With a server that has only old algorithms, the error names the line that helps,
// and the line does help. Those that are not old are taken as they are.
func TestNegotiation(t *testing.T) {
	file, public := newKeyFile(t, "")
	for server, c := range map[string]struct{ keyword, helps string }{
		"KexAlgorithms diffie-hellman-group14-sha1":          {"KexAlgorithms", "diffie-hellman-group14-sha1"},
		"KexAlgorithms diffie-hellman-group-exchange-sha1":   {"KexAlgorithms", "diffie-hellman-group-exchange-sha1"},
		"KexAlgorithms diffie-hellman-group18-sha512":        {"KexAlgorithms", ""},
		"HostKeyAlgorithms ssh-rsa":                          {"HostKeyAlgorithms", "ssh-rsa"},
		"Ciphers aes128-cbc":                                 {"Ciphers", "aes128-cbc"},
		"Ciphers aes256-cbc":                                 {"Ciphers", ""},
		"MACs hmac-sha1\nCiphers aes128-ctr":                 {"MACs", "hmac-sha1"},
		"KexAlgorithms diffie-hellman-group16-sha512":        {},
		"KexAlgorithms diffie-hellman-group-exchange-sha256": {},
		"Ciphers aes192-ctr\nMACs hmac-sha2-512":             {},
	} {
		s := startSSHD(t, strings.Split(server, "\n")...)
		s.authorize(public)
		cfg := s.config()
		cfg.Identities = []string{file}
		err := login(t, cfg)
		n := Negotiation(err)
		switch {
		case c.keyword == "" && err == nil:
			continue
		case n == nil || n.Keyword != c.keyword || n.Helps != c.helps:
			t.Errorf("%s: %v, %+v", server, err, n)
			continue
		case n.Helps == "":
			continue
		}
		cfg.Options = []string{n.Keyword + "=+" + n.Helps}
		if err := login(t, cfg); err != nil {
			t.Errorf("%s with %q: %v", server, cfg.Options, err)
		}
	}
}

// The lists that the hints choose from have what the library has.
func TestChoicesAreWhole(t *testing.T) {
	for _, l := range new(chosenAlgorithms).choices() {
		for _, a := range l.defaults {
			if !slices.Contains(l.supported, a) {
				t.Errorf("%s: %s is on and not supported", l.keyword, a)
			}
		}
	}
}
