package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A hostChecker decides about the host keys of one host. It reads the files
// anew at each connection: an Accept in another process must count, and so must
// a line somebody removed.
type hostChecker struct {
	known  *KnownHosts
	name   string // as in known_hosts
	pins   []pin
	policy Policy
	ask    func(ctx context.Context, p Prompt) (string, error) // nil: nobody to ask
	now    func() time.Time
	log    *slog.Logger

	strong      func(ssh.PublicKey) error // refuses a key that is too short; nil: none is
	authorities []string                  // signature algorithms that a certificate may rest on; nil: any
	revoked     string                    // a file of keys that nobody is to take; "" for none
	notLoopback bool                      // a server on loopback is not asked for proof, unless there are pins

	mu   sync.Mutex
	seen ssh.PublicKey // guarded by mu: accepted here but not storable; a change must still show
	told bool          // guarded by mu: that seen has changed is written down, and Accept takes it back
	next ssh.PublicKey // guarded by mu: what it has changed to
	lost *HostKeyError // guarded by mu: a change that could not be written down
}

// callback is the check for one connection. x/crypto/ssh asks again at every
// rekeying; by then the key was approved, and must only be the same.
func (h *hostChecker) callback(ctx context.Context) ssh.HostKeyCallback {
	var approved []byte
	return func(_ string, from net.Addr, key ssh.PublicKey) error {
		if approved != nil {
			if bytes.Equal(approved, key.Marshal()) {
				return nil
			}
			return fmt.Errorf("%s showed another host key within the connection", h.name)
		}
		if err := h.checkFrom(ctx, from, key); err != nil {
			return err
		}
		approved = key.Marshal()
		return nil
	}
}

// checkFrom is check, but for a server on loopback that needs no proof.
func (h *hostChecker) checkFrom(ctx context.Context, from net.Addr, key ssh.PublicKey) error {
	if a, ok := from.(*net.TCPAddr); ok && h.notLoopback && len(h.pins) == 0 && a.IP.IsLoopback() {
		return h.checkKey(key)
	}
	return h.check(ctx, key)
}

// checkKey refuses keys that are no good for any host.
func (h *hostChecker) checkKey(key ssh.PublicKey) error {
	if h.strong != nil && h.policy != PolicyInsecure {
		if err := h.strong(key); err != nil {
			return &HostKeyError{Host: h.name, Kind: HostKeyWeak, New: ssh.FingerprintSHA256(plainKey(key)), Err: err}
		}
	}
	return h.checkRevoked(key)
}

func (h *hostChecker) check(ctx context.Context, key ssh.PublicKey) error {
	if err := h.checkKey(key); err != nil {
		return err
	}
	if len(h.pins) > 0 {
		return h.checkPins(key)
	}
	if h.policy == PolicyInsecure {
		h.log.Warn("host key checking is switched off for this host", "host", h.name, "fingerprint", ssh.FingerprintSHA256(key))
		return nil
	}
	if err := h.blocked(); err != nil {
		return err
	}
	lines, err := h.known.lines()
	if err != nil {
		return &HostKeyError{Host: h.name, Kind: HostKeyUnknown, New: ssh.FingerprintSHA256(key), Err: err}
	}
	set := linesFor(lines, h.name)
	if done, err := h.checkCertificate(set, key); done {
		return err
	}
	return h.checkPlain(ctx, set, plainKey(key))
}

func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func (h *hostChecker) checkPins(key ssh.PublicKey) error {
	var want []string
	for _, p := range h.pins {
		if p.matches(plainKey(key)) {
			return nil
		}
		want = append(want, p.fingerprint)
	}
	return &HostKeyError{Host: h.name, Kind: HostKeyMismatch, Old: want, New: ssh.FingerprintSHA256(plainKey(key))}
}

// checkRevoked holds the key against RevokedHostKeys: public keys, one a line. A
// file that cannot be read revokes all keys, as with ssh.
func (h *hostChecker) checkRevoked(key ssh.PublicKey) error {
	if h.revoked == "" {
		return nil
	}
	refuse := func(err error, line int) error {
		return &HostKeyError{Host: h.name, Kind: HostKeyRevoked, New: ssh.FingerprintSHA256(plainKey(key)), File: h.revoked, Line: line, Err: err}
	}
	data, err := os.ReadFile(h.revoked)
	if err != nil {
		return refuse(err, 0)
	}
	if bytes.HasPrefix(data, []byte("SSHKRL")) {
		return refuse(errors.New("binary lists (KRL) cannot be read here; ssh-keygen -L shows what is in one"), 0)
	}
	for i, text := range strings.Split(string(data), "\n") {
		if text = strings.TrimSpace(text); text == "" || text[0] == '#' {
			continue
		}
		gone, _, err := ParsePublic([]byte(text))
		if err != nil {
			return refuse(err, i+1)
		}
		for _, k := range signedBy(key) {
			if sameKey(gone, k) {
				return refuse(nil, i+1)
			}
		}
	}
	return nil
}

// signedBy is a key, and for a certificate its own key and its authority's.
func signedBy(key ssh.PublicKey) []ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return []ssh.PublicKey{cert, cert.Key, cert.SignatureKey}
	}
	return []ssh.PublicKey{key}
}

// blocked is the standing refusal of a host whose key has changed.
func (h *hostChecker) blocked() error {
	h.mu.Lock()
	lost, told := h.lost, h.told // before the file is read, since a change is written there first
	h.mu.Unlock()
	if lost != nil {
		return lost
	}
	d, err := h.known.DisabledHost(h.name)
	if err != nil {
		// Not knowing whether the host is disabled is no reason to trust it.
		return &HostKeyError{Host: h.name, Kind: HostKeyUnknown, New: "not looked at", Err: err}
	}
	if d != nil {
		return d.refusal()
	}
	if told {
		h.acceptSeen()
	}
	return nil
}

// acceptSeen is for a host that was accepted after it had changed, where that is not on
// file: the key accepted counts, which is the one it had changed to if another process
// accepted it.
func (h *hostChecker) acceptSeen() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.told {
		return
	}
	h.seen, h.told = h.next, false
	if key, ok := h.known.notKept.Load(h.name); ok {
		h.seen = key.(ssh.PublicKey)
	}
}

// checkCertificate decides about a certificate whose authority is on file.
// Without one, the key inside is judged as a plain key; so is one that does not hold,
// where the key inside is on file, as ssh has it.
func (h *hostChecker) checkCertificate(set knownSet, key ssh.PublicKey) (done bool, err error) {
	cert, ok := key.(*ssh.Certificate)
	if !ok || findKey(set.cas, cert.SignatureKey) == nil {
		return false, nil
	}
	for _, k := range []ssh.PublicKey{cert.Key, cert.SignatureKey} {
		if err := revokedHere(set, h.name, k); err != nil {
			return true, err
		}
	}
	host, _ := splitHostName(h.name)
	checker := ssh.CertChecker{Clock: h.now}
	err = checker.CheckCert(host, cert)
	if err == nil && h.authorities != nil && !slices.Contains(h.authorities, cert.Signature.Format) {
		err = fmt.Errorf("it is signed with %s, which CASignatureAlgorithms does not have", cert.Signature.Format)
	}
	if err == nil && cert.CertType != ssh.HostCert {
		err = errors.New("the certificate is not for a host")
	}
	if err != nil && (findKey(set.keys, cert.Key) != nil || findKey(set.noPort, cert.Key) != nil) {
		h.log.Warn("the host's certificate does not hold: its key counts, which is on file", "host", h.name, "error", err)
		return false, nil
	}
	if err != nil {
		return true, &HostKeyError{Host: h.name, Kind: HostKeyUncertified, New: ssh.FingerprintSHA256(cert.Key), Err: err}
	}
	return true, nil
}

func (h *hostChecker) checkPlain(ctx context.Context, set knownSet, key ssh.PublicKey) error {
	if err := revokedHere(set, h.name, key); err != nil {
		return err
	}
	if findKey(set.cas, key) != nil {
		return &HostKeyError{Host: h.name, Kind: HostKeyUncertified, New: ssh.FingerprintSHA256(key),
			Err: errors.New("it is the authority's own key, shown as a host key")}
	}
	if findKey(set.keys, key) != nil || findKey(set.noPort, key) != nil {
		return nil
	}
	if len(set.keys) > 0 {
		return h.changed(changedError(set.keys, h.name, key), key)
	}
	return h.firstContact(ctx, set, key)
}

// changed writes down that the host is refused from now on. When that fails the
// refusal lives on in memory, so that at least this process stays away.
func (h *hostChecker) changed(e *HostKeyError, key ssh.PublicKey) error {
	h.log.Error("the host key has changed: the host is disabled until it is accepted",
		"host", e.Host, "old", strings.Join(e.Old, ","), "new", e.New)
	h.known.notKept.Delete(h.name) // an older one
	err := h.known.disableFor(e, key, h.now())
	if err != nil {
		h.log.Warn("the changed host key could not be written down", "host", e.Host, "error", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.lost = e
	}
	h.told, h.next = h.seen != nil, key
	return e
}

func (h *hostChecker) firstContact(ctx context.Context, set knownSet, key ssh.PublicKey) error {
	h.mu.Lock()
	seen := h.seen
	h.mu.Unlock()
	if seen != nil {
		if bytes.Equal(seen.Marshal(), key.Marshal()) {
			return nil
		}
		e := &HostKeyError{Host: h.name, Kind: HostKeyChanged,
			Old: []string{ssh.FingerprintSHA256(seen)}, New: ssh.FingerprintSHA256(key)}
		return h.changed(e, key)
	}
	refusal := &HostKeyError{Host: h.name, Kind: HostKeyUnknown, New: ssh.FingerprintSHA256(key)}
	if len(set.cas) > 0 {
		refusal.Kind = HostKeyUncertified
	}
	switch {
	case h.policy == PolicyAsk:
		if err := h.confirm(ctx, key); err != nil {
			refusal.Err = err
			return refusal
		}
	case h.policy == PolicyStrict || len(set.cas) > 0:
		return refusal
	}
	return h.store(key)
}

func (h *hostChecker) confirm(ctx context.Context, key ssh.PublicKey) error {
	if h.ask == nil {
		return ErrNoPrompt
	}
	fingerprint := ssh.FingerprintSHA256(key)
	text := fmt.Sprintf("The host %s is not known yet. Its %s key is\n  %s\nConnect and remember it (yes, no, or the fingerprint you expect)? ",
		h.name, keyTypeName(key.Type()), fingerprint)
	answer, err := h.ask(ctx, Prompt{Text: text, Echo: true, Confirm: true})
	if err != nil {
		return err
	}
	answer = strings.TrimSpace(answer)
	if strings.EqualFold(answer, "yes") || answer == fingerprint {
		return nil
	}
	return errors.New("not accepted")
}

func (h *hostChecker) store(key ssh.PublicKey) error {
	err := errors.New("no known_hosts file is set")
	if len(h.known.Files) > 0 {
		err = h.known.add(h.name, key)
	}
	var changed *HostKeyError
	if errors.As(err, &changed) {
		return h.changed(changed, key)
	}
	if err != nil {
		h.log.Warn("the host key cannot be stored; it is remembered for this run only", "host", h.name, "error", err)
		h.mu.Lock()
		h.seen = key
		h.mu.Unlock()
		return nil
	}
	h.log.Info("first contact: host key stored", "host", h.name,
		"fingerprint", ssh.FingerprintSHA256(key), "file", h.known.Files[0])
	return nil
}

// algorithms orders what we ask the server to show: the types on file come
// first, so that a server with several keys shows the one we can compare.
// Certificates are asked for only where an authority is on file.
func (h *hostChecker) algorithms(allowed []string) []string {
	var first []string
	authority := false
	prefer := func(key ssh.PublicKey) { first = append(first, algorithmsOf(key.Type())...) }
	for _, p := range h.pins {
		if p.key != nil {
			prefer(p.key)
		}
	}
	if lines, err := h.known.lines(); err == nil && len(h.pins) == 0 {
		set := linesFor(lines, h.name)
		authority = len(set.cas) > 0
		for _, l := range slices.Concat(set.keys, set.noPort) {
			prefer(l.key)
		}
	}
	return orderAlgorithms(allowed, first, authority)
}

func orderAlgorithms(allowed, first []string, certificates bool) []string {
	rank := func(algo string) int {
		switch {
		case strings.Contains(algo, "-cert-v01"):
			return 0
		case slices.Contains(first, algo):
			return 1
		}
		return 2
	}
	out := slices.Clone(allowed)
	if !certificates {
		out = slices.DeleteFunc(out, func(a string) bool { return rank(a) == 0 })
	}
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}
