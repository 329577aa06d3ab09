package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys/sshconfig"
)

// The known_hosts format is sshd(8)'s, "SSH_KNOWN_HOSTS FILE FORMAT":
//
//	[@cert-authority|@revoked] patterns type base64 [comment]
//
// A line that cannot be read is left alone and skipped: one bad line must not
// lock a person out of every host.

type knownMarker int

const (
	markerNone knownMarker = iota
	markerCA
	markerRevoked
)

// A knownLine is one usable line of a known_hosts file.
type knownLine struct {
	file    string
	line    int // counted from one
	marker  knownMarker
	hosts   string // patterns separated by commas, or one hash
	key     ssh.PublicKey
	comment string
}

// hostName is how known_hosts spells a host and port: the port only when it is
// not 22.
func hostName(host string, port int) string {
	if port == 0 || port == 22 {
		return strings.ToLower(host)
	}
	return "[" + strings.ToLower(host) + "]:" + strconv.Itoa(port)
}

// splitHostName undoes hostName.
func splitHostName(name string) (host string, port int) {
	h, p, err := net.SplitHostPort(name)
	if err != nil || !strings.HasPrefix(name, "[") {
		return name, 22
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		return name, 22
	}
	return h, n
}

// readKnownHosts reads the files in order. One that is not there is empty.
func readKnownHosts(files []string, log *slog.Logger) ([]knownLine, error) {
	var all []knownLine
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, parseKnownHosts(file, data, log)...)
	}
	return all, nil
}

func parseKnownHosts(file string, data []byte, log *slog.Logger) []knownLine {
	var lines []knownLine
	for i, text := range bytes.Split(data, []byte("\n")) {
		text = bytes.TrimSpace(text)
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		line, ok := parseKnownLine(string(text))
		if !ok {
			log.Debug("a line of known_hosts cannot be used", "file", file, "line", i+1)
			continue
		}
		line.file, line.line = file, i+1
		lines = append(lines, line)
	}
	return lines
}

func parseKnownLine(text string) (knownLine, bool) {
	var l knownLine
	fields := strings.Fields(text)
	if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
		switch fields[0] {
		case "@cert-authority":
			l.marker = markerCA
		case "@revoked":
			l.marker = markerRevoked
		default:
			return l, false
		}
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return l, false
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return l, false
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil || key.Type() != fields[1] {
		return l, false
	}
	l.hosts, l.key, l.comment = fields[0], key, strings.Join(fields[3:], " ")
	return l, true
}

// matches reports whether the line is about the host, spelled as by hostName. A
// pattern with '!' takes the host out whatever the others say.
func (l *knownLine) matches(name string) bool {
	if strings.HasPrefix(l.hosts, "|") {
		return matchesHash(l.hosts, name)
	}
	found := false
	for pattern := range strings.SplitSeq(l.hosts, ",") {
		negated := strings.HasPrefix(pattern, "!")
		pattern = strings.ToLower(strings.TrimPrefix(pattern, "!"))
		if !sshconfig.Wildcard(pattern, name) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// matchesHash compares with the form "|1|salt|HMAC-SHA1(salt, host)", where the
// file does not tell which hosts it knows.
func matchesHash(hash, name string) bool {
	parts := strings.Split(hash, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	want, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil {
		return false
	}
	return hmac.Equal(want, hashHost(salt, name))
}

func hashHost(salt []byte, name string) []byte {
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return mac.Sum(nil)
}

// A knownSet is what the files say of one host.
type knownSet struct {
	keys    []knownLine // plain keys
	cas     []knownLine // certificate authorities
	revoked []knownLine // revoked for this host
	noPort  []knownLine // plain keys on file for the host without its port
}

// linesFor picks what is about a host. A host on another port than 22 that has
// no line of its own may be vouched for, but never be called changed, by lines
// that leave the port out; OpenSSH does the same.
func linesFor(all []knownLine, name string) knownSet {
	var set knownSet
	bare, port := splitHostName(name)
	for _, l := range all {
		exact := l.matches(name)
		loose := !exact && port != 22 && l.matches(bare)
		switch {
		case !exact && !loose:
		case l.marker == markerRevoked:
			set.revoked = append(set.revoked, l)
		case l.marker == markerCA:
			set.cas = append(set.cas, l)
		case exact:
			set.keys = append(set.keys, l)
		default:
			set.noPort = append(set.noPort, l)
		}
	}
	return set
}

func findKey(lines []knownLine, key ssh.PublicKey) *knownLine {
	blob := key.Marshal()
	for i := range lines {
		if bytes.Equal(lines[i].key.Marshal(), blob) {
			return &lines[i]
		}
	}
	return nil
}

func fingerprints(lines []knownLine) []string {
	var out []string
	for _, l := range lines {
		out = append(out, ssh.FingerprintSHA256(l.key))
	}
	return out
}
