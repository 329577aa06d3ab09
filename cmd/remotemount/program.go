package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/sshprocess"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
)

// programConnections is the cap with --ssh-command: each is a process, with a
// login of its own.
const programConnections = 4

// useProgram puts a link together that connects by the program of --ssh-command.
// Keys, host keys and ssh_config are the program's own affair; what our flags say
// of them is handed on.
func (l *link) useProgram(asks bool, keyLog *slog.Logger) error {
	t := l.target
	args, err := t.programArgs()
	if err != nil {
		return err
	}
	if l.program, err = sshprocess.New(sshprocess.Config{
		Command: t.conn.SSHCommand, Host: t.host, Args: args, SFTP: t.conn.SFTPCommand,
		Timeout: l.timeout(), Batch: !asks, Dir: t.here,
	}); err != nil {
		return usage("--ssh-command: %w", err)
	}
	keyLog.Info("SSH is done by a program", "command", t.conn.SSHCommand)
	at := l.settings()
	slots, err := slotDir(at)
	if err != nil {
		return err
	}
	replacing, err := t.replacingDir()
	if err != nil {
		return err
	}
	l.pool, err = pool.New(pool.Config{
		Transport:      l.program.Dial,
		Addr:           net.JoinHostPort(at.Host, strconv.Itoa(at.Port)),
		Refused:        refused,
		Sessions:       1,
		Dir:            t.dir,
		MaxConnections: first(t.conn.MaxConnections, programConnections),
		SlotDir:        slots,
		Timeout:        l.timeout(),
		Retry:          time.Duration(t.conn.Retry),
		WriteMemory:    t.memory,
		Name:           remoteName(at),
		User:           map[bool]string{true: at.User}[t.whoami],
		Replacing:      replacing,
		Log:            l.log,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", t.given, err)
	}
	return nil
}

// programArgs are our flags in ssh's words.
func (t target) programArgs() ([]string, error) {
	for _, check := range []error{keys.CheckUser(t.user), keys.CheckHost(t.host)} {
		if check != nil {
			return nil, fail(exitUsage, fmt.Errorf("%s: %w", t.given, check), "")
		}
	}
	c := t.conn
	if c.PasswordFile != "" || c.PasswordCommand != "" || c.AskPassword || c.Keyring || t.secret != "" || len(c.HostKeys) > 0 {
		return nil, usageHint("--ssh-command: passwords and --host-key cannot be handed to another program",
			"leave them out: the program asks at the terminal, or takes a key or its agent")
	}
	var args []string
	add := func(flag, value string) {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	add("-F", expandHome(c.SSHConfig))
	if t.port != 0 {
		add("-p", strconv.Itoa(t.port))
	}
	add("-l", t.user)
	add("-J", c.Jump)
	add("-b", c.BindAddress)
	for _, file := range c.Identities {
		if file == "-" {
			return nil, usage("--ssh-command: a key on standard input cannot be handed to another program")
		}
		add("-i", expandHome(file))
	}
	if len(c.KnownHosts) > 0 {
		add("-o", "UserKnownHostsFile="+strings.Join(c.KnownHosts, " "))
	}
	add("-o", map[string]string{
		"auto": "StrictHostKeyChecking=accept-new", "ask": "StrictHostKeyChecking=ask",
		"strict": "StrictHostKeyChecking=yes", "insecure": "StrictHostKeyChecking=no",
	}[c.HostKeyPolicy])
	for _, setting := range sshSettings(c.SSH) {
		add("-o", setting)
	}
	return args, nil
}

// settings is what the configuration came to, as far as it is known: a program
// reads its own.
func (l *link) settings() keys.Settings {
	if l.client != nil {
		return l.client.Settings()
	}
	t := l.target
	s := keys.Settings{User: t.user, Host: t.host, Port: first(t.port, 22)}
	s.HostKeyName = keys.HostName(s.Host, s.Port)
	return s
}

// blocked is the standing refusal of a host whose key has changed.
func (l *link) blocked() error {
	if l.client == nil {
		return nil
	}
	return l.client.Blocked()
}

// tryProgram is doctor's look at the way to the server, where a program is the
// way: whether it starts is all that can be told.
func (l *link) tryProgram(ctx context.Context) error {
	c, err := l.program.Dial(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}

// explainProgram tells the end of a program in our exit codes.
func explainProgram(err error) (int, string, bool) {
	switch {
	case sshprocess.IsKind(err, sshprocess.HostKey):
		return exitHostKey, "the program keeps its own known_hosts: ssh-keygen -F HOST shows what is there; ask the administrator before you change it", true
	case sshprocess.IsKind(err, sshprocess.AuthRefused):
		return exitAuth, "the same command by hand, with -v, shows what was offered", true
	case sshprocess.IsKind(err, sshprocess.Away):
		return exitUnreachable, "check the network, and the command of --ssh-command by hand", true
	case sshprocess.IsKind(err, sshprocess.Unclear, sshprocess.Unusable):
		return exitFailed, "try the command of --ssh-command by hand: it must take ssh's arguments and carry SFTP", true
	}
	return 0, "", false
}
