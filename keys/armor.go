package keys

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// An armor is a block of base64 between a begin and an end line, with headers,
// as PEM (RFC 7468, RFC 1421) and SSH2 (RFC 4716) have it.
type armor struct {
	label   string // "OPENSSH PRIVATE KEY"
	headers map[string]string
	body    []byte
}

// clean takes out what pasting and mailing put in: a byte order mark, CR, and
// blanks around lines.
func clean(data []byte) string {
	text := string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.Trim(l, " \t\u00a0")
	}
	return strings.Join(lines, "\n")
}

// findArmor finds the first block of the given dash style ("-----" or "---- ")
// whose label wanted accepts. What stands around it is skipped, as is a block
// of another kind, such as EC PARAMETERS.
func findArmor(text, dashes string, wanted func(label string) bool) (*armor, error) {
	closing := strings.TrimSpace(dashes)
	begin, end := dashes+"BEGIN ", dashes+"END "
	for {
		i := strings.Index(text, begin)
		if i < 0 {
			return nil, ErrNotAKey
		}
		text = text[i+len(begin):]
		label, rest, ok := strings.Cut(text, closing)
		if !ok || len(label) > 64 {
			continue
		}
		label = strings.TrimSpace(label)
		if !wanted(label) {
			continue
		}
		content, _, ok := strings.Cut(rest, end+label)
		if !ok {
			return nil, damaged("the end of %q is missing", label)
		}
		return decodeArmor(label, content)
	}
}

// decodeArmor splits headers from base64. Newlines may have been lost on the
// way (a key kept in a variable), so only headers need lines of their own.
func decodeArmor(label, content string) (*armor, error) {
	a := &armor{label: label, headers: map[string]string{}}
	lines := strings.Split(content, "\n")
	var base strings.Builder
	for i := 0; i < len(lines); i++ {
		name, value, ok := strings.Cut(lines[i], ":")
		if !ok {
			base.WriteString(lines[i])
			continue
		}
		// RFC 4716 continues a header after a backslash, RFC 1421 by a blank.
		var whole strings.Builder
		for ; strings.HasSuffix(value, "\\") && i+1 < len(lines); value = lines[i] {
			whole.WriteString(strings.TrimSuffix(value, "\\"))
			i++
		}
		whole.WriteString(value)
		a.headers[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(whole.String())
	}
	body, err := decodeBase64(base.String())
	if err != nil {
		return nil, damaged("%s is not base64", label)
	}
	a.body = body
	return a, nil
}

func decodeBase64(s string) ([]byte, error) {
	s = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\n' || r == '\u00a0' {
			return -1
		}
		return r
	}, s)
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

// unwrap finds out the form of a private key file.
func unwrap(data []byte) (sealed, error) {
	text := clean(data)
	if i := strings.Index(text, "PuTTY-User-Key-File-"); i >= 0 {
		return readPPK(data)
	}
	if strings.Contains(text, "---- BEGIN SSH2 ") {
		return readSSH2(text)
	}
	a, err := findArmor(text, "-----", func(label string) bool { return strings.HasSuffix(label, "PRIVATE KEY") })
	if err != nil {
		return nil, err
	}
	switch a.label {
	case "OPENSSH PRIVATE KEY":
		return readOpenSSH(a.body)
	case "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY":
		return readPEM(a)
	case "PRIVATE KEY":
		return &pkcs8Plain{a.body}, nil
	case "ENCRYPTED PRIVATE KEY":
		return readPKCS8Encrypted(a.body)
	}
	return nil, unsupported("%q", printable(a.label))
}
