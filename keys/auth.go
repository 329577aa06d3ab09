package keys

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// An attempt is the authentication of one connection. x/crypto/ssh calls next
// before each method, after the first "none" has told which ones the server
// takes. It runs on the handshake's goroutine alone.
//
// Each key is a method call of its own here. Given all of them at once the
// library would offer them in a row, without regard to how many refusals the
// server puts up with.
type attempt struct {
	client *Client
	ctx    context.Context

	ready     bool
	keys      []candidate // not offered yet
	offered   []string    // for the error message; no secrets
	tried     int         // len(TriedMethods) when last asked
	failures  int         // refusals the server has counted
	unsent    bool        // the method under way failed here, before the server was told anything it counts
	inFlight  []secret    // what the method under way has sent
	passwords int         // passwords tried
	rounds    int         // keyboard-interactive conversations begun
	intro     string      // what the server says before its questions, until it was shown
	err       error       // the last reason why something could not be offered
}

// A secret is a remembered answer that was sent and not yet judged.
type secret struct {
	name  string // in the vault
	value string
}

// maxAsked bounds how often a person is asked again, as ssh's
// NumberOfPasswordPrompts.
const maxAsked = 3

func (a *attempt) next(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	if err := a.ctx.Err(); err != nil {
		return nil, err
	}
	a.settle(state)
	if method := a.nextMethod(state.AllowedMethods); method != nil {
		return method, nil
	}
	return nil, &AuthError{
		User: a.client.cfg.User, Host: a.client.settings.HostKeyName, Offered: a.offered,
		Allowed: state.AllowedMethods, Unoffered: len(a.keys), Err: a.err,
	}
}

// settle judges the method just tried: refused secrets are forgotten.
func (a *attempt) settle(state *ssh.ClientAuthContext) {
	refused := a.ready && len(state.TriedMethods) > a.tried
	a.tried = len(state.TriedMethods)
	if refused && !a.unsent {
		a.failures++
		for _, s := range a.inFlight {
			a.client.refuse(s)
		}
	}
	a.inFlight, a.unsent = nil, false
	if !a.ready {
		a.ready = true
		a.keys, a.err = a.client.candidates(a.ctx)
	}
}

func (c *Client) refuse(s secret) {
	if s.name == c.givenName() {
		c.pwRefused.Store(true)
	}
	c.secrets.drop(s.name, s.value)
}

func (a *attempt) nextMethod(allowed []string) ssh.AuthMethod {
	left := a.client.cfg.MaxAuthTries - a.failures
	if left <= 0 {
		return nil
	}
	takes := func(method string) bool { return slices.Contains(allowed, method) && a.client.uses(method) }
	talk := takes("password") || takes("keyboard-interactive")
	// Nobody is asked to unlock a key that was not asked for, while there is a
	// password that was given.
	later := talk && len(a.keys) > 0 && a.keys[0].asks && a.client.givenPassword()
	if takes("publickey") && !later {
		reserve := 0
		if talk && a.client.hasPassword() {
			reserve = 1
		}
		if method := a.nextKey(left - reserve); method != nil {
			return method
		}
	}
	if method := a.nextPassword(takes); method != nil || !later {
		return method
	}
	if takes("publickey") {
		return a.nextKey(left)
	}
	return nil
}

func (a *attempt) nextPassword(takes func(method string) bool) ssh.AuthMethod {
	given := a.client.knownPassword()
	switch {
	case takes("password") && given && a.passwords < a.client.asks:
		return a.password()
	case takes("keyboard-interactive") && a.rounds < a.client.asks && (given || a.client.canAsk()):
		return a.interactive()
	case takes("password") && a.passwords < a.client.asks && a.client.canAsk():
		return a.password()
	}
	return nil
}

// uses reports whether a method is to be tried at all, by ssh_config.
func (c *Client) uses(method string) bool {
	keyword := map[string]string{
		"publickey": "pubkeyauthentication", "password": "passwordauthentication", "keyboard-interactive": "kbdinteractiveauthentication",
	}[method]
	preferred := c.ssh.Value("preferredauthentications")
	return !c.ssh.No(keyword) && (preferred == "" || slices.Contains(strings.Split(preferred, ","), method))
}

// hasPassword reports whether there is, or could be, a password to offer.
func (c *Client) hasPassword() bool { return c.canAsk() || c.knownPassword() }

// knownPassword reports whether there is one without asking.
func (c *Client) knownPassword() bool {
	_, kept := c.secrets.get(c.passwordName())
	return kept || (c.cfg.Password != nil && !c.pwRefused.Load())
}

// givenPassword reports whether there is one that nobody has to be asked for.
func (c *Client) givenPassword() bool {
	_, kept := c.secrets.get(c.passwordName())
	return kept || !c.cfg.PasswordAsks && c.knownPassword()
}

// passwordName is where the vault keeps a typed password, givenName one from
// cfg.Password.
func (c *Client) passwordName() string {
	return "password " + c.cfg.User + "@" + c.settings.HostKeyName
}

func (c *Client) givenName() string { return "given " + c.passwordName() }

func (a *attempt) nextKey(left int) ssh.AuthMethod {
	if left <= 0 || len(a.keys) == 0 {
		return nil
	}
	key := a.keys[0]
	a.keys = a.keys[1:]
	a.offered = append(a.offered, "publickey "+key.String())
	a.client.cfg.Log.Debug("offering a key", "key", key.String())
	return ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
		signer, err := key.open(a.ctx)
		if err == nil {
			err = a.client.longEnough(signer.PublicKey())
		}
		if err != nil {
			a.note(fmt.Errorf("%s: %w", key.source, err))
			return nil, err
		}
		return []ssh.Signer{watchSigner(present(signer, a.client.signatureAlgorithms(key.sha1)), func(err error) {
			if err != nil {
				a.note(fmt.Errorf("%s: %w", key.source, err))
				return
			}
			a.client.lastSigned.Store(ssh.FingerprintSHA256(signer.PublicKey()))
		})}, nil
	})
}

// note keeps the reason why a credential could not be used. It goes into the
// error when nothing else works.
func (a *attempt) note(err error) {
	a.client.cfg.Log.Debug("a credential cannot be used", "error", err)
	a.err, a.unsent = err, true
}

func (a *attempt) password() ssh.AuthMethod {
	a.passwords++
	a.offered = append(a.offered, "password")
	return ssh.PasswordCallback(func() (string, error) {
		s, err := a.client.passwordSecret(a.ctx)
		if err != nil {
			a.passwords = a.client.asks // no answer now, none the next time
			a.note(err)
			return "", err
		}
		a.inFlight = append(a.inFlight, s)
		return s.value, nil
	})
}

// passwordSecret gives the password: the one kept, the one of cfg.Password, or
// the one typed.
func (c *Client) passwordSecret(ctx context.Context) (secret, error) {
	if kept, ok := c.secrets.get(c.passwordName()); ok {
		return secret{c.passwordName(), kept.(string)}, nil
	}
	if c.cfg.Password != nil && !c.pwRefused.Load() {
		value, err := c.secrets.obtain(ctx, c.givenName(), func() (any, error) { return c.cfg.Password(ctx) })
		if err != nil {
			return secret{}, fmt.Errorf("get the password: %w", err)
		}
		return secret{c.givenName(), value.(string)}, nil
	}
	text := fmt.Sprintf("%s@%s's password: ", c.cfg.User, c.cfg.Host)
	value, err := c.secrets.obtain(ctx, c.passwordName(), func() (any, error) {
		return c.ask(ctx, Prompt{Text: text})
	})
	if err != nil {
		return secret{}, err
	}
	return secret{c.passwordName(), value.(string)}, nil
}

// interactive is keyboard-interactive (RFC 4256): the server asks what it
// likes, in several rounds.
func (a *attempt) interactive() ssh.AuthMethod {
	a.rounds++
	a.offered = append(a.offered, "keyboard-interactive")
	return ssh.KeyboardInteractive(func(name, instruction string, questions []string, echos []bool) ([]string, error) {
		answers := make([]string, len(questions))
		a.intro = introduction(name, instruction)
		for i, question := range questions {
			answer, err := a.answer(question, echos[i], len(questions) == 1)
			if err != nil {
				a.rounds = a.client.asks
				a.note(err)
				a.unsent = false // the conversation was begun, and the server counts it
				return nil, err
			}
			answers[i] = answer
		}
		return answers, nil
	})
}

func introduction(name, instruction string) string {
	var parts []string
	for _, s := range []string{name, instruction} {
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, s+"\n")
		}
	}
	return strings.Join(parts, "")
}

// answer finds the answer to one question. A known password answers a question
// for a password, and, when there is nobody to ask, the only question there is.
// Everything else is shown as the server wrote it, after the name of the server:
// otherwise it could ask for the passphrase of a key in our words. Of the answers
// only a password is kept, as a one-time code is worth nothing the second time.
func (a *attempt) answer(question string, echo, only bool) (string, error) {
	c := a.client
	wanted := !echo && (asksPassword(question) || (only && !c.canAsk()))
	if wanted && c.knownPassword() {
		s, err := c.passwordSecret(a.ctx)
		if err != nil {
			return "", err
		}
		a.inFlight = append(a.inFlight, s)
		return s.value, nil
	}
	if err := c.secrets.lock(a.ctx); err != nil {
		return "", err
	}
	defer c.secrets.unlock()
	value, err := c.ask(a.ctx, Prompt{Text: fmt.Sprintf("%s(%s@%s) %s", a.intro, c.cfg.User, c.cfg.Host, question), Echo: echo})
	a.intro = ""
	if err == nil && wanted {
		c.secrets.put(c.passwordName(), value)
		a.inFlight = append(a.inFlight, secret{c.passwordName(), value})
	}
	return value, err
}

func asksPassword(question string) bool {
	q := strings.ToLower(question)
	for _, once := range []string{"one-time", "one time", "otp", "token", "code", "new password", "retype"} {
		if strings.Contains(q, once) {
			return false
		}
	}
	return strings.Contains(q, "password") || strings.Contains(q, "passwort")
}
