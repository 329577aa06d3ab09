package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
)

// The exit codes are a contract with scripts, and stand in the manual.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitAuth        = 3 // the server refused who we are, or our key cannot be used
	exitHostKey     = 4 // not the server we know
	exitUnreachable = 5 // no way to the server, or no answer
	exitPartly      = 6 // sync: some of it failed, the rest is done
	exitMountpoint  = 7 // the local folder or FUSE itself
)

// A failure is an error with what the person at the terminal needs besides: the
// exit code, and a next step. Below main errors carry neither; verbs make one
// where they know more than explain can find out.
type failure struct {
	code int
	err  error
	hint string // a command, or a sentence; may be empty
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// print writes the one form messages have.
func (f *failure) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "remotemount: error: %s\n", oneLine(f.err.Error()))
	if f.hint != "" {
		_, _ = fmt.Fprintf(w, "remotemount: hint: %s\n", f.hint)
	}
}

// oneLine keeps a message on its line and the terminal unharmed: parts of it may
// come from the server.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || turnsText(r):
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
}

// turnsText: after it a terminal shows the letters in another order, or none, so
// that a name looks like another one (U+202E and its like, U+200B, U+FEFF).
func turnsText(r rune) bool {
	switch {
	case r == 0x061c, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff:
		return true
	case r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}

func fail(code int, err error, hint string) error {
	return &failure{code, err, hint}
}

// hintOf is the hint that an error carries already.
func hintOf(err error) string { return explain(err).hint }

// usage is an error in the command line itself.
func usage(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...), ""}
}

func usageHint(text, hint string) error {
	return &failure{exitUsage, errors.New(text), hint}
}

func usageError(verb string, err error) error {
	// The library's own: invalid value "abc" for flag -port: parse error
	if m := regexp.MustCompile(`^invalid (boolean )?value "(.*)" for (?:flag )?-([a-z-]+): (.*)$`).FindStringSubmatch(err.Error()); m != nil {
		why := strings.NewReplacer("parse error", "this is no number", "value out of range", "this number is too large").Replace(m[4])
		if m[1] != "" {
			why = "true or false, or no value at all"
		}
		err = fmt.Errorf("--%s %q: %s", m[3], m[2], why)
	}
	return &failure{exitUsage, err, verb + " --help"}
}

// explain finds the exit code and a next step for an error from below.
func explain(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return &failure{f.code, err, f.hint}
	}
	for _, known := range []func(error) (int, string, bool){explainInput, explainMountpoint, explainProgram, explainHostKey, explainAuth, explainNetwork, explainFolder} {
		if code, hint, ok := known(err); ok {
			return &failure{code, err, hint}
		}
	}
	return &failure{exitFailed, err, ""}
}

func explainInput(err error) (int, string, bool) {
	var a *address.SyntaxError
	var o *options.Error
	switch {
	case errors.As(err, &a):
		return exitUsage, a.Hint, true
	case errors.As(err, &o):
		return exitUsage, o.Hint, true
	}
	return 0, "", false
}

func explainMountpoint(err error) (int, string, bool) {
	var m *mountpoint.Error
	if errors.As(err, &m) {
		return exitMountpoint, m.Hint, true
	}
	return 0, "", false
}

func explainHostKey(err error) (int, string, bool) {
	var h *keys.HostKeyError
	if !errors.As(err, &h) {
		return 0, "", false
	}
	return exitHostKey, hostKeyHint(h, shellQuote(h.Host)), true
}

// hostKeyHint is what to do about a refused host key; host is how the verb hostkey
// finds it.
func hostKeyHint(h *keys.HostKeyError, host string) string {
	accept := fmt.Sprintf("remotemount hostkey accept %s --fingerprint %s", host, h.New)
	switch h.Kind {
	case keys.HostKeyUnknown:
		return "compare the fingerprint with the administrator's, then: " + accept
	case keys.HostKeyChanged:
		return "ask the administrator whether the key was changed; only then: " + accept
	case keys.HostKeyRevoked:
		return "do not connect; the administrator has withdrawn this key"
	case keys.HostKeyWeak:
		return "the server needs a longer key, or one of another kind; until then the line \"RequiredRSASize 1024\" for its Host in ~/.ssh/config takes it, as does mount -o RequiredRSASize=1024"
	case keys.HostKeyMismatch:
		return fmt.Sprintf("compare with the administrator's fingerprint; if the server is right, give --host-key %s", h.New)
	}
	return "remotemount hostkey show " + host
}

func explainAuth(err error) (int, string, bool) {
	var perm *keys.PermissionError
	var public *keys.PublicKeyError
	switch {
	case errors.As(err, &perm):
		return exitAuth, "chmod 600 " + shellQuote(perm.File), true
	case errors.As(err, &public):
		return exitAuth, publicKeyHint(public), true
	case errors.Is(err, keys.ErrWrongPassphrase), errors.Is(err, keys.ErrPassphraseNeeded):
		return exitAuth, "ssh-add puts the key into the agent, which asks for the passphrase once; a .ppk or SSH2 file goes through remotemount key convert before", true
	case errors.Is(err, keys.ErrNotAKey), errors.Is(err, keys.ErrDamaged), errors.Is(err, keys.ErrUnsupported):
		return exitAuth, "remotemount key inspect FILE tells what is in it", true
	case errors.Is(err, keys.ErrNoPrompt):
		return exitAuth, "give --identity FILE, --password-file FILE or --password-command COMMAND", true
	case onlyGSSAPI(err):
		return exitAuth, "--ssh-command ssh logs in by the system's ssh, which knows GSSAPI (Kerberos)", true
	case passwordRefused(err):
		return exitAuth, "the password was refused: check it, and the name of the user; or give a key, with --identity FILE", true
	case keys.IsAuthFailure(err):
		return exitAuth, "give a key with --identity FILE; remotemount key public FILE prints the line for the server's authorized_keys", true
	}
	return 0, "", false
}

// passwordRefused: passwords were tried, the last of what there was.
func passwordRefused(err error) bool {
	var login *keys.AuthError
	return errors.As(err, &login) && login.Err == nil && len(login.Offered) > 0 &&
		!strings.HasPrefix(login.Offered[len(login.Offered)-1], "publickey")
}

// publicKeyHint: the private half mostly lies beside the public one.
func publicKeyHint(e *keys.PublicKeyError) string {
	if private, ok := strings.CutSuffix(e.File, ".pub"); ok {
		return "the private key is the file without .pub: --identity " + shellQuote(private)
	}
	return "--identity takes the file of the private key, or ssh-add puts it into the agent"
}

// onlyGSSAPI: the server takes nothing that is built in.
func onlyGSSAPI(err error) bool {
	var login *keys.AuthError
	if !errors.As(err, &login) || !slices.Contains(login.Allowed, "gssapi-with-mic") {
		return false
	}
	for _, method := range []string{"publickey", "password", "keyboard-interactive"} {
		if slices.Contains(login.Allowed, method) {
			return false
		}
	}
	return true
}

func explainNetwork(err error) (int, string, bool) {
	var dns *net.DNSError
	var op *net.OpError
	var no *pool.NoSFTPError
	if errors.As(err, &no) {
		return exitFailed, "ssh HOST, and the command of --sftp-command there, shows what stands in the way; start files of its shell must print nothing", true
	}
	if n := keys.Negotiation(err); n != nil {
		if n.Helps == "" {
			return exitUnreachable, `--ssh-command ssh has the system's ssh try, which may know more`, true
		}
		return exitUnreachable, fmt.Sprintf("the line \"%s +%s\" for its Host in ~/.ssh/config lets this server in, as does mount -o %s=+%s; better is a newer server",
			n.Keyword, n.Helps, n.Keyword, n.Helps), true
	}
	switch {
	case errors.Is(err, pool.ErrNoSlot):
		return exitUnreachable, "remotemount status shows who uses them; unmount one, or allow more with --max-connections", true
	case errors.Is(err, syscall.EPROTO):
		return exitFailed, "the server, or something between, is at fault: remotemount doctor REMOTE names it", true
	case errors.As(err, &dns):
		return exitUnreachable, "check the name of the host, and the network", true
	case errors.Is(err, syscall.ECONNREFUSED):
		return exitUnreachable, "no SSH server listens there; another port is given by --port", true
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return exitUnreachable, "check the network, or wait longer with --timeout; remotemount doctor REMOTE looks step by step", true
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return exitUnreachable, "remotemount doctor REMOTE looks step by step", true
	}
	// x/crypto/ssh tells of a handshake that broke only in words.
	if strings.Contains(err.Error(), "ssh: handshake failed") || strings.Contains(err.Error(), "ssh: overflow reading version string") {
		return exitUnreachable, "is it an SSH server? remotemount doctor REMOTE looks step by step", true
	}
	return 0, "", false
}

// withoutPreface takes the "ssh: handshake failed" away that x/crypto/ssh puts
// before everything: what failed is worth more.
func withoutPreface(err error) error {
	var hostKey *keys.HostKeyError
	var login *keys.AuthError
	switch {
	case errors.As(err, &hostKey):
		return hostKey
	case errors.As(err, &login):
		return login
	}
	if n := keys.Negotiation(err); n != nil {
		return n
	}
	return err
}

// explainFolder is about a folder or file. Those on the server are named as they lie in
// the remote folder, those here in full.
func explainFolder(err error) (int, string, bool) {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return 0, "", false
	}
	local := filepath.IsAbs(p.Path) && p.Op != "realpath"
	switch {
	case local && errors.Is(err, syscall.EACCES):
		return exitFailed, "ls -ld " + shellQuote(p.Path) + ", and of the folders above it, shows who may do that here", true
	case local:
		return 0, "", false
	case errors.Is(err, syscall.EACCES):
		return exitFailed, "the server does not let this user in there", true
	case errors.Is(err, fs.ErrNotExist) && (p.Op == "realpath" || p.Op == "stat"):
		return exitFailed, "remotemount browse HOST: lists what is there", true
	}
	return 0, "", false
}

// shellQuote writes a word so that it can be pasted into a shell.
func shellQuote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n\"'\\$`&;|<>()*?[]{}!#~") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
