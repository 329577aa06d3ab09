package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func testSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// newChecker is a checker over files in a temporary folder.
func newChecker(t testing.TB, name, content string) *hostChecker {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "known_hosts")
	if content != "" {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, _ := captureLog()
	return &hostChecker{
		known: &KnownHosts{Files: []string{file}, StateDir: filepath.Join(dir, "state"), Log: log},
		name:  name, policy: PolicyAuto, now: time.Now, log: log,
	}
}

func kindOf(err error) HostKeyKind {
	var e *HostKeyError
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func TestKnownHostsDecisions(t *testing.T) {
	signer, other := testSigner(t), testSigner(t)
	key, wrong := signer.PublicKey(), other.PublicKey()
	k, w := PublicLine(key, ""), PublicLine(wrong, "")
	hashed := func(name string, key ssh.PublicKey) string { return knownHostsLine(name, key, true) }
	tests := []struct {
		name   string
		host   string
		file   string
		policy Policy
		want   HostKeyKind // 0: accepted
	}{
		{"known", "host", "host " + k, PolicyStrict, 0},
		{"known in capitals", "host", "HOST " + k, PolicyStrict, 0},
		{"second of two keys", "host", "host " + w + "\nhost " + k, PolicyStrict, 0},
		{"changed", "host", "host " + w, PolicyAuto, HostKeyChanged},
		{"changed, insecure", "host", "host " + w, PolicyInsecure, 0},
		{"unknown, auto", "host", "", PolicyAuto, 0},
		{"unknown, strict", "host", "other " + k, PolicyStrict, HostKeyUnknown},
		{"unknown, ask with nobody", "host", "", PolicyAsk, HostKeyUnknown},
		{"hashed", "host", hashed("host", key), PolicyStrict, 0},
		{"hashed, changed", "host", hashed("host", wrong), PolicyAuto, HostKeyChanged},
		{"port", "[host]:2222", "[host]:2222 " + k, PolicyStrict, 0},
		{"port changed", "[host]:2222", "[host]:2222 " + w, PolicyAuto, HostKeyChanged},
		{"port hashed", "[host]:2222", hashed("[host]:2222", key), PolicyStrict, 0},
		{"port vouched for without it", "[host]:2222", "host " + k, PolicyStrict, 0},
		{"port not changed by a line without it", "[host]:2222", "host " + w, PolicyAuto, 0},
		{"other port unknown", "[host]:2222", "[host]:2223 " + w, PolicyStrict, HostKeyUnknown},
		{"wildcard", "a.example.com", "*.example.com " + k, PolicyStrict, 0},
		{"wildcard for a port", "[a.example.com]:2222", "[*.example.com]:2222 " + k, PolicyStrict, 0},
		{"wildcard without the port", "[a.example.com]:2222", "*.example.com " + k, PolicyStrict, 0},
		{"question mark", "10.0.0.7", "10.0.0.? " + k, PolicyStrict, 0},
		{"negation", "a.example.com", "*.example.com,!a.example.com " + w + "\na.example.com " + k, PolicyStrict, 0},
		{"revoked", "host", "host " + k + "\n@revoked * " + k, PolicyAuto, HostKeyRevoked},
		{"revoked for others", "host", "host " + k + "\n@revoked other " + k, PolicyStrict, 0},
		{"an authority's key as a plain key", "host", "@cert-authority * " + k, PolicyAuto, HostKeyUncertified},
		{"no certificate where there should be one", "host", "@cert-authority host " + w, PolicyAuto, HostKeyUncertified},
		{"plain key beside an authority", "host", "@cert-authority * " + w + "\nhost " + k, PolicyStrict, 0},
		{"bad lines", "host", "junk\n@unknown host " + k + "\nhost ssh-rsa AAAA\n|1|x|y " + k + "\nhost " + k, PolicyStrict, 0},
		{"CRLF", "host", "host " + k + "\r\n", PolicyStrict, 0},
		{"type of another key", "host", "host ssh-rsa " + strings.Fields(k)[1], PolicyStrict, HostKeyUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newChecker(t, tt.host, tt.file)
			h.policy = tt.policy
			err := h.check(context.Background(), key)
			if (err == nil) != (tt.want == 0) || kindOf(err) != tt.want {
				t.Fatalf("got %v, want kind %d", err, tt.want)
			}
			if tt.want == HostKeyChanged && !strings.Contains(err.Error(), ssh.FingerprintSHA256(wrong)) {
				t.Fatalf("the old fingerprint is missing: %v", err)
			}
		})
	}
}

// A changed host stays refused when its old key comes back, until accepted.
func TestChangedHostStaysDisabled(t *testing.T) {
	ctx := context.Background()
	old, impostor := testSigner(t).PublicKey(), testSigner(t).PublicKey()
	h := newChecker(t, "[host]:2222", "[host]:2222,friend "+PublicLine(old, "mine")+"\n")
	if err := h.check(ctx, old); err != nil {
		t.Fatal(err)
	}
	for _, key := range []ssh.PublicKey{impostor, old, impostor} {
		err := h.check(ctx, key)
		var e *HostKeyError
		if !errors.As(err, &e) || e.Kind != HostKeyChanged || e.New != ssh.FingerprintSHA256(impostor) || e.Old[0] != ssh.FingerprintSHA256(old) {
			t.Fatalf("got %v", err)
		}
	}
	// Another process sees it as well.
	second := &hostChecker{known: h.known, name: h.name, policy: PolicyAuto, now: time.Now, log: h.log}
	if kindOf(second.check(ctx, old)) != HostKeyChanged {
		t.Fatal("a second process lets the host in")
	}
	if err := h.known.Accept(h.name, impostor); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.check(ctx, impostor), second.check(ctx, impostor)); err != nil {
		t.Fatalf("after accept: %v", err)
	}
	if kindOf(h.check(ctx, old)) != HostKeyChanged {
		t.Fatal("the key before is still accepted")
	}
	friend := &hostChecker{known: h.known, name: "friend", policy: PolicyStrict, now: time.Now, log: h.log}
	if err := friend.check(ctx, old); err != nil {
		t.Fatalf("accepting for one name took the key of another: %v", err)
	}
}

// When the change cannot be written down, this process still stays away.
func TestChangedHostWithoutStateFolder(t *testing.T) {
	old, impostor := testSigner(t).PublicKey(), testSigner(t).PublicKey()
	h := newChecker(t, "host", "host "+PublicLine(old, "")+"\n")
	h.known.StateDir = "/dev/null/state"
	for _, key := range []ssh.PublicKey{impostor, old} {
		if err := h.check(context.Background(), key); err == nil {
			t.Fatal("accepted")
		}
	}
}

func TestPins(t *testing.T) {
	signer := testSigner(t)
	key, wrong := signer.PublicKey(), testSigner(t).PublicKey()
	for _, text := range []string{
		ssh.FingerprintSHA256(key), ssh.FingerprintSHA256(key) + "=", PublicLine(key, "comment"),
		strings.Fields(PublicLine(key, ""))[1],
	} {
		p, err := parsePin(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		h := newChecker(t, "host", "host "+PublicLine(wrong, ""))
		h.pins = []pin{p}
		if err := h.check(context.Background(), key); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := h.check(context.Background(), wrong); kindOf(err) != HostKeyMismatch {
			t.Fatalf("%q: %v", text, err)
		}
	}
	for _, bad := range []string{"", "SHA256:abc", "SHA256:" + strings.Repeat("!", 43), "MD5:00:11", "ssh-rsa AAAA", "junk"} {
		if _, err := parsePin(bad); err == nil {
			t.Errorf("%q is taken for a host key", bad)
		}
	}
}

func TestHostCertificates(t *testing.T) {
	ca, stranger, host := testSigner(t), testSigner(t), testSigner(t)
	certify := func(change func(*ssh.Certificate), by ssh.Signer) ssh.PublicKey {
		cert := &ssh.Certificate{
			Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"host"},
			ValidAfter: uint64(time.Now().Add(-time.Hour).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
		}
		change(cert)
		if err := cert.SignCert(rand.Reader, by); err != nil {
			t.Fatal(err)
		}
		return cert
	}
	expired := certify(func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(-time.Minute).Unix()) }, ca)
	hostLine := PublicLine(host.PublicKey(), "") + "\n"
	known := "@cert-authority *.example.com,host,[host]:* " + PublicLine(ca.PublicKey(), "") + "\n"
	tests := []struct {
		name   string
		key    ssh.PublicKey
		file   string
		want   HostKeyKind
		port22 bool
	}{
		{"good", certify(func(*ssh.Certificate) {}, ca), known, 0, true},
		{"good, other port", certify(func(*ssh.Certificate) {}, ca), known, 0, false},
		{"for another host", certify(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"other"} }, ca), known, HostKeyUncertified, true},
		{"expired", expired, known, HostKeyUncertified, true},
		{"for a user", certify(func(c *ssh.Certificate) { c.CertType = ssh.UserCert }, ca), known, HostKeyUncertified, true},
		{"of a stranger", certify(func(*ssh.Certificate) {}, stranger), known, HostKeyUncertified, true},
		{"revoked authority", certify(func(*ssh.Certificate) {}, ca), known + "@revoked * " + PublicLine(ca.PublicKey(), "") + "\n", HostKeyRevoked, true},
		{"revoked key", certify(func(*ssh.Certificate) {}, ca), known + "@revoked * " + PublicLine(host.PublicKey(), "") + "\n", HostKeyRevoked, true},
		{"expired, key known", expired, known + "host " + hostLine, 0, true},
		{"expired, key known without the port", expired, known + "host " + hostLine, 0, false},
		{"expired, another key known", expired, known + "host " + PublicLine(stranger.PublicKey(), "") + "\n", HostKeyUncertified, true},
		{"expired, key known and revoked", expired, known + "host " + hostLine + "@revoked * " + hostLine, HostKeyRevoked, true},
		{"for another host, key known", certify(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"other"} }, ca), known + "host " + hostLine, 0, true},
		{"of a stranger, key known", certify(func(*ssh.Certificate) {}, stranger), known + "host " + PublicLine(host.PublicKey(), "") + "\n", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := "[host]:2222"
			if tt.port22 {
				name = "host"
			}
			if err := newChecker(t, name, tt.file).check(context.Background(), tt.key); kindOf(err) != tt.want || (err == nil) != (tt.want == 0) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// Many first contacts at once, of many processes' worth of checkers, leave a
// sound file with each host in it once.
func TestConcurrentFirstContacts(t *testing.T) {
	h := newChecker(t, "host0", "# no newline at the end")
	var wg sync.WaitGroup
	keys := make([]ssh.PublicKey, 20)
	for i := range keys {
		keys[i] = testSigner(t).PublicKey()
		for range 4 {
			wg.Go(func() {
				one := &hostChecker{known: h.known, name: fmt.Sprintf("host%d", i), policy: PolicyAuto, now: time.Now, log: h.log}
				if err := one.check(context.Background(), keys[i]); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	list, err := h.known.List()
	if err != nil || len(list) != len(keys) {
		t.Fatalf("%d entries, %v", len(list), err)
	}
}

// Two servers answer for one new host at once: only one of them wins.
func TestConcurrentFirstContactsOfTwoKeys(t *testing.T) {
	h := newChecker(t, "host", "")
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		key := testSigner(t).PublicKey()
		wg.Go(func() { errs[i] = h.check(context.Background(), key) })
	}
	wg.Wait()
	good := 0
	for _, err := range errs {
		if err == nil {
			good++
		} else if kindOf(err) != HostKeyChanged {
			t.Errorf("got %v", err)
		}
	}
	if good != 1 {
		t.Fatalf("%d keys accepted for one host", good)
	}
}

// ssh-keygen reads what we write, and finds hashed hosts.
func TestKnownHostsAreReadByOpenSSH(t *testing.T) {
	for _, hashed := range []bool{false, true} {
		h := newChecker(t, "[host]:2222", "")
		h.known.Hashed = hashed
		key := testSigner(t).PublicKey()
		if err := h.check(context.Background(), key); err != nil {
			t.Fatal(err)
		}
		out := run(t, "", "ssh-keygen", "-F", "[host]:2222", "-l", "-f", h.known.Files[0])
		if !strings.Contains(out, ssh.FingerprintSHA256(key)) {
			t.Fatalf("hashed %v: %s", hashed, out)
		}
		content, err := os.ReadFile(h.known.Files[0])
		if err != nil || strings.Contains(string(content), "host]") == hashed {
			t.Fatalf("hashed %v: %s", hashed, content)
		}
		run(t, "", "ssh-keygen", "-R", "[host]:2222", "-f", h.known.Files[0])
		if err := h.check(context.Background(), key); err != nil {
			t.Fatalf("after ssh-keygen -R: %v", err)
		}
	}
}

func TestForget(t *testing.T) {
	key := testSigner(t).PublicKey()
	h := newChecker(t, "host", "host,other "+PublicLine(key, "")+"\n*.com "+PublicLine(key, "")+"\n")
	if n, err := h.known.Forget("host"); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := h.known.Forget("a.com"); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	got, err := os.ReadFile(h.known.Files[0])
	want := "other " + PublicLine(key, "") + "\n*.com,!a.com " + PublicLine(key, "") + "\n"
	if err != nil || string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if n, err := h.known.Forget("nowhere"); err != nil || n != 0 {
		t.Fatalf("%d, %v", n, err)
	}
}

// A file of the system's that cannot be read is passed over, and said once. The user's
// own refuses: what it would say is not known.
func TestUnreadableKnownHosts(t *testing.T) {
	key := testSigner(t).PublicKey()
	h := newChecker(t, "host", "host "+PublicLine(key, "")+"\n")
	log, out := captureLog()
	h.known.Log, h.known.Global = log, []string{t.TempDir()}
	for range 2 {
		if err := h.check(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "cannot be read"); n != 1 {
		t.Errorf("said %d times: %s", n, out)
	}
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	global := h.known.Global
	h.known.Global = []string{loop}
	if err := h.check(t.Context(), key); kindOf(err) != HostKeyUnknown {
		t.Errorf("the system's file cannot be read for another reason: %v", err)
	}
	h.known.Global = global
	h.known.Files = append(h.known.Files, t.TempDir())
	if err := h.check(t.Context(), key); kindOf(err) != HostKeyUnknown {
		t.Errorf("the user's file cannot be read: %v", err)
	}
}

// With /dev/null in the place of known_hosts nothing is kept beyond the run, and a change
// within it shows all the same, until it is accepted.
func TestKnownHostsThatKeepNothing(t *testing.T) {
	h := newChecker(t, "host", "")
	h.known.Files = []string{"/dev/null"}
	first, second := testSigner(t).PublicKey(), testSigner(t).PublicKey()
	for i, step := range []struct {
		key  ssh.PublicKey
		want HostKeyKind
	}{{first, 0}, {second, HostKeyChanged}, {first, HostKeyChanged}} {
		if err := h.check(t.Context(), step.key); kindOf(err) != step.want {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if err := h.known.Accept("host", second); err != nil {
		t.Fatal(err)
	}
	if err := h.check(t.Context(), second); err != nil {
		t.Fatalf("after accept: %v", err)
	}
	if err := h.check(t.Context(), first); kindOf(err) != HostKeyChanged {
		t.Fatalf("the key before is still accepted: %v", err)
	}
	if n, err := h.known.Forget("host"); err != nil || n != 0 {
		t.Fatalf("%d, %v", n, err)
	}
}

// The key that was accepted is the only one, by whichever process.
func TestAcceptWhereNothingIsKept(t *testing.T) {
	for _, ours := range []bool{true, false} {
		h := newChecker(t, "host", "")
		h.known.Files = []string{"/dev/null"}
		accept := &KnownHosts{Files: h.known.Files, StateDir: h.known.StateDir, Log: h.known.Log}
		if ours {
			accept = h.known
		}
		first, second := testSigner(t).PublicKey(), testSigner(t).PublicKey()
		if err := h.check(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if err := h.check(t.Context(), second); kindOf(err) != HostKeyChanged {
			t.Fatal(err)
		}
		if err := accept.Accept("host", second); err != nil {
			t.Fatal(err)
		}
		if err := h.check(t.Context(), testSigner(t).PublicKey()); kindOf(err) != HostKeyChanged {
			t.Errorf("another key than the one accepted: %v", err)
		}
		if err := accept.Accept("host", second); err != nil {
			t.Fatal(err)
		}
		if err := h.check(t.Context(), second); ours && err != nil {
			t.Errorf("the key accepted: %v", err)
		}
	}
}

// A second file in which nothing is to change is neither written to nor made.
func TestSecondKnownHosts(t *testing.T) {
	key, h := testSigner(t).PublicKey(), newChecker(t, "host", "")
	second := h.known.Files[0] + "2"
	h.known.Files = append(h.known.Files, second)
	accept := func() error { return h.known.Accept("host", key) }
	forget := func() error { _, err := h.known.Forget("host"); return err }
	if err := errors.Join(accept(), forget()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(second); err == nil {
		t.Error("an empty second file was made")
	}
	// Not even root may open a program for writing while it runs.
	program, err := os.ReadFile(needTool(t, "sleep"))
	if err == nil {
		err = os.WriteFile(second, program, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: second, Args: []string{"sleep", "60"}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	if err := errors.Join(accept(), forget()); err != nil {
		t.Errorf("a file that cannot be written to: %v", err)
	}
}

// A linked known_hosts stays a link.
func TestAcceptKeepsSymlinks(t *testing.T) {
	h := newChecker(t, "host", "host "+PublicLine(testSigner(t).PublicKey(), "")+"\n")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(h.known.Files[0], link); err != nil {
		t.Fatal(err)
	}
	h.known.Files = []string{link}
	if err := h.known.Accept("host", testSigner(t).PublicKey()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Fatalf("%v, %v", info, err)
	}
	if list, err := h.known.List(); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
}

func TestAskAboutUnknownHost(t *testing.T) {
	key := testSigner(t).PublicKey()
	for answer, ok := range map[string]bool{"yes": true, "no": false, "": false, ssh.FingerprintSHA256(key): true, "SHA256:x": false} {
		h := newChecker(t, "host", "")
		h.policy = PolicyAsk
		h.ask = func(_ context.Context, p Prompt) (string, error) {
			if !strings.Contains(p.Text, ssh.FingerprintSHA256(key)) || !p.Confirm {
				t.Errorf("asked %+v", p)
			}
			return answer, nil
		}
		if err := h.check(context.Background(), key); (err == nil) != ok {
			t.Errorf("answer %q: %v", answer, err)
		}
	}
}

// The type on file is asked for first, so that a server with three keys is not
// taken for a changed one; and a pinned fingerprint finds its key.
func TestServerWithSeveralKeys(t *testing.T) {
	server := startSSHD(t)
	file, public := newKeyFile(t, "")
	server.authorize(public)
	for kind, key := range server.hostKeys {
		cfg := server.config()
		cfg.Identities, cfg.Policy = []string{file}, PolicyStrict
		if err := os.WriteFile(cfg.KnownHosts[0], []byte(server.hostLines(kind)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := login(t, cfg); err != nil {
			t.Errorf("%s on file: %v", kind, err)
		}
		for _, pin := range []string{ssh.FingerprintSHA256(key), PublicLine(key, "")} {
			cfg := server.config()
			cfg.Identities, cfg.HostKeys = []string{file}, []string{pin}
			if err := login(t, cfg); err != nil {
				t.Errorf("pinned %s: %v", pin, err)
			}
		}
	}
	cfg := server.config()
	cfg.Identities, cfg.HostKeys = []string{file}, []string{ssh.FingerprintSHA256(public)}
	if err := login(t, cfg); kindOf(err) != HostKeyMismatch {
		t.Errorf("wrong pin: %v", err)
	}
}

// Another server takes the address over: it learns nothing, not even a user
// name, and the old one is refused as well until accepted.
func TestAnotherServerTakesOver(t *testing.T) {
	server := startSSHD(t)
	file, public := newKeyFile(t, "")
	server.authorize(public)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.config()
	cfg.Identities, cfg.User = []string{file}, me.Username
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := loginWith(t, client); err != nil {
		t.Fatal(err)
	}
	server.stop()
	keep := filepath.Join(server.dir, "host_ed25519")
	if err := os.Rename(keep, keep+".old"); err != nil {
		t.Fatal(err)
	}
	run(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keep)
	before := len(server.log.String())
	server.start()
	if err := loginWith(t, client); kindOf(err) != HostKeyChanged {
		t.Fatalf("got %v", err)
	}
	time.Sleep(100 * time.Millisecond)
	if seen := server.log.String()[before:]; strings.Contains(seen, "user") || strings.Contains(seen, "publickey") {
		t.Fatalf("the impostor learned something:\n%s", seen)
	}
	server.stop()
	if err := os.Rename(keep+".old", keep); err != nil {
		t.Fatal(err)
	}
	server.start()
	if err := loginWith(t, client); kindOf(err) != HostKeyChanged {
		t.Fatalf("the old key came back: %v", err)
	}
	if kindOf(client.Blocked()) != HostKeyChanged {
		t.Fatal("not blocked")
	}
	if err := client.Hosts().Accept(client.Settings().HostKeyName, server.hostKeys[ssh.KeyAlgoED25519]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(client.Blocked(), loginWith(t, client)); err != nil {
		t.Fatalf("after accept: %v", err)
	}
}
