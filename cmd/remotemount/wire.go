package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/sshprocess"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
)

// A link is a target put together: who logs in, and the pool of connections.
type link struct {
	target target
	client *keys.Client // nil with a program
	pool   *pool.Pool
	log    *slog.Logger
	clock  *patience
	asks   *switchboard

	program *sshprocess.Dialer // of --ssh-command; else nil
}

// open puts the link together and makes the first connection. The link must be
// closed. prompt may be nil; keyLog hears what a person must know of keys and
// host keys.
func (t target) open(ctx context.Context, prompt keys.Prompter, log, keyLog *slog.Logger) (*link, error) {
	l, err := t.assemble(ctx, prompt, log, keyLog)
	if err != nil {
		return nil, err
	}
	if err := l.connect(ctx); err != nil {
		l.pool.Abort()
		return nil, err
	}
	return l, nil
}

// assemble does all that comes before the first connection.
func (t target) assemble(ctx context.Context, prompt keys.Prompter, log, keyLog *slog.Logger) (*link, error) {
	l := &link{target: t, log: log, clock: &patience{}, asks: &switchboard{to: prompt}}
	if t.batch {
		prompt = nil
	}
	if t.conn.SSHCommand != "" {
		l.clock.limit = attention // the program asks, and gives up by itself
		return l, l.useProgram(prompt != nil, keyLog)
	}
	nobody := prompt == nil
	if !t.batch {
		prompt = patientPrompter{l.asks, l.clock}
	}
	var err error
	if t.conn.PasswordFile != "" { // what is wrong with it is told before anything is dialled
		if _, err := passwordFromFile(t.conn.PasswordFile); err != nil {
			return nil, fail(exitAuth, fmt.Errorf("%s: %w", t.given, err), hintOf(err))
		}
	}
	settings := t.clientConfig(prompt, keyLog)
	settings.Commands = true // a login follows
	if l.client, err = keys.NewClient(ctx, settings); err != nil {
		return nil, t.explainSettings(err)
	}
	if nobody {
		l.client.StopAsking() // until somebody has a mount reconnect
	}
	at := l.client.Settings()
	slots, err := slotDir(at)
	if err != nil {
		return nil, err
	}
	replacing, err := t.replacingDir()
	if err != nil {
		return nil, err
	}
	l.clock.limit = l.timeout()
	l.pool, err = pool.New(pool.Config{
		Dial:           l.client.Dial,
		SSH:            l.client.SSHConfig,
		Addr:           net.JoinHostPort(at.Host, strconv.Itoa(at.Port)),
		Refused:        refused,
		SFTP:           t.conn.SFTPCommand,
		Dir:            t.dir,
		MaxConnections: t.conn.MaxConnections,
		SlotDir:        slots,
		Timeout:        l.timeout(),
		Retry:          time.Duration(t.conn.Retry),
		WriteMemory:    t.memory,
		Name:           remoteName(at),
		User:           map[bool]string{true: at.User}[t.whoami],
		Replacing:      replacing,
		Log:            log,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.given, err)
	}
	return l, nil
}

// timeout is how long a silent connection is waited for: what the user says here,
// or in ssh_config.
func (l *link) timeout() time.Duration {
	return first(time.Duration(l.target.conn.Timeout), l.settings().AliveTimeout, 30*time.Second)
}

// attention is how long a person may take for all the questions of a login.
const attention = 30 * time.Minute

// connect makes the first connection, in the time of --timeout without the time
// a person takes to answer.
func (l *link) connect(ctx context.Context) error {
	return l.login(ctx, l.pool.Connect)
}

// reconnect is connect for a mount that may have a connection, or be on the way to one.
func (l *link) reconnect(ctx context.Context) error { return l.login(ctx, l.pool.Reconnect) }

func (l *link) login(ctx context.Context, connect func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, attention)
	defer cancel()
	ctx, stop := l.clock.start(ctx)
	defer stop()
	err := connect(ctx)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) && !keys.IsHostKeyFailure(err) {
		err = fmt.Errorf("no answer within %v: %w", l.timeout(), cause)
	}
	return l.explainConnect(err)
}

// explainSettings is about what was said, not about the server: a key file, a
// fingerprint, ssh_config.
func (t target) explainSettings(err error) error {
	err = fmt.Errorf("%s: %w", t.given, err)
	if _, _, known := explainAuth(err); known {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fail(exitAuth, err, "look at the name of the file; a new key, of remotemount key generate, has to be taken to the server first")
	}
	return fail(exitUsage, err, "")
}

// close brings out what was written, for a verb that is done.
func (l *link) close(ctx context.Context) error {
	return l.pool.Close(ctx)
}

// refused tells the pool what a failed dial means for the next.
func refused(err error) pool.Refusal {
	var perm *keys.PermissionError
	switch {
	case keys.IsHostKeyFailure(err), sshprocess.IsKind(err, sshprocess.HostKey):
		return pool.HostKeyRefused
	case sshprocess.IsKind(err, sshprocess.AuthRefused):
		return pool.AuthRefused
	case sshprocess.IsKind(err, sshprocess.Unusable):
		return pool.Fatal
	case keys.IsAuthFailure(err), errors.Is(err, keys.ErrNoPrompt), errors.As(err, &perm),
		errors.Is(err, keys.ErrWrongPassphrase), errors.Is(err, keys.ErrPassphraseNeeded):
		return pool.AuthRefused
	}
	return pool.TryAgain
}

func (t target) clientConfig(prompt keys.Prompter, log *slog.Logger) keys.ClientConfig {
	c := keys.ClientConfig{
		User: t.user, Host: t.host, Port: t.port,
		ConfigFile:  expandHome(t.conn.SSHConfig),
		Options:     sshSettings(t.conn.SSH),
		Identities:  t.conn.Identities,
		Stdin:       bytes.NewReader(t.stdin),
		Password:    t.password(),
		Prompt:      prompt,
		KnownHosts:  t.conn.KnownHosts,
		HostKeys:    t.conn.HostKeys,
		Policy:      keys.Policy(t.conn.HostKeyPolicy),
		Jump:        list(t.conn.Jump),
		BindAddress: t.conn.BindAddress,
		Dir:         t.here,
		Log:         log,
	}
	if t.conn.AskPassword && c.Password == nil && prompt != nil {
		c.PasswordAsks = true
		c.Password = func(ctx context.Context) (string, error) {
			return prompt.Ask(ctx, keys.Prompt{Text: fmt.Sprintf("Password of %s:", t.keyringName())})
		}
	}
	return c
}

// sshSettings writes settings of ssh_config as ssh's -o takes them. A keyword that
// may come several times has its values on lines of their own.
func sshSettings(settings map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		for _, value := range strings.Split(settings[name], "\n") {
			out = append(out, name+"="+value)
		}
	}
	return out
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// remoteName is what a remote is known by on this machine.
func remoteName(at keys.Settings) string {
	return at.User + "@" + net.JoinHostPort(at.Host, strconv.Itoa(at.Port))
}

// replacingDir is where a mount keeps which files it replaces just now, if it is to.
func (t target) replacingDir() (string, error) {
	if !t.replaces {
		return "", nil
	}
	dir, err := syncStateDir()
	return filepath.Join(dir, "replacing"), err
}

// slotDir is where the locks are that count this user's connections to the
// remote, over all processes: a mount, another mount of the same place, a sync.
func slotDir(at keys.Settings) (string, error) {
	dir, err := control.RuntimeDir(getenv)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(remoteName(at)))
	return filepath.Join(dir, "slots", hex.EncodeToString(sum[:8])), nil
}

// patience is the time a connection attempt may take, which stands still while a
// person is asked.
type patience struct {
	limit time.Duration

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu; nil before start
	asking int         // guarded by mu
}

func (p *patience) start(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(p.limit, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.timer.Stop()
		p.timer = nil
		cancel(nil)
	}
}

// ask stops the clock; the answer starts it anew.
func (p *patience) ask() (answered func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking++
	if p.timer != nil {
		p.timer.Stop()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asking--
		if p.timer != nil && p.asking == 0 {
			p.timer.Reset(p.limit)
		}
	}
}

type patientPrompter struct {
	keys.Prompter
	clock *patience
}

func (p patientPrompter) Ask(ctx context.Context, q keys.Prompt) (string, error) {
	defer p.clock.ask()()
	return p.Prompter.Ask(ctx, q)
}
