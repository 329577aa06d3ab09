package lab

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// An SSHD is OpenSSH's server, run by and for the Lab's user on a free port of
// loopback. It lets in the key in Identity and nothing else.
type SSHD struct {
	Port       int
	User       string
	Identity   string // the file of a private key that may log in
	KnownHosts string // a file with the host key, under Port and under no other
	HostKey    ssh.PublicKey

	lab    *Lab
	dir    string
	config string
	cmd    *exec.Cmd
	exited chan struct{}
}

// StartSSHD starts a server. options are lines of sshd_config(5), which go
// before the Lab's own and thereby win.
func (l *Lab) StartSSHD(options ...string) (*SSHD, error) {
	dir, err := os.MkdirTemp(l.Dir, "sshd-")
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, l.User.UID, l.User.GID); err != nil {
		return nil, err
	}
	s := &SSHD{
		User: l.User.Name, lab: l, dir: dir,
		Identity: filepath.Join(dir, "identity"), KnownHosts: filepath.Join(dir, "known_hosts"),
	}
	public, err := s.writeKey(s.Identity)
	if err == nil {
		err = l.WriteFile(filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(public), 0o600)
	}
	if err == nil {
		s.HostKey, err = s.writeKey(filepath.Join(dir, "host_key"))
	}
	if err != nil {
		return nil, err
	}
	return s, s.startOnFreePort(options)
}

// startOnFreePort tries again when somebody else took the port between our
// looking and sshd's binding it.
func (s *SSHD) startOnFreePort(options []string) error {
	var err error
	for range 5 {
		if s.Port, err = freePort(); err != nil {
			return err
		}
		if err = s.configure(options); err != nil {
			return err
		}
		if err = s.Start(); err == nil {
			return nil
		}
	}
	return err
}

func (s *SSHD) configure(options []string) error {
	lines := append(options,
		fmt.Sprintf("ListenAddress 127.0.0.1:%d", s.Port),
		"HostKey "+filepath.Join(s.dir, "host_key"),
		"AuthorizedKeysFile "+filepath.Join(s.dir, "authorized_keys"),
		"PidFile none",
		"UsePAM no",
		"StrictModes no",
		"PermitRootLogin yes",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"UseDNS no",
		"LogLevel VERBOSE",
		// Not the sftp-server program: sshd would start that by the user's shell,
		// whose start-up files may do anything, and take seconds. It is the same
		// code, and a process of its own all the same.
		"Subsystem sftp internal-sftp",
	)
	s.config = filepath.Join(s.dir, "sshd_config")
	if err := s.lab.WriteFile(s.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return s.lab.WriteFile(s.KnownHosts, []byte(s.KnownHost(s.Port)), 0o600)
}

// KnownHost is the line of known_hosts for the server reached by a port of
// loopback, as by a link.
func (s *SSHD) KnownHost(port int) string {
	return fmt.Sprintf("[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(s.HostKey))
}

func (s *SSHD) writeKey(path string) (ssh.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if err := s.lab.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(public)
}

// Start runs the server, after Kill again on the same port, and returns when it
// listens.
func (s *SSHD) Start() error {
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd" // sshd insists on an absolute path
	}
	cmd := s.lab.Command(context.Background(), sshd, "-D", "-f", s.config, "-E", s.logFile())
	before := s.listenings()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	if err := s.waitForListening(before); err != nil {
		return errors.Join(fmt.Errorf("sshd: %w: %s%s", err, stderr.String(), s.Log()), s.Kill())
	}
	return nil
}

// waitForListening waits until the log says so. To connect would take the place of
// a login, for a while after the connection is closed too, and MaxStartups may
// allow no other.
func (s *SSHD) waitForListening(before int) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.exited:
			return errors.New("ended")
		default:
		}
		if s.listenings() > before {
			return nil
		}
	}
	return errors.New("does not listen after 20 s")
}

// listenings counts how often a server of this log has begun to listen.
func (s *SSHD) listenings() int { return strings.Count(s.Log(), "Server listening on 127.0.0.1 ") }

// Addr is "127.0.0.1:port".
func (s *SSHD) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

func (s *SSHD) logFile() string { return filepath.Join(s.dir, "log") }

// Log is what the server has logged.
func (s *SSHD) Log() string {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// Processes are those of the server's connections and sessions, by their id.
func (s *SSHD) Processes() ([]int, error) { return Descendants(s.cmd.Process.Pid) }

// PID is the process id of the server that listens.
func (s *SSHD) PID() int { return s.cmd.Process.Pid }

// Kill ends the server and all its connections at once, and waits for that.
// Killing what is dead does nothing. The server is stopped first, so that it has
// no child that we do not know of; and children go before it is waited for, since
// they keep its standard error open.
func (s *SSHD) Kill() error {
	select {
	case <-s.exited:
		return nil
	default:
	}
	err := s.cmd.Process.Signal(syscall.SIGSTOP)
	children, listErr := s.Processes()
	err = errors.Join(err, listErr, s.cmd.Process.Signal(syscall.SIGKILL))
	for _, pid := range children {
		if killErr := syscall.Kill(pid, syscall.SIGKILL); killErr != syscall.ESRCH {
			err = errors.Join(err, killErr)
		}
	}
	<-s.exited
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
