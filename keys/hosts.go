package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// KnownHosts is what this user knows of host keys: the known_hosts files, and
// the list of hosts disabled by a changed key. Its methods may be used by
// several processes at once.
type KnownHosts struct {
	Files    []string // the user's; the first is the one written to
	Global   []string // the system's; only read
	StateDir string   // folder of disabled-hosts
	Hashed   bool     // write host names as hashes (HashKnownHosts)
	Log      *slog.Logger

	told    sync.Once // that a file of the system cannot be read
	notKept sync.Map  // host name to the key that was accepted where no file keeps it
}

// KnownHost is one entry of a known_hosts file.
type KnownHost struct {
	Hosts     string // patterns, or a hash
	Authority bool   // @cert-authority
	Revoked   bool   // @revoked
	Key       ssh.PublicKey
	File      string
	Line      int
}

// lines reads the user's files, which must be readable, and the system's: that one of
// those may not be read here is no reason to refuse every host. An error that may pass
// is: a key may be revoked there.
func (k *KnownHosts) lines() ([]knownLine, error) {
	lines, err := readKnownHosts(k.Files, k.Log)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	for _, file := range k.Global {
		more, err := readKnownHosts([]string{file}, k.Log)
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EISDIR) {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
		if err != nil {
			k.told.Do(func() { k.Log.Warn("a known_hosts file of the system cannot be read", "error", err) })
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func export(lines []knownLine) []KnownHost {
	var out []KnownHost
	for _, l := range lines {
		out = append(out, KnownHost{
			Hosts: l.hosts, Key: l.key, File: l.file, Line: l.line,
			Authority: l.marker == markerCA, Revoked: l.marker == markerRevoked,
		})
	}
	return out
}

// List gives every entry of every file.
func (k *KnownHosts) List() ([]KnownHost, error) {
	lines, err := k.lines()
	return export(lines), err
}

// Lookup gives the entries about one host: authorities and revoked keys as
// well. name is spelled as by HostName.
func (k *KnownHosts) Lookup(name string) ([]KnownHost, error) {
	lines, err := k.lines()
	if err != nil {
		return nil, err
	}
	set := linesFor(lines, name)
	all := append(append(append(set.keys, set.noPort...), set.cas...), set.revoked...)
	return export(all), nil
}

// HostName spells a host and port as known_hosts does: "host", or
// "[host]:port" for any port but 22.
func HostName(host string, port int) string { return hostName(host, port) }

// Accept makes key the host's key: other plain keys on file under exactly this
// name go, and a host disabled by a changed key is let in again. The key on
// file stays when it is the same. Where the first file keeps nothing (/dev/null), the
// host is let in, and its key remembered by this process alone.
func (k *KnownHosts) Accept(name string, key ssh.PublicKey) error {
	if len(k.Files) == 0 {
		return errors.New("there is no known_hosts file to write to")
	}
	for i, file := range k.Files {
		err := updateLines(file, func(old []byte) ([]byte, error) {
			lines := linesFor(parseKnownHosts(file, old, k.Log), name)
			if err := revokedHere(lines, name, key); err != nil {
				return nil, err
			}
			out := withoutName(old, otherKeys(lines.keys, key), name)
			if i == 0 && findKey(lines.keys, key) == nil {
				out = appendLine(out, knownHostsLine(name, key, k.Hashed))
			}
			return out, nil
		})
		if errors.Is(err, errNotKept) {
			k.notKept.Store(name, key)
			continue
		}
		if err != nil {
			return fmt.Errorf("accept the host key of %s: %w", name, err)
		}
	}
	return k.enable(name)
}

func revokedHere(set knownSet, name string, key ssh.PublicKey) error {
	if l := findKey(set.revoked, key); l != nil {
		return &HostKeyError{Host: name, Kind: HostKeyRevoked, New: ssh.FingerprintSHA256(key), File: l.file, Line: l.line}
	}
	return nil
}

// otherKeys picks the lines that hold another key.
func otherKeys(lines []knownLine, keep ssh.PublicKey) []knownLine {
	var other []knownLine
	for _, l := range lines {
		if findKey([]knownLine{l}, keep) == nil {
			other = append(other, l)
		}
	}
	return other
}

// Forget removes what is on file for the host, and gives the number of entries
// changed. Entries that also speak of other hosts lose only this name; authorities
// and revoked keys stay. The next contact is a first one.
func (k *KnownHosts) Forget(name string) (int, error) {
	removed := 0
	for _, file := range k.Files {
		n, err := k.forgetIn(file, name)
		if err != nil {
			return removed, fmt.Errorf("forget the host key of %s: %w", name, err)
		}
		removed += n
	}
	return removed, k.enable(name)
}

func (k *KnownHosts) forgetIn(file, name string) (int, error) {
	n := 0
	err := updateLines(file, func(old []byte) ([]byte, error) {
		lines := linesFor(parseKnownHosts(file, old, k.Log), name).keys
		n = len(lines)
		return withoutName(old, lines, name), nil
	})
	return n, err
}

// add stores a first contact. Another process may have stored one since we
// looked: under the lock, the same key is fine and another one is a change.
func (k *KnownHosts) add(name string, key ssh.PublicKey) error {
	file := k.Files[0]
	return updateLines(file, func(old []byte) ([]byte, error) {
		lines := linesFor(parseKnownHosts(file, old, k.Log), name)
		if findKey(lines.keys, key) != nil {
			return old, nil
		}
		if len(lines.keys) > 0 {
			return nil, changedError(lines.keys, name, key)
		}
		return appendLine(old, knownHostsLine(name, key, k.Hashed)), nil
	})
}

func changedError(known []knownLine, name string, key ssh.PublicKey) *HostKeyError {
	return &HostKeyError{
		Host: name, Kind: HostKeyChanged, Old: fingerprints(known), New: ssh.FingerprintSHA256(key),
		File: known[0].file, Line: known[0].line,
	}
}

func (k *KnownHosts) disableFor(e *HostKeyError, key ssh.PublicKey, now time.Time) error {
	return k.disable(DisabledHost{Name: e.Host, Old: e.Old, New: key, Since: now})
}
