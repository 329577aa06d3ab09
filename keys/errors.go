package keys

import (
	"errors"
	"fmt"
	"strings"
)

// What may be wrong with a private key file. Errors of Parse wrap one of these.
var (
	// ErrPassphraseNeeded: the key is encrypted and no passphrase was given.
	ErrPassphraseNeeded = errors.New("the private key is protected by a passphrase")
	// ErrWrongPassphrase: the passphrase given does not open the key.
	ErrWrongPassphrase = errors.New("wrong passphrase for the private key")
	// ErrDamaged: the file is of a known form and its content is broken.
	ErrDamaged = errors.New("the private key file is damaged")
	// ErrUnsupported: the file is sound as far as one can tell, and of a form,
	// type or cipher that cannot be used here.
	ErrUnsupported = errors.New("unsupported private key")
	// ErrNotAKey: nothing in the file looks like a private key.
	ErrNotAKey = errors.New("no private key found")
)

// ErrNoPrompt is what a Prompter returns when there is nobody to ask.
var ErrNoPrompt = errors.New("there is no terminal to ask at")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

// HostKeyKind says why a host key was refused.
type HostKeyKind int

// The reasons. Changed and Mismatch may be an attack; all of them end the
// connection before anything was said to the server.
const (
	HostKeyUnknown     HostKeyKind = iota + 1 // no file knows the host, and the policy does not store it
	HostKeyChanged                            // another key is on file, or was when the host was disabled
	HostKeyRevoked                            // the key stands under @revoked
	HostKeyMismatch                           // not one of the keys given up front
	HostKeyUncertified                        // a certificate authority vouches for this host, and not for this key
	HostKeyWeak                               // too short to prove anything
)

// A HostKeyError is a refused host key.
type HostKeyError struct {
	Host string // as in known_hosts: "host" or "[host]:port"
	Kind HostKeyKind
	Old  []string // fingerprints on file, or pinned
	New  string   // fingerprint the server showed
	File string   // where the old key stands, when known
	Line int
	Err  error // the detail: why a certificate did not hold, or a file could not be read
}

func (e *HostKeyError) Error() string {
	var b strings.Builder
	switch e.Kind {
	case HostKeyChanged:
		fmt.Fprintf(&b, "the host key of %s has changed: it was %s", e.Host, strings.Join(e.Old, " or "))
		if e.File != "" {
			fmt.Fprintf(&b, " (%s:%d)", e.File, e.Line)
		}
		fmt.Fprintf(&b, ", and the server showed %s", e.New)
	case HostKeyRevoked:
		fmt.Fprintf(&b, "the host key %s of %s is revoked (%s:%d)", e.New, e.Host, e.File, e.Line)
	case HostKeyMismatch:
		fmt.Fprintf(&b, "the host key of %s is %s, not the one given: %s", e.Host, e.New, strings.Join(e.Old, " or "))
	case HostKeyUncertified:
		fmt.Fprintf(&b, "the host key %s of %s is not certified by the authority on file for it", e.New, e.Host)
	case HostKeyWeak:
		fmt.Fprintf(&b, "the host key %s of %s is too weak", e.New, e.Host)
	default:
		fmt.Fprintf(&b, "the host key of %s is not known: %s", e.Host, e.New)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *HostKeyError) Unwrap() error { return e.Err }

// An AuthError is a refused authentication: the server is the right one, was
// reached, and did not accept what we could offer.
type AuthError struct {
	User, Host string
	Offered    []string // what was tried: "publickey SHA256:... (file)", "password"
	Allowed    []string // the methods the server would still have taken
	Unoffered  int      // keys left out because of the bound on attempts
	Err        error    // why nothing more could be offered, when that is not plain refusal
}

func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s@%s refused the login", e.User, e.Host)
	if len(e.Offered) > 0 {
		fmt.Fprintf(&b, " (offered: %s)", strings.Join(e.Offered, ", "))
	} else {
		b.WriteString(" (there was nothing to offer)")
	}
	if len(e.Allowed) > 0 {
		fmt.Fprintf(&b, "; it takes %s", strings.Join(e.Allowed, ", "))
	}
	if e.Unoffered > 0 {
		fmt.Fprintf(&b, "; %d more keys were held back, as servers hang up after a few", e.Unoffered)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *AuthError) Unwrap() error { return e.Err }

// A PublicKeyError is an identity that the user named, and that is the public half
// of a key whose private half no agent has.
type PublicKeyError struct{ File string }

func (e *PublicKeyError) Error() string {
	return fmt.Sprintf("%s is a public key, and no agent has its private half", e.File)
}

// IsAuthFailure reports whether a failed connection was a refused
// authentication, which must not be repeated: servers count and then ban.
func IsAuthFailure(err error) bool {
	if err == nil {
		return false
	}
	var auth *AuthError
	if errors.As(err, &auth) {
		return true
	}
	// A server that hangs up during authentication reaches us as x/crypto's
	// unexported disconnect message; its text is all there is.
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "ssh: unable to authenticate") ||
		strings.Contains(text, "ssh: disconnect, reason 14:") ||
		strings.Contains(text, "ssh: disconnect, reason 2:") && strings.Contains(text, "too many authentication failures")
}

// IsHostKeyFailure reports whether a failed connection was a refused host key.
func IsHostKeyFailure(err error) bool {
	var key *HostKeyError
	return errors.As(err, &key)
}
