// Package address reads the REMOTE argument, which is the same for every verb:
//
//	NAME, NAME:[path]                   a named remote
//	[user@]host:[path]                  as ssh, scp and sshfs write it
//	sftp://[user@]host[:port]/path      a URL
//	sshfs#[user@]host:[path]            as old lines of fstab have it
//
// A path without a leading slash starts where the remote user lands, and an
// empty one is that place itself. In a URL the path is absolute, as file
// managers write it; /~/path is one relative to the landing place, as curl
// writes it. An IPv6 address stands in brackets. A port is never after a colon
// of the short form: host:2222 is the folder 2222.
//
// The package knows the writing only. Whether NAME is a remote that was added
// is asked through a function, so that nothing is read from disk here.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/remotemount/remotemount/keys"
)

// An Address is REMOTE taken apart. Either Name is set, or Host.
type Address struct {
	Name string // of a named remote
	User string // "" when not said
	Host string // without brackets
	Port int    // 0 when not said
	Path string // "" is where the remote user lands, or the named remote's folder
}

// A SyntaxError says why a text is no REMOTE, and how it could be written.
type SyntaxError struct {
	Text string
	Why  string
	Hint string // may be empty
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%q: %s", e.Text, e.Why) }

// Parse reads REMOTE. named tells whether a remote of that name was added; the
// short form prefers it to a host of the same name.
func Parse(text string, named func(string) bool) (Address, error) {
	text = withoutProgram(text)
	switch {
	case text == "":
		return Address{}, &SyntaxError{text, "REMOTE is empty", "write user@host:folder, or the name of a remote you added"}
	case strings.ContainsAny(text, "\x00\n\r"):
		return Address{}, &SyntaxError{text, "REMOTE has a line break or a NUL in it", ""}
	case strings.HasPrefix(strings.ToLower(text), "sftp://"):
		return parseURL(text)
	case strings.Contains(text, "://"):
		return Address{}, &SyntaxError{text, "the only URL is sftp://", "write sftp://user@host/folder"}
	}
	return parseShort(text, named)
}

// withoutProgram takes away what old lines of fstab have in front: "sshfs#", also
// with the path of the program.
func withoutProgram(text string) string {
	program, rest, ok := strings.Cut(text, "#")
	if ok && (program == "sshfs" || strings.HasSuffix(program, "/sshfs")) {
		return rest
	}
	return text
}

func parseShort(text string, named func(string) bool) (Address, error) {
	place, path, colon, err := cut(text)
	if err != nil {
		return Address{}, err
	}
	if named != nil && named(place) {
		return Address{Name: place, Path: path}, nil
	}
	if !colon {
		return Address{}, noColon(text)
	}
	a := Address{Host: place, Path: path}
	if at := strings.LastIndexByte(place, '@'); at >= 0 {
		a.User, a.Host = place[:at], place[at+1:]
		if a.User == "" {
			return Address{}, &SyntaxError{text, "nothing stands before the @", ""}
		}
	}
	a.Host, err = unbracket(text, a.Host)
	if err != nil {
		return Address{}, err
	}
	return a, checkHost(text, a)
}

// cut splits at the first colon that is not inside brackets.
func cut(text string) (place, path string, colon bool, err error) {
	from := 0
	if open := strings.IndexByte(text, '['); open == 0 || open > 0 && text[open-1] == '@' && !strings.Contains(text[:open], ":") {
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return "", "", false, &SyntaxError{text, "the bracket is not closed", "write [::1]:folder"}
		}
		from = end
	}
	i := strings.IndexByte(text[from:], ':')
	if i < 0 {
		return text, "", false, nil
	}
	return text[:from+i], text[from+i+1:], true, nil
}

func noColon(text string) error {
	hint := fmt.Sprintf("for a host write %s: with a colon; remotemount remote list shows the names", text)
	if strings.ContainsAny(text, "/.") && !strings.Contains(text, "@") && strings.HasPrefix(text, "/") {
		hint = "REMOTE comes first, the local folder after it"
	}
	return &SyntaxError{text, "no remote of this name was added", hint}
}

func unbracket(text, host string) (string, error) {
	if !strings.HasPrefix(host, "[") {
		return host, nil
	}
	inner, ok := strings.CutSuffix(host[1:], "]")
	if !ok {
		return "", &SyntaxError{text, "something stands between the bracket and the colon", "a port is given by --port"}
	}
	if _, err := netip.ParseAddr(inner); err != nil {
		return "", &SyntaxError{text, "what stands in the brackets is no IP address", ""}
	}
	return inner, nil
}

// checkHost refuses names that are none (keys.CheckUser), and IPv6 addresses without brackets, whose
// first colon is not where the path begins.
func checkHost(text string, a Address) error {
	if last := strings.LastIndexByte(text, ':'); last > 0 {
		bare := text[strings.LastIndexByte(text[:last], '@')+1 : last]
		if ip, err := netip.ParseAddr(bare); err == nil && ip.Is6() && !strings.HasPrefix(text, "sftp") {
			return &SyntaxError{text, "an IPv6 address stands in brackets", "write [" + bare + "]:" + text[last+1:]}
		}
	}
	switch {
	case a.Host == "":
		return &SyntaxError{text, "no host before the colon", "an IPv6 address stands in brackets: [::1]:folder"}
	case strings.Contains(a.Host, "/"):
		return &SyntaxError{text, "this is not the name of a host", "REMOTE is [user@]host:[path]"}
	}
	if err := errors.Join(keys.CheckUser(a.User), keys.CheckHost(a.Host)); err != nil {
		return &SyntaxError{text, err.Error(), "REMOTE is [user@]host:[path]"}
	}
	return nil
}

func parseURL(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return Address{}, &SyntaxError{text, err.Error(), "write sftp://user@host:port/folder"}
	}
	a := Address{User: u.User.Username(), Host: u.Hostname(), Path: u.Path}
	if _, has := u.User.Password(); has {
		// The text itself is left out: it would show the password again.
		return Address{}, &SyntaxError{"sftp://" + u.Host, "a password never stands in an argument", "use --password-file or --password-command"}
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return Address{}, &SyntaxError{text, "a URL here has no ? and no #", "write %3F for ? and %23 for #"}
	}
	if p := u.Port(); p != "" {
		if a.Port, err = ParsePort(p); err != nil {
			return Address{}, &SyntaxError{text, err.Error(), ""}
		}
	}
	if strings.ContainsRune(a.Path, 0) {
		return Address{}, &SyntaxError{text, "there is a NUL in the path", ""}
	}
	if rest, ok := strings.CutPrefix(a.Path, "/~"); ok && (rest == "" || rest[0] == '/') {
		a.Path = strings.TrimPrefix(rest, "/")
	}
	return a, checkHost(text, a)
}

// ParsePort reads a port number, 1 to 65535.
func ParsePort(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("%q is no port: 1 to 65535", text)
	}
	return n, nil
}

// Join is the folder that path means when it is said of a named remote whose
// own folder is dir.
func Join(dir, path string) string {
	switch {
	case path == "":
		return dir
	case dir == "" || strings.HasPrefix(path, "/"):
		return path
	case strings.HasSuffix(dir, "/"):
		return dir + path
	}
	return dir + "/" + path
}

// String writes the address again, in the short form where that can say it.
func (a Address) String() string {
	if a.Name != "" {
		if a.Path == "" {
			return a.Name
		}
		return a.Name + ":" + a.Path
	}
	if a.Port != 0 {
		return a.url()
	}
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.User != "" {
		host = a.User + "@" + host
	}
	return host + ":" + a.Path
}

func (a Address) url() string {
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u := url.URL{Scheme: "sftp", Host: host + ":" + strconv.Itoa(a.Port), Path: a.Path}
	if !strings.HasPrefix(a.Path, "/") {
		u.Path = "/~/" + a.Path
	}
	if a.User != "" {
		u.User = url.User(a.User)
	}
	return u.String()
}
