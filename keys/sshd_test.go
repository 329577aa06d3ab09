package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// needTool finds a program of the machine. Where everything must be tested, one
// that is missing is a failure.
func needTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err == nil {
		return path
	}
	if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is needed and not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// run runs a tool and gives its output; a failure ends the test.
func run(t testing.TB, stdin string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(needTool(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// An sshd is a real OpenSSH server on a loopback port, with throw-away host
// keys and an authorized_keys file that tests write to.
type sshd struct {
	t          testing.TB
	dir        string
	port       int
	hostKeys   map[string]ssh.PublicKey // by type
	log        *lockedBuffer
	authorized string
	cmd        *exec.Cmd
}

// startSSHD runs sshd in the foreground with the given lines of sshd_config
// added.
func startSSHD(t testing.TB, options ...string) *sshd {
	t.Helper()
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := &sshd{t: t, dir: t.TempDir(), hostKeys: map[string]ssh.PublicKey{}, log: &lockedBuffer{}}
	s.authorized = filepath.Join(s.dir, "authorized_keys")
	s.writeFile("authorized_keys", "")
	var lines []string
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		file := filepath.Join(s.dir, "host_"+kind)
		run(t, "", "ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file)
		key, err := readPublicKey(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		s.hostKeys[key.Type()] = key
		lines = append(lines, "HostKey "+file)
	}
	s.port = freePort(t)
	lines = append(lines, options...)
	lines = append(lines,
		fmt.Sprintf("ListenAddress 127.0.0.1:%d", s.port),
		"AuthorizedKeysFile "+s.authorized, "StrictModes no", "PidFile none", "UsePAM no",
		"LogLevel VERBOSE", "Subsystem sftp internal-sftp", "PasswordAuthentication no",
		"KbdInteractiveAuthentication no", "PermitRootLogin yes", "MaxStartups 100:30:200")
	if settings, err := exec.Command(needTool(t, "sshd"), "-T", "-f", "/dev/null", "-h", filepath.Join(s.dir, "host_ed25519")).Output(); err == nil && bytes.Contains(settings, []byte("\npersourcepenalties ")) {
		lines = append(lines, "PerSourcePenalties no") // it would punish a scan of keys
	}
	s.writeFile("sshd_config", strings.Join(lines, "\n")+"\n")
	s.start()
	return s
}

func (s *sshd) writeFile(name, content string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

func (s *sshd) start() {
	s.t.Helper()
	s.cmd = exec.Command(needTool(s.t, "sshd"), "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.stop)
	for range 200 {
		nc, err := net.Dial("tcp", s.address())
		if err == nil {
			_ = nc.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("sshd does not listen:\n%s", s.log)
}

func (s *sshd) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *sshd) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// authorize makes these keys the only ones that can log in.
func (s *sshd) authorize(keys ...ssh.PublicKey) {
	s.t.Helper()
	var text bytes.Buffer
	for _, k := range keys {
		text.Write(ssh.MarshalAuthorizedKey(k))
	}
	s.writeFile("authorized_keys", text.String())
}

// hostLines are known_hosts lines for the server.
func (s *sshd) hostLines(types ...string) string {
	var text strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(s.hostKeys)) {
		if len(types) == 0 || types[0] == kind {
			text.WriteString(knownHostsLine(hostName("127.0.0.1", s.port), s.hostKeys[kind], false) + "\n")
		}
	}
	return text.String()
}

// config is a client's configuration that touches nothing of the machine's.
func (s *sshd) config() ClientConfig {
	s.t.Helper()
	cfg := isolated(s.t)
	cfg.Host, cfg.Port = "127.0.0.1", s.port
	return cfg
}

// isolated is a configuration without agent, ssh_config or known hosts but its
// own.
func isolated(t testing.TB) ClientConfig {
	t.Helper()
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	return ClientConfig{
		Home: home, ConfigFile: "none", Agent: "none", GlobalKnownHosts: []string{},
		StateDir: filepath.Join(home, "state"), KnownHosts: []string{filepath.Join(home, ".ssh/known_hosts")},
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// login makes a connection and ends it.
func login(t testing.TB, cfg ClientConfig) error {
	t.Helper()
	c, err := NewClient(t.Context(), cfg)
	if err != nil {
		return err
	}
	return loginWith(t, c)
}

func loginWith(t testing.TB, c *Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, _, err := c.connect(ctx)
	if err != nil {
		return err
	}
	if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		return err
	}
	return client.Close()
}

// scripted answers questions in order, and remembers them.
type scripted struct {
	answers []string
	asked   []Prompt
}

func (s *scripted) Ask(_ context.Context, p Prompt) (string, error) {
	s.asked = append(s.asked, p)
	if len(s.answers) == 0 {
		return "", errors.New("a question too many: " + p.Text)
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return answer, nil
}
