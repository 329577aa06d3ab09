package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A host whose key changed is written into a file of ours, one line a host:
//
//	name old-fingerprint[,old-fingerprint...] new-type new-base64 time
//
// It is kept apart from known_hosts because ssh must not stumble over it, and
// holds the whole new key so that Accept stores exactly the key whose
// fingerprint was compared, and not what the server shows at that moment.

// DisabledHost is a host that stays refused until it is accepted.
type DisabledHost struct {
	Name  string   // as in known_hosts
	Old   []string // fingerprints that were on file
	New   ssh.PublicKey
	Since time.Time
}

func (d *DisabledHost) refusal() *HostKeyError {
	return &HostKeyError{Host: d.Name, Kind: HostKeyChanged, Old: d.Old, New: ssh.FingerprintSHA256(d.New)}
}

func (d *DisabledHost) String() string {
	return strings.Join([]string{
		d.Name, strings.Join(d.Old, ","), d.New.Type(),
		base64.StdEncoding.EncodeToString(d.New.Marshal()), d.Since.UTC().Format(time.RFC3339),
	}, " ")
}

func parseDisabled(text string) (DisabledHost, bool) {
	f := strings.Fields(text)
	if len(f) != 5 {
		return DisabledHost{}, false
	}
	blob, err := base64.StdEncoding.DecodeString(f[3])
	if err != nil {
		return DisabledHost{}, false
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return DisabledHost{}, false
	}
	since, err := time.Parse(time.RFC3339, f[4])
	if err != nil {
		return DisabledHost{}, false
	}
	return DisabledHost{Name: f[0], Old: strings.Split(f[1], ","), New: key, Since: since}, true
}

func (k *KnownHosts) disabledFile() string { return filepath.Join(k.StateDir, "disabled-hosts") }

// Disabled lists the hosts that are refused until accepted.
func (k *KnownHosts) Disabled() ([]DisabledHost, error) {
	data, err := os.ReadFile(k.disabledFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of disabled hosts: %w", err)
	}
	var all []DisabledHost
	for line := range strings.Lines(string(data)) {
		if d, ok := parseDisabled(line); ok {
			all = append(all, d)
		}
	}
	return all, nil
}

// DisabledHost tells whether the host is refused, and why; nil when it is not.
func (k *KnownHosts) DisabledHost(name string) (*DisabledHost, error) {
	all, err := k.Disabled()
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, nil
}

func (k *KnownHosts) disable(d DisabledHost) error {
	return updateLines(k.disabledFile(), func(old []byte) ([]byte, error) {
		for line := range strings.Lines(string(old)) {
			if was, ok := parseDisabled(line); ok && was.Name == d.Name {
				return old, nil
			}
		}
		return appendLine(old, d.String()), nil
	})
}

func (k *KnownHosts) enable(name string) error {
	if _, err := os.Stat(k.disabledFile()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return updateLines(k.disabledFile(), func(old []byte) ([]byte, error) {
		gone := map[int]bool{}
		n := 0
		for line := range strings.Lines(string(old)) {
			n++
			if d, ok := parseDisabled(line); ok && d.Name == name {
				gone[n] = true
			}
		}
		return dropLines(old, gone), nil
	})
}
