package sshconfig

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// honoured are the keywords whose values mean something to a mount, as ssh -G
// names them.
var honoured = strings.Fields(`user hostname port addressfamily bindaddress bindinterface hostkeyalias identityfile
certificatefile identitiesonly identityagent addkeystoagent userknownhostsfile globalknownhostsfile hashknownhosts
stricthostkeychecking revokedhostkeys ciphers macs kexalgorithms hostkeyalgorithms pubkeyacceptedalgorithms
casignaturealgorithms requiredrsasize proxyjump proxycommand connecttimeout serveraliveinterval serveralivecountmax
canonicalizehostname canonicaldomains canonicalizefallbacklocal canonicalizemaxdots batchmode numberofpasswordprompts
passwordauthentication kbdinteractiveauthentication pubkeyauthentication preferredauthentications
nohostauthenticationforlocalhost gssapiauthentication`)

// A tableCase is a configuration and how ssh is called.
type tableCase struct {
	args []string
	text string
}

func (c tableCase) String() string { return fmt.Sprintf("ssh %q\n%s", c.args, c.text) }

// TestAgainstSSH holds what we read against what the installed ssh prints with
// -G: written cases, and as many again from a generator.
func TestAgainstSSH(t *testing.T) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
			t.Fatal("there is no ssh to compare with")
		}
		t.Skip("there is no ssh to compare with")
	}
	dir := includes(t)
	cases := writtenCases(t, dir)
	written := len(cases)
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("SSHCONFIG_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("SSHCONFIG_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for len(cases) < max(200, 2*written) {
		cases = append(cases, generate(random, dir))
	}
	keys, err := exec.Command(program, "-Q", "key").Output()
	if err != nil {
		t.Fatal(err)
	}
	dsa := strings.Contains(string(keys), "ssh-dss") // not since OpenSSH 10
	refused := 0
	for _, c := range cases {
		if !dsa {
			c.text = strings.ReplaceAll(c.text, ",ssh-dss", "")
		}
		theirs, err := askSSH(program, dir, c)
		ours, ourErr := askUs(t, dir, c)
		switch {
		case (err == nil) != (ourErr == nil):
			t.Errorf("%v\nssh says %v, we say %v", c, err, ourErr)
		case err != nil:
			refused++
		default:
			base, err := askSSH(program, dir, tableCase{args: c.args[len(c.args)-1:]})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, c, theirs, base, ours, dsa)
		}
	}
	t.Logf("%d configurations, %d of them written, %d refused by both", len(cases), written, refused)
}

func includes(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "inc"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a": "User inca\n", "b": "Host h\nPort 77\nHost *\nIdentityFile ~/b\n",
		"bad": "Port wrong wrong\n", "deep": "Include " + dir + "/inc/deep\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "inc", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writtenCases(t *testing.T, dir string) []tableCase {
	data, err := os.ReadFile("testdata/configs.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []tableCase
	for _, part := range strings.Split(string(data), "\n== ")[1:] {
		head, text, _ := strings.Cut(part+"\n", "\n")
		args, err := splitWords(head)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, tableCase{args, strings.ReplaceAll(text, "DIR", dir)})
	}
	return cases
}

func askSSH(program, dir string, c tableCase) (map[string][]string, error) {
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, append([]string{"-G", "-F", file}, c.args...)...)
	cmd.Env = append(os.Environ(), "SHELL=/bin/sh")
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		return nil, fmt.Errorf("%w: %s", err, stderr)
	}
	values := map[string][]string{}
	for _, l := range strings.Split(string(out), "\n") {
		name, value, _ := strings.Cut(l, " ")
		values[strings.ToLower(name)] = append(values[strings.ToLower(name)], value)
	}
	return values, nil
}

func askUs(t *testing.T, dir string, c tableCase) (*Config, error) {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	q := Query{
		File: filepath.Join(dir, "config"), Home: u.HomeDir, LocalUser: u.Username, UID: os.Getuid(),
		Exec: func(ctx context.Context, command string, tokens map[byte]string) (bool, error) {
			command, err := Expand(command, tokens)
			if err != nil {
				return false, err
			}
			return exec.CommandContext(ctx, "/bin/sh", "-c", command).Run() == nil, nil
		},
		Lookup: func(context.Context, string) (string, error) { return "", os.ErrNotExist },
		Log:    slog.New(slog.DiscardHandler),
	}
	args := c.args
	for ; len(args) > 1; args = args[2:] {
		switch args[0] {
		case "-l":
			q.User = args[1]
		case "-p":
			if q.Port, err = strconv.Atoi(args[1]); err != nil {
				t.Fatal(err)
			}
		case "-o":
			q.Options = append(q.Options, args[1])
		default:
			t.Fatalf("%q", args)
		}
	}
	at := strings.LastIndexByte(args[0], '@')
	if q.Host = args[0][at+1:]; at >= 0 {
		q.User = args[0][:at]
	}
	return Read(t.Context(), q)
}

func compare(t *testing.T, c tableCase, theirs, base map[string][]string, ours *Config, dsa bool) {
	t.Helper()
	for _, name := range honoured {
		want, got := theirs[name], base[name]
		if v := ours.List(name); v != nil {
			got = printed(name, ours.query.Home, slices.Clone(v))
		}
		if name == "hostname" {
			got = []string{ours.Host()}
		}
		switch name {
		case "user":
			if ours.List(name) == nil {
				got = base[name]
			}
		case "serveraliveinterval":
			if ours.Yes("batchmode") {
				continue // Debian's ssh sets it then
			}
		case "ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms", "casignaturealgorithms":
			supported := supportedHere(name)
			if !dsa {
				supported = slices.DeleteFunc(supported, func(a string) bool { return strings.HasPrefix(a, "ssh-dss") })
			}
			want = []string{strings.Join(shared(want, supported), ",")}
			chosen, _ := Choose(ours.Value(name), shared(base[name], supported), supported)
			got = []string{strings.Join(chosen, ",")}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v\n%s: we have %q, ssh %q", c, name, got, want)
		}
	}
}

// shared are the algorithms of a printed list that both have.
func shared(printed, supported []string) []string {
	if len(printed) == 0 {
		return nil
	}
	return slices.DeleteFunc(strings.Split(printed[0], ","), func(a string) bool { return !slices.Contains(supported, a) })
}

// supportedHere is what x/crypto/ssh has, in OpenSSH's order.
func supportedHere(name string) []string {
	safe, old := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	switch name {
	case "ciphers":
		return Ordered(slices.Concat(safe.Ciphers, old.Ciphers))
	case "macs":
		return Ordered(slices.Concat(safe.MACs, old.MACs))
	case "kexalgorithms":
		return Ordered(slices.Concat(safe.KeyExchanges, old.KeyExchanges))
	}
	return Ordered(slices.Concat(safe.HostKeys, old.HostKeys))
}

// printed writes our value as ssh -G writes it.
func printed(name, home string, v []string) []string {
	switch name {
	case "canonicalizehostname", "stricthostkeychecking", "addkeystoagent", "pubkeyauthentication":
		for from, to := range map[string]string{"yes": "true", "no": "false"} {
			if v[0] == from {
				return []string{to}
			}
		}
	}
	switch name {
	case "addkeystoagent":
		if len(v) == 2 {
			return []string{v[0] + " " + v[1]}
		}
	case "userknownhostsfile", "globalknownhostsfile", "canonicaldomains":
		for i := range v { // ssh puts the home folder in while it reads
			if rest, ok := strings.CutPrefix(v[i], "~/"); ok {
				v[i] = filepath.Join(home, rest)
			}
		}
		return []string{strings.Join(v, " ")}
	case "proxyjump", "proxycommand":
		if strings.EqualFold(v[0], "none") {
			return nil
		}
		return []string{strings.NewReplacer("ssh://", "", ":ssh", ":22").Replace(v[0])}
	}
	return v
}

// generate makes a configuration of the parts that people use.
func generate(r *rand.Rand, dir string) tableCase {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	host := pick("h", "H", "work", "a.example.org", "10.0.0.7", "h1", "db-2.example.org")
	pattern := func() string {
		return pick("h", "*", "h?", "*.example.org", "work", "10.0.*", "!h", "!*.example.org", "db-*", "nosuch")
	}
	option := func() string {
		return pick("User", "uSER ", "User =") + " " + pick("ann", `"bob b"`, "'c'", "d#1", "e # f")
	}
	options := []func() string{
		option,
		func() string { return "Port " + strconv.Itoa(1+r.IntN(70000)) },
		func() string { return "HostName " + pick("%h", "%h.lan", "real.example", "10.1.2.3", "X.Y", "::1") },
		func() string { return "IdentityFile " + pick("~/a", "~/b", "%d/%r", "none", `"/with blank"`) },
		func() string { return "CertificateFile " + pick("~/a", "/b") },
		func() string { return "IdentitiesOnly " + pick("yes", "no", "TRUE", "nope") },
		func() string { return "ProxyJump " + pick("j", "none", "a,b:23", "me@j:22", "[::1]:5", ",", "j # c") },
		func() string { return "ProxyCommand " + pick("none", "nc %h %p", `sh -c "x"`, "'", "= y") },
		func() string { return "HostKeyAlias " + pick("k", "K2") },
		func() string { return "StrictHostKeyChecking " + pick("yes", "no", "ask", "accept-new", "off", "bad") },
		func() string { return "UserKnownHostsFile " + pick("/a", "/a /b", "none", "/a none", `"/a b"`) },
		func() string { return "ServerAliveInterval " + pick("0", "15", "1m", "2x", "none") },
		func() string { return "ServerAliveCountMax " + pick("1", "3", "x") },
		func() string { return "ConnectTimeout=" + pick("5", "1m30s", "none") },
		func() string {
			return "Ciphers " + pick("", "+", "-", "^") + pick("aes128-ctr", "aes256-ctr,aes128-cbc", "3des-cbc", "nosuch", "aes*")
		},
		func() string {
			return "KexAlgorithms " + pick("", "+", "-", "^") + pick("curve25519-sha256", "diffie-hellman-group14-sha1", "ecdh*")
		},
		func() string {
			return "MACs " + pick("", "+", "-", "^") + pick("hmac-sha2-256", "hmac-sha1", "hmac-md5,hmac-sha2-512", "hmac*")
		},
		func() string {
			return "HostKeyAlgorithms " + pick("", "+", "-", "^") + pick("ssh-ed25519", "ssh-rsa", "ssh-*", "rsa-sha2-512,ssh-dss", "x*")
		},
		func() string { return "PubkeyAcceptedAlgorithms " + pick("+ssh-rsa", "-ssh-*", "ssh-ed25519") },
		func() string { return "AddressFamily " + pick("any", "inet", "INET6", "ipx") },
		func() string { return "BindAddress " + pick("127.0.0.1", "::1") },
		func() string { return "Include " + dir + "/inc/" + pick("a", "b", "?", "none", "bad") },
		func() string {
			return pick("ForwardX11", "Compression", "VisualHostKey") + " " + pick("yes", "no", "bad")
		},
		func() string { return pick("SendEnv", "SetEnv", "RekeyLimit") + " A=1" },
		func() string { return pick("", "# comment", "   ", "\t# x") },
		func() string {
			return "PasswordAuthentication " + pick("yes", "no") + "\nPreferredAuthentications " + pick("publickey", "password,publickey")
		},
	}
	criteria := func() string {
		return pick("", "!") + pick("host "+pattern(), "host h,work", "originalhost "+pattern(), "user ann", "user *,!ann", "localuser *",
			"final", "canonical", `exec "test %h = h"`, "exec true", "exec=false", "all")
	}
	var b strings.Builder
	for range 1 + r.IntN(4) {
		switch r.IntN(5) {
		case 0:
			b.WriteString("Match " + criteria() + "\n")
		case 1:
			b.WriteString("Match " + criteria() + " " + criteria() + "\n")
		case 2, 3:
			b.WriteString("Host " + pattern() + " " + pattern() + "\n")
		}
		for range r.IntN(4) {
			b.WriteString(pick("", "", "  ", "\t") + options[r.IntN(len(options))]() + "\n")
		}
	}
	args := []string{host}
	if r.IntN(4) == 0 {
		args = []string{"-l", "ann", host}
	}
	return tableCase{args, b.String()}
}
