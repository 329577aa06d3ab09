package keys

import (
	"strings"

	"golang.org/x/crypto/ssh"
)

// ParsePublic reads a public key: a line of authorized_keys or of a .pub file,
// a certificate, or the form of RFC 4716.
func ParsePublic(data []byte) (ssh.PublicKey, string, error) {
	text := clean(data)
	if strings.Contains(text, "---- BEGIN SSH2 PUBLIC KEY") {
		a, err := findArmor(text, "---- ", func(label string) bool { return label == "SSH2 PUBLIC KEY" })
		if err != nil {
			return nil, "", err
		}
		key, err := ssh.ParsePublicKey(a.body)
		if err != nil {
			return nil, "", damaged("%v", err)
		}
		return key, unquote(a.headers["comment"]), nil
	}
	if strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "PuTTY-User-Key-File-") {
		return nil, "", ErrNotAKey
	}
	key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil, "", ErrNotAKey
	}
	return key, comment, nil
}

// unquote takes the quotes off that may stand around a comment. Nothing is escaped
// between them.
func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// PublicLine is the line for authorized_keys, without a newline.
func PublicLine(key ssh.PublicKey, comment string) string {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	if comment = singleLine(comment); comment != "" {
		line += " " + comment
	}
	return line
}

// PublicRFC4716 is the form ssh.com's and many commercial servers take.
func PublicRFC4716(key ssh.PublicKey, comment string) string {
	var b strings.Builder
	b.WriteString("---- BEGIN SSH2 PUBLIC KEY ----\n")
	if comment = singleLine(comment); comment != "" {
		header := `Comment: "` + comment + `"`
		for len(header) > 70 { // lines are at most 72 bytes long; a backslash continues them
			cut := 70
			for cut > 1 && header[cut] == ' ' { // which a reader may take off the beginning of a line
				cut--
			}
			b.WriteString(header[:cut] + "\\\n")
			header = header[cut:]
		}
		b.WriteString(header + "\n")
	}
	for _, l := range wrapBase64(key.Marshal(), 70) {
		b.WriteString(l + "\n")
	}
	b.WriteString("---- END SSH2 PUBLIC KEY ----\n")
	return b.String()
}
