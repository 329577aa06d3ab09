package sshconfig

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// read reads a text as the user's file.
func read(t testing.TB, text string, set func(*Query)) (*Config, string, error) {
	t.Helper()
	home := t.TempDir()
	file := filepath.Join(home, "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	q := Query{Host: "h", File: file, Home: home, LocalUser: "me", Log: slog.New(slog.NewTextHandler(&log, nil))}
	if set != nil {
		set(&q)
	}
	c, err := Read(t.Context(), q)
	return c, log.String(), err
}

// A block with something that we do not know does not count, whole, and is named
// once.
func TestUnknownSkipsItsBlock(t *testing.T) {
	for name, c := range map[string]struct {
		text, user string
		warnings   int
	}{
		"keyword":               {"Host h\nUser a\nFrobnicate 1\nHost *\nUser b\n", "b", 1},
		"keyword before Host":   {"Frobnicate 1\nUser a\nHost *\nUser b\n", "b", 1},
		"criterion":             {"Match host h moon full\nUser a\nHost *\nUser b\n", "b", 1},
		"negated criterion":     {"Match !moon full\nUser a\nHost *\nUser b\n", "b", 1},
		"in no matching block":  {"Host x\nFrobnicate 1\nHost *\nUser b\n", "b", 0},
		"criterion after a no":  {"Match host x moon full\nUser a\nHost *\nUser b\n", "b", 0},
		"ignored by name":       {"IgnoreUnknown Frob*\nHost h\nFrobnicate 1\nUser a\n", "a", 0},
		"ignored in its block":  {"Host h\nIgnoreUnknown frobnicate\nFrobnicate 1\nUser a\n", "a", 0},
		"read twice, said once": {"Match final\nUser f\nHost h\nFrobnicate 1\nUser a\n", "f", 1},
	} {
		got, log, err := read(t, c.text, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Value("user") != c.user || strings.Count(log, "does not count") != c.warnings {
			t.Errorf("%s: user %q, log %s", name, got.Value("user"), log)
		}
	}
}

// Criteria that are newer than the ssh of many machines.
func TestNewerCriteria(t *testing.T) {
	addresses := func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.168.3.4")}, nil }
	for text, want := range map[string]string{
		"Tag work\nMatch tagged work\nUser a\n":                                   "a",
		"Match tagged work\nUser a\n":                                             "",
		"Match localnetwork 10.0.0.0/8,192.168.0.0/16\nUser a\n":                  "a",
		"Match localnetwork 10.0.0.0/8\nUser a\n":                                 "",
		"Match !localnetwork 10.0.0.0/8\nUser a\n":                                "a",
		"Match sessiontype subsystem command sftp\nUser a\n":                      "a",
		"Match localnetwork 192.168.3.4/32 originalhost h localuser me\nUser a\n": "a",
		"Match localnetwork ::1,192.168.3.4\nUser a\n":                            "a",
		"Match localnetwork 192.168.3.5\nUser a\n":                                "",
		"Match tagged \"\"\nUser a\n":                                             "a",
		"Tag work\nMatch tagged \"\"\nUser a\n":                                   "",
		"Match command \"\"\nUser a\n":                                            "",
		"Match !command \"\" host h\nUser a\n":                                    "a",
		"Match version OpenSSH_10.*,OpenSSH_11.*\nUser a\n":                       "a",
		"Match version OpenSSH_9.*\nUser a\n":                                     "",
	} {
		c, _, err := read(t, text, func(q *Query) { q.LocalAddresses = addresses })
		if err != nil || c.Value("user") != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := read(t, "Match localnetwork 10\n", nil); err == nil {
		t.Error("a wrong network is no error")
	}
}

// Quotes in a Match are read as OpenSSH 9.9 reads them, where the older reading makes no
// sense.
func TestMatchQuotes(t *testing.T) {
	for match, want := range map[string]string{
		`exec 'test -e /x'`:                 "test -e /x",
		`exec "sh -c \"test -e /x\""`:       `sh -c "test -e /x"`,
		`host 'h' exec 'a = "b"' # comment`: `a = "b"`,
		`host='h' exec='a b'`:               "a b",
		`exec "a \\ b"`:                     `a \\ b`, // the older reading makes sense
		`host h exec "test 'a b' = 'a b'"`:  "test 'a b' = 'a b'",
		`originalhost h exec a\ b`:          `a b`,
		`exec 'one' exec "two \"x\""`:       `two "x"`,
		`host x exec 'a b' moon full`:       "",
		`host x exec 'a b' host ''`:         "",
		`exec 'a b' all`:                    "a b",
		`host 'h' exec one`:                 "one",
		`host 'x' exec one`:                 "",
		`exec "grep -q \"host x\" /f"`:      `grep -q "host x" /f`,
		`localuser 'me' exec "a 'b'"`:       "a 'b'",
	} {
		ran := ""
		_, _, err := read(t, "Match "+match+"\nUser a\n", func(q *Query) {
			q.Exec = func(_ context.Context, command string, _ map[byte]string) (bool, error) {
				ran = command
				return true, nil
			}
		})
		if ran != want || err != nil && want != "" {
			t.Errorf("%s: %q ran, want %q; %v", match, ran, want, err)
		}
	}
}

// The home of nobody has no files, as with glob(3).
func TestIncludeOfNobody(t *testing.T) {
	c, _, err := read(t, "Include ~no.such.user/x\nUser a\n", nil)
	if err != nil || c.Value("user") != "a" {
		t.Errorf("%v, %v", c, err)
	}
}

// RefuseConnection ends it where its block counts.
func TestRefuseConnection(t *testing.T) {
	for text, refused := range map[string]bool{
		"RefuseConnection \"by the gate alone\"\n":                       true,
		"Host x\nRefuseConnection no\nHost *\nUser a\n":                  false,
		"Match originalhost h\nRefuseConnection no\n":                    true,
		"Match exec true\nRefuseConnection \"by the gate alone\"\n":      false,
		"Host h\nFrobnicate 1\nRefuseConnection \"by the gate alone\"\n": false,
	} {
		_, _, err := read(t, text, nil)
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "not to be made") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCanonicalize(t *testing.T) {
	names := map[string]string{"h.b.example.": "", "www.a.example.": "web.a.example.", "www": "web.a.example.", "x.y.z": ""}
	lookup := func(_ context.Context, host string) (string, error) {
		cname, ok := names[host]
		if !ok {
			return "", fs.ErrNotExist
		}
		return cname, nil
	}
	const domains = "CanonicalizeHostname yes\nCanonicalDomains a.example b.example\n"
	for _, c := range []struct{ host, text, want, user string }{
		{"h", domains + "Host *.b.example\nUser b\n", "h.b.example", "b"},
		{"h", domains + "Match canonical host h.b.example\nUser b\n", "h.b.example", "b"},
		{"h", domains + "ProxyJump j\n", "h", ""},
		{"h", strings.Replace(domains, "yes", "always", 1) + "ProxyJump j\n", "h.b.example", ""},
		{"www", domains, "www.a.example", ""},
		{"www", domains + "CanonicalizePermittedCNAMEs *.a.example:*.a.example\n", "web.a.example", ""},
		{"www", domains + "CanonicalizePermittedCNAMEs *.x:*.a.example\n", "www.a.example", ""},
		{"x.y.z", domains, "x.y.z", ""},
		{"h.b.example.", domains, "h.b.example", ""},
		{"gone", domains, "gone", ""},
		{"10.0.0.1", domains, "10.0.0.1", ""},
		{"h", "CanonicalDomains b.example\n", "h", ""},
	} {
		got, _, err := read(t, c.text, func(q *Query) { q.Host, q.Lookup = c.host, lookup })
		if err != nil || got.Host() != c.want || got.Value("user") != c.user {
			t.Errorf("%s with %q: %v %+v", c.host, c.text, err, got)
		}
	}
	if _, _, err := read(t, domains+"CanonicalizeFallbackLocal no\n", func(q *Query) { q.Host, q.Lookup = "gone", lookup }); err == nil {
		t.Error("a name in no domain is no error")
	}
	c, _, err := read(t, domains, nil)
	if err != nil || c.Host() != "h" || !c.Volatile {
		t.Errorf("without a way to look up: %v, %+v", err, c)
	}
}

// A command runs at most once in a reading, and not where it decides nothing.
func TestExecRuns(t *testing.T) {
	var ran []string
	run := func(_ context.Context, command string, _ map[byte]string) (bool, error) {
		ran = append(ran, command)
		return command != "false", nil
	}
	text := "Match host x exec one\nUser a\nMatch exec two\nUser b\nMatch exec two\nPort 5\nMatch final exec false\nUser c\n" +
		"Host x\nInclude INC\n"
	c, _, err := read(t, strings.ReplaceAll(text, "INC", "/nonexistent"), func(q *Query) { q.Exec = run })
	if err != nil || c.Value("user") != "b" || !slices.Equal(ran, []string{"two", "false"}) {
		t.Errorf("%v, %q ran, user %q", err, ran, c.Value("user"))
	}
	if c, _, err = read(t, text, nil); err != nil || c.Value("user") != "" || !c.Volatile {
		t.Errorf("without a way to run: %v", err)
	}
	failing := func(context.Context, string, map[byte]string) (bool, error) { return false, errors.New("no shell") }
	if _, _, err := read(t, text, func(q *Query) { q.Exec = failing }); err == nil || !strings.Contains(err.Error(), "config:3: ") {
		t.Errorf("a command that cannot run: %v", err)
	}
}

func TestTrust(t *testing.T) {
	for mode, want := range map[fs.FileMode]bool{0o600: true, 0o644: true, 0o622: false, 0o646: false} {
		home := t.TempDir()
		if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(home, ".ssh/config")
		if err := os.WriteFile(file, []byte("User a\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Read(t.Context(), Query{Host: "h", Home: home, Log: slog.New(slog.DiscardHandler)})
		if (err == nil) != want {
			t.Errorf("mode %o: %v", mode, err)
		}
		if _, err := Read(t.Context(), Query{Host: "h", Home: home, File: file, Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Errorf("mode %o by -F: %v", mode, err)
		}
	}
	if os.Getuid() != 0 {
		return
	}
	_, _, err := read(t, "User a\n", func(q *Query) {
		if err := os.Chown(q.File, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("root reads somebody else's file: %v", err)
	}
}

func TestOwnGroup(t *testing.T) {
	dir := t.TempDir()
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	for name, c := range map[string]struct {
		passwd, group string
		want          bool
	}{
		"alone":              {"ann:x:7:8::/:\nbob:x:9:9::/:\n", "ann:x:8:\n", true},
		"alone and listed":   {"ann:x:7:8::/:\n", "ann:x:8:ann\n", true},
		"listed alone":       {"ann:x:7:1::/:\n", "work:x:8:ann\n", true},
		"somebody else too":  {"ann:x:7:8::/:\nbob:x:9:9::/:\n", "ann:x:8:bob\n", false},
		"of somebody else":   {"ann:x:7:8::/:\nbob:x:9:8::/:\n", "ann:x:8:\n", false},
		"nobody in it":       {"ann:x:7:1::/:\n", "empty:x:8:\n", false},
		"no such group here": {"ann:x:7:8::/:\n", "", false},
		"no such user here":  {"bob:x:9:9::/:\n", "ann:x:8:\n", false},
	} {
		if err := errors.Join(os.WriteFile(passwd, []byte(c.passwd), 0o600), os.WriteFile(group, []byte(c.group), 0o600)); err != nil {
			t.Fatal(err)
		}
		if got := ownGroup(8, 7, passwd, group); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A wildcard of Include finds neither hidden files nor what is a folder.
func TestIncludeWildcards(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"conf.d/a": "Port 7\n", "conf.d/.a.swp": "User swap\n", "conf.d/sub/b": "BindAddress b\n", "conf.d/.git/b": "User git\n",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		"conf.d/*": " 7 ", "conf.d/.a*": "swap  ", "conf.d//*/b": "  b", "conf.d/.git/*": "git  ", "conf.d/sub": "  ", `conf.d/\.a*`: "swap  ",
	} {
		c, _, err := read(t, "Include "+dir+"/"+pattern+"\n", nil)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got := c.Value("user") + " " + c.Value("port") + " " + c.Value("bindaddress"); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

func TestWildcard(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "x", true}, {"?", "", false}, {"a*b*c", "a-b-b-c", true}, {"a*b", "a-b-c", false},
		{"*.com", "x.com", true}, {"*.com", ".com", true}, {"", "", true}, {"", "x", false}, {"a?c", "abc", true}, {"a*", "a", true},
		{strings.Repeat("*a", 50), strings.Repeat("a", 49), false},
	} {
		if got := Wildcard(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q, %q: %v", tt.pattern, tt.s, got)
		}
	}
}

func TestParseHop(t *testing.T) {
	for _, tt := range []struct {
		in, user, host string
		port           int
		bad            bool
	}{
		{"host", "", "host", 0, false},
		{"me@host:2222", "me", "host", 2222, false},
		{"me@dom@host", "me@dom", "host", 0, false},
		{"[::1]:22", "", "::1", 22, false},
		{"::1", "", "::1", 0, false},
		{"ssh://me@host:23", "me", "host", 23, false},
		{"host:0", "", "", 0, true},
		{"host:ssh", "", "host", 22, false},
		{"-oProxyCommand=x", "", "", 0, true},
		{"@host", "", "", 0, true},
		{"", "", "", 0, true},
	} {
		user, host, port, err := ParseHop(tt.in)
		if (err != nil) != tt.bad || user != tt.user || host != tt.host || port != tt.port {
			t.Errorf("%q: %q %q %d %v", tt.in, user, host, port, err)
		}
	}
}

func TestChoose(t *testing.T) {
	defaults, supported := []string{"a", "b"}, []string{"a", "b", "c", "cc"}
	for _, tt := range []struct {
		list          string
		want, lacking []string
	}{
		{"", defaults, nil},
		{"c,a,x", []string{"c", "a"}, []string{"x"}},
		{"+c,a", []string{"a", "b", "c"}, nil},
		{"^b", []string{"b", "a"}, nil},
		{"-b*", []string{"a"}, nil},
		{"+c*", []string{"a", "b", "c", "cc"}, nil},
	} {
		got, lacking := Choose(tt.list, defaults, supported)
		if !slices.Equal(got, tt.want) || !slices.Equal(lacking, tt.lacking) {
			t.Errorf("%q: %q, %q", tt.list, got, lacking)
		}
	}
}

// A policy for all programs of the machine may name algorithms of its own ssh. What the
// user writes must be right.
func TestAlgorithmsOfTheSystem(t *testing.T) {
	for text, want := range map[string]string{
		"KexAlgorithms mlkem1024nistp384-sha384,x-kex,curve25519-sha256": "mlkem1024nistp384-sha384,curve25519-sha256",
		"Ciphers +x-cipher,aes256-cbc":                                   "+aes256-cbc",
		"MACs x-mac":                                                     "",
		"MACs ^x-mac\nMACs hmac-sha2-512":                                "hmac-sha2-512",
		"PubkeyAcceptedAlgorithms ssh-x,ssh-ed25519":                     "ssh-ed25519",
	} {
		file := filepath.Join(t.TempDir(), "ssh_config")
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		keyword, _, _ := strings.Cut(strings.ToLower(text), " ")
		for _, user := range []bool{false, true} {
			var log strings.Builder
			c := &Config{query: Query{Log: slog.New(slog.NewTextHandler(&log, nil))}, values: map[string][]string{}}
			r := &reader{ctx: t.Context(), config: c, unknown: map[string]bool{}}
			err := r.file(file, source{folder: filepath.Dir(file), user: user})
			switch {
			case user && err == nil:
				t.Errorf("%q is taken from the user's file", text)
			case !user && (strings.Contains(log.String(), "WARN") != strings.Contains(text, "x-mac")):
				t.Errorf("%q: log %s", text, &log)
			case !user && (err != nil || c.Value(keyword) != want || strings.Count(log.String(), "left out") != 1):
				t.Errorf("%q: %v, %q, log %s", text, err, c.Value(keyword), &log)
			}
		}
	}
}

// The key exchanges of Red Hat's policy, and keywords of which the value says nothing
// to a mount.
func TestTakenAsTheyAre(t *testing.T) {
	for _, text := range []string{
		"KexAlgorithms mlkem768nistp256-sha256,mlkem1024nistp384-sha384,mlkem768x25519-sha256,curve25519-sha256",
		"WarnWeakCrypto no-pq-kex", "WarnWeakCrypto yes", "KbdInteractiveDevices pam,bsdauth",
	} {
		c, log, err := read(t, text+"\nUser a\n", nil)
		if err != nil || c.Value("user") != "a" || log != "" {
			t.Errorf("%q: %v, %s", text, err, log)
		}
	}
}

func FuzzRead(f *testing.F) {
	data, err := os.ReadFile("testdata/configs.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, part := range strings.Split(string(data), "\n== ")[1:] {
		_, text, _ := strings.Cut(part, "\n")
		f.Add(text + "\n")
	}
	mixed, err := os.ReadFile("testdata/mixed.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(mixed))
	lookup := func(context.Context, string) (string, error) { return "", fs.ErrNotExist }
	f.Fuzz(func(t *testing.T, text string) {
		_, _, _ = read(t, text, func(q *Query) { q.Lookup = lookup })
	})
}
